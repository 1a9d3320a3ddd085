"""The MLS working group's scenario files.

They are taken from the folder that `DMLS_INTEROP_CONFIGS` names, else from `../shared/mls-interop-configs` beside the checkout,
else downloaded once.
"""

from __future__ import annotations

from pathlib import Path

from tests.support.pinned import PinnedFolder

__all__ = ["SHA256", "scenario_file"]

SHA256 = {
    "application.json": "215b02fb29750b4217384b8007a45cd11f3ba7ba0f645e1c652e958188d72136",
    "branch.json": "d5753b2d36f47d9ec50c25037570974e1d8f9a6f1239edf6084eb75f75f02e3f",
    "commit.json": "3332dd1238a9e9aa5f6dea7cefa3193a8b66a858f56dcf59d759bce619b55a2b",
    "deep_random.json": "83b2dd1ddebecf7beeddc1dd71042d7acaf273ea00a13960d152bbed390221bf",
    "external_join.json": "ef36e599a4929154f18d5188de9f419cd7255c7925c66e31113f95e460f96ff5",
    "external_proposals.json": "9bedfb1924abc167eca877e36e4127d21eb5ada50d7d2f12b777cae0922906ae",
    "reinit.json": "f987d4cd9120e04749d168eab413d122c6296095ff4e4dcec2ddf2802ffb9f87",
    "welcome_join.json": "6cfa12e2b82fa7f420f388ef94fe7d466d1d46a63d3732e6be85353e31fc91cd",
}
"""The eight files and their hashes."""

_FOLDER = PinnedFolder("interop/configs", "mls-interop-configs", "DMLS_INTEROP_CONFIGS", SHA256)


def scenario_file(name: str) -> Path:
    """Return the path of one file, for example `commit.json`.

    Raises:
        FileNotFoundError: it is not at hand and cannot be downloaded.
        ValueError: a file is not the pinned version.
    """
    if name not in SHA256:
        raise KeyError(f"{name} is not one of the working group's files")
    return _FOLDER.path / name
