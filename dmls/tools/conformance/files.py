"""Vector files: which there are in a folder, of what kind they are, and what is in them."""

from __future__ import annotations

import gzip
import io
import json
import lzma
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from dmls.errors import InvalidArgumentError

__all__ = ["MAX_SIZE", "find_files", "kind_of", "read_cases"]

MAX_SIZE: Final = 1 << 28
"""Most bytes of a file, unpacked: a compressed file says nothing about how large it becomes."""

_OPENERS: Final[Mapping[str, Callable[[Path], io.BufferedIOBase]]] = {
    ".json": lambda path: path.open("rb"),
    ".json.gz": gzip.GzipFile,
    ".json.xz": lzma.LZMAFile,
}


def find_files(folder: Path) -> list[Path]:
    """Return the vector files of a folder by name, or `folder` itself where it is such a file.

    Raises:
        InvalidArgumentError: there is no such folder, it cannot be read, or it holds no vector file.
    """
    try:
        entries = sorted(folder.iterdir()) if not folder.is_file() else [folder]
        found = [path for path in entries if _suffix(path) is not None and path.is_file()]
    except OSError as error:
        raise InvalidArgumentError(f"cannot read {folder}: {error.strerror or error}") from error
    if not found:
        raise InvalidArgumentError(f"no vector files in {folder}: their names end in {', '.join(_OPENERS)}")
    return found


def _suffix(path: Path) -> str | None:
    return next((suffix for suffix in _OPENERS if path.name.endswith(suffix)), None)


def kind_of(path: Path, kinds: Sequence[str]) -> str | None:
    """Return the kind that a file's name starts with, the longest if several do. Underscores and hyphens are one."""
    name = path.name.replace("_", "-")
    return max((kind for kind in kinds if name.startswith(kind.replace("_", "-"))), key=len, default=None)


def read_cases(path: Path) -> list[object]:
    """Return the cases of a vector file.

    Raises:
        InvalidArgumentError: it cannot be read or unpacked, is too large, or is not one JSON array.
    """
    try:
        with _OPENERS[_suffix(path) or ".json"](path) as file:
            data = file.read(MAX_SIZE + 1)
        if len(data) > MAX_SIZE:
            raise InvalidArgumentError(f"holds more than {MAX_SIZE} bytes")
        cases = json.loads(data)
    except OSError as error:
        raise InvalidArgumentError(f"cannot be read: {error.strerror or error}") from error
    except (EOFError, lzma.LZMAError) as error:
        raise InvalidArgumentError(f"cannot be unpacked: {error}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidArgumentError(f"is not JSON: {error}") from error
    if not isinstance(cases, list):
        raise InvalidArgumentError("is not a JSON array of cases")
    return cases
