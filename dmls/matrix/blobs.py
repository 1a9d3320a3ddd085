"""Keeping event bodies under the size of a Matrix event: the largest fields move to content-addressed blobs."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from dmls.errors import CryptoError, LimitError
from dmls.matrix.bodies import MAX_BLOB, BlobPointer, Body, Inline, content_of
from dmls.matrix.encoding import encode_canonical_json

__all__ = ["CONTENT_LIMIT", "Blob", "blob_pointers", "check_blob", "fill", "spill"]

CONTENT_LIMIT = 60_000
"""Greatest content in bytes of canonical JSON; the rest of an event's 65,536 bytes is for what the homeserver puts around it."""

B = TypeVar("B", bound=Body)


@dataclass(frozen=True, slots=True)
class Blob:
    """What `spill` took out of a body; to be uploaded as `uri` before the body is sent. `sha256` has 32 bytes."""

    uri: str
    sha256: bytes
    data: bytes


def spill(body: B, blob_uri: Callable[[bytes], str], limit: int = CONTENT_LIMIT) -> tuple[B, tuple[Blob, ...]]:
    """Moves the largest inline fields of a body to blobs until its content fits.

    Args:
        body: the body, which is not changed.
        blob_uri: gives the URI of a blob from its SHA-256, the same URI for the same hash.
        limit: greatest content in bytes of canonical JSON.

    Returns:
        The body with pointers, and the blobs that they name, largest first, each one once; none if the body fits as it is.

    Raises:
        LimitError: a field is larger than MAX_BLOB, or the content does not fit with every field moved.
    """
    blobs: dict[bytes, Blob] = {}
    while len(encode_canonical_json(content_of(body))) > limit:
        fields = [(name, x) for name, x in _x_fields(body) if isinstance(x, Inline)]
        if not fields:
            raise LimitError(f"a body of more than {limit} bytes without any large field")
        name, inline = max(fields, key=lambda field: len(field[1].data))
        if len(inline.data) > MAX_BLOB:
            raise LimitError(f"a field of {len(inline.data)} bytes, {MAX_BLOB} are allowed")
        digest = hashlib.sha256(inline.data).digest()
        blob = Blob(blob_uri(digest), digest, inline.data)
        blobs[digest] = blob
        moved: dict[str, Any] = {name: BlobPointer(blob.uri, digest, len(blob.data))}
        body = dataclasses.replace(body, **moved)
    return body, tuple(blobs.values())


def blob_pointers(body: Body) -> tuple[BlobPointer, ...]:
    """Lists the pointers of a body: the blobs that are needed to read it whole."""
    return tuple(x for _, x in _x_fields(body) if isinstance(x, BlobPointer))


def check_blob(pointer: BlobPointer, data: bytes) -> Inline:
    """Checks that `data` is the blob that `pointer` names.

    Raises:
        CryptoError: another length or another SHA-256.
    """
    if len(data) != pointer.size or not hmac.compare_digest(hashlib.sha256(data).digest(), pointer.sha256):
        raise CryptoError("the blob is not the one that its pointer names")
    return Inline(data)


def fill(body: B, blobs: Mapping[bytes, bytes]) -> B:
    """Puts blobs back in the places of their pointers.

    Args:
        body: the body, which is not changed.
        blobs: data by SHA-256; a pointer to a blob that is not among them stays.

    Raises:
        CryptoError: the data is not what the pointer names.
    """
    found: dict[str, Any] = {
        name: check_blob(x, blobs[x.sha256]) for name, x in _x_fields(body) if isinstance(x, BlobPointer) and x.sha256 in blobs
    }
    return dataclasses.replace(body, **found)


def _x_fields(body: Body) -> list[tuple[str, Inline | BlobPointer]]:
    values = [(field.name, getattr(body, field.name)) for field in dataclasses.fields(body)]
    return [(name, value) for name, value in values if isinstance(value, (Inline, BlobPointer))]
