"""Bytes from a file or from standard input, written as hexadecimal digits, as base64 or as they are.

With what whoever gives them may say of them: this module imports nothing that is slow to import.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Final

from dmls.errors import InvalidArgumentError

__all__ = ["MAX_SIZE", "Encoding", "Kind", "decodings", "read_source"]

MAX_SIZE: Final = 1 << 26
"""Most bytes that are read, as they are written."""

_HEXADECIMAL: Final = re.compile(rb"(?:0[xX])?([0-9a-fA-F]*)")
_BASE64: Final = re.compile(rb"[0-9A-Za-z+/_-]*={0,2}")
_SPACE: Final = re.compile(rb"[\s:]+")


class Encoding(StrEnum):
    """How the bytes are written."""

    HEX = "hex"
    BASE64 = "base64"
    RAW = "raw"


class Kind(StrEnum):
    """What the bytes are, those first that are least often taken for another."""

    MESSAGE = "message"
    KEY_PACKAGE = "key-package"
    GROUP_INFO = "group-info"
    WELCOME = "welcome"
    RATCHET_TREE = "ratchet-tree"
    GROUP_CONTEXT = "group-context"
    AUTHENTICATED_CONTENT = "authenticated-content"
    LEAF_NODE = "leaf-node"
    COMMIT = "commit"
    PROPOSAL = "proposal"


def read_source(source: str, standard_input: BinaryIO) -> bytes:
    """Return what a file holds, or standard input where `source` is "-".

    Raises:
        InvalidArgumentError: it cannot be read, is empty, or is larger than `MAX_SIZE`.
    """
    try:
        if source == "-":
            data = standard_input.read(MAX_SIZE + 1)
        else:
            with Path(source).open("rb") as file:
                data = file.read(MAX_SIZE + 1)
    except OSError as error:
        raise InvalidArgumentError(f"cannot read {source!r}: {error.strerror or 'it is no file'}") from error
    except ValueError as error:
        raise InvalidArgumentError(f"cannot read {source!r}: it is no name of a file") from error
    if len(data) > MAX_SIZE:
        raise InvalidArgumentError(f"more than {MAX_SIZE} bytes")
    if not data:
        raise InvalidArgumentError("nothing to inspect: there are no bytes")
    return data


def decodings(data: bytes, encoding: Encoding | None = None) -> Iterator[tuple[Encoding, bytes]]:
    """Yield what the bytes can stand for, the likeliest first; only `encoding` if it is given.

    Raises:
        InvalidArgumentError: `encoding` is given, and the bytes are not written so.
    """
    for chosen, read in _READERS.items():
        if encoding in (None, chosen):
            found = read(data)
            if found is not None:
                yield chosen, found
            elif encoding is not None:
                raise InvalidArgumentError(f"the input is not {chosen}")


def _read_raw(data: bytes) -> bytes:
    return data


def _read_hexadecimal(data: bytes) -> bytes | None:
    found = _HEXADECIMAL.fullmatch(_SPACE.sub(b"", data))
    return binascii.unhexlify(found[1]) if found and found[1] and len(found[1]) % 2 == 0 else None


def _read_base64(data: bytes) -> bytes | None:
    text = _SPACE.sub(b"", data)
    if not text or not _BASE64.fullmatch(text):
        return None
    text = text.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4))
    except binascii.Error:
        return None


_READERS: Final[Mapping[Encoding, Callable[[bytes], bytes | None]]] = {
    Encoding.HEX: _read_hexadecimal,
    Encoding.BASE64: _read_base64,
    Encoding.RAW: _read_raw,
}
