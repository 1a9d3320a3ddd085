"""Extensions and the contents of those RFC 9420 defines (RFC 9420, Section 13.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from dmls.errors import TrailingDataError, ValidationError
from dmls.mls.codec import bounded, decode, encode, opaque, struct, uint16
from dmls.mls.messages.credential import Credential
from dmls.mls.messages.registry import ExtensionType

__all__ = [
    "LAST_RESORT",
    "Extension",
    "ExternalPub",
    "ExternalSender",
    "ExternalSenders",
    "RequiredCapabilities",
    "check_unique_types",
    "find_extension",
    "make_extension",
    "read_extension",
]

T = TypeVar("T")


@struct
class Extension:
    """One extension: a type and its bytes."""

    extension_type: uint16
    extension_data: opaque


@struct
class RequiredCapabilities:
    """What every member must support beside the defaults (RFC 9420, Section 11.1)."""

    extension_types: bounded[uint16]
    proposal_types: bounded[uint16]
    credential_types: bounded[uint16]


@struct
class ExternalPub:
    """The public key that external commits encapsulate to (RFC 9420, Section 12.4.3.2)."""

    external_pub: opaque  # ENC-15


@struct
class ExternalSender:
    """A party outside the group that may propose (RFC 9420, Section 12.1.8.1)."""

    signature_key: opaque
    credential: Credential


@struct
class ExternalSenders:
    """All external senders of a group."""

    senders: bounded[ExternalSender]  # EX-15


def find_extension(extensions: Sequence[Extension], extension_type: int) -> bytes | None:
    """Return the data of the extension of a type, or None."""
    for extension in extensions:
        if extension.extension_type == extension_type:
            return extension.extension_data
    return None


def read_extension(extensions: Sequence[Extension], extension_type: int, kind: type[T]) -> T | None:
    """Decode the extension of a type, or return None where there is none.

    Raises:
        CodecError: the data is not exactly one `kind` (ENC-09).
    """
    data = find_extension(extensions, extension_type)
    try:
        return None if data is None else decode(kind, data)
    except TrailingDataError as error:
        raise TrailingDataError(error.message, rule="ENC-09") from error


def make_extension(extension_type: int, content: object) -> Extension:
    """Wrap an extension's content."""
    return Extension(extension_type, encode(content))


def check_unique_types(extensions: Sequence[Extension], error: type[ValidationError], rule: str) -> None:
    """Refuse a list that holds one extension type twice (RFC 9420, Section 13.4).

    Raises:
        ValidationError: of class `error`.
    """
    if len({extension.extension_type for extension in extensions}) != len(extensions):
        raise error("an extension type occurs twice", rule=rule)  # EX-01


LAST_RESORT = Extension(ExtensionType.LAST_RESORT, b"")
"""Marks a key package that may be used more than once."""
