"""Names of code points (RFC 9420, Section 17)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Final

from dmls.errors import UnsupportedError
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.messages.registry import GREASE_VALUES, CredentialType, ExtensionType, ProposalType, ProtocolVersion

__all__ = ["CODE_POINTS", "name_of"]

_PRIVATE: Final = 0xF000


def _suite_name(value: int) -> str | None:
    try:
        return cipher_suite(value).name
    except UnsupportedError:
        return None


def _member_name(registry: type[IntEnum]) -> Callable[[int], str | None]:
    names = {int(member): member.name.lower() for member in registry}
    return names.get


_suite, _version, _extension, _proposal, _credential = (
    _suite_name,
    _member_name(ProtocolVersion),
    _member_name(ExtensionType),
    _member_name(ProposalType),
    _member_name(CredentialType),
)

CODE_POINTS: Final[Mapping[str, Callable[[int], str | None]]] = {
    "cipher_suite": _suite,
    "cipher_suites": _suite,
    "version": _version,
    "versions": _version,
    "extension_type": _extension,
    "extension_types": _extension,
    "extensions": _extension,
    "proposal_type": _proposal,
    "proposal_types": _proposal,
    "proposals": _proposal,
    "credential_types": _credential,
    "credentials": _credential,
}
"""By the name of a field of 16-bit integers, what names them."""


def name_of(field: str, value: int) -> str:
    """Return the name of a code point in a field, or what its range is for."""
    name = CODE_POINTS[field](value)
    if name is not None:
        return name
    if value in GREASE_VALUES:
        return "GREASE"
    return "private use" if value >= _PRIVATE else "reserved" if value == 0 else "unknown"
