"""Files of the MLS working group that tests need: where they are, and that they are the right ones.

They are not part of this repository. They are taken from a folder that the environment names, else from one beside the checkout,
else downloaded once into the user's cache from the pinned commit of the working group's repository. Whatever the place, a file
is used only if its SHA-256 is the pinned one.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import pooch

__all__ = ["COMMIT", "PinnedFolder"]

COMMIT = "cfd450286d1bfd9cd2519b95c80f9771f94a5b1a"
"""Commit of `mlswg/mls-implementations` whose folders are meant."""

_SHARED = Path(__file__).resolve().parents[3] / "shared"


class PinnedFolder:
    """A folder of the working group's repository, of which certain files are used.

    Args:
        upstream: its path in that repository.
        beside: its name in the folder `shared` beside the checkout.
        variable: the environment variable that may name a copy.
        sha256: the files, and their hashes.
    """

    def __init__(self, upstream: str, beside: str, variable: str, sha256: Mapping[str, str]) -> None:
        self._upstream = upstream
        self._beside = _SHARED / beside
        self._variable = variable
        self._sha256 = sha256

    @cached_property
    def path(self) -> Path:
        """A folder that holds the files, downloaded if no copy is at hand.

        Raises:
            FileNotFoundError: a file is missing from the folder that was found, or nothing was found and nothing could be
                downloaded.
            ValueError: a file is not the pinned version.
        """
        named = os.environ.get(self._variable)
        folder = Path(named) if named else self._beside if self._beside.is_dir() else self._download()
        for name, digest in self._sha256.items():
            with (folder / name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != digest:
                raise ValueError(f"{name} is not the version of commit {COMMIT[:12]}: SHA-256 {found}")
        return folder

    def _download(self) -> Path:
        keeper = pooch.create(
            path=pooch.os_cache("dmls") / COMMIT,
            base_url=f"https://raw.githubusercontent.com/mlswg/mls-implementations/{COMMIT}/{self._upstream}/",
            registry={name: f"sha256:{digest}" for name, digest in self._sha256.items()},
            retry_if_failed=2,
        )
        try:
            for name in self._sha256:
                keeper.fetch(name)
        except OSError as error:
            raise FileNotFoundError(
                f"files of the MLS working group are not at hand and cannot be downloaded: set {self._variable} to the folder "
                f"{self._upstream} of mlswg/mls-implementations at {COMMIT[:12]}"
            ) from error
        return Path(keeper.abspath)
