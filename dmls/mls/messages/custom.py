"""Proposal and extension types that an application brings along (RFC 9420, Sections 13.2, 13.4 and 17).

A proposal says its type but not its length, so one of a type that nobody registered cannot even be skipped. Registrations hold
for the whole process: a code point has one meaning, wherever it is met.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Any, Final, Self

from dmls.errors import UsageError
from dmls.mls.messages.registry import DEFAULT_EXTENSION_TYPES, DEFAULT_PROPOSAL_TYPES, GREASE_VALUES, ExtensionType

__all__ = [
    "CustomExtensionType",
    "CustomProposal",
    "CustomProposalType",
    "Place",
    "Registration",
    "find_extension_type",
    "find_proposal_content",
    "find_proposal_type",
    "register",
]


class Place(Enum):
    """Lists of extensions (RFC 9420, Section 17.3)."""

    KEY_PACKAGE = "KP"
    LEAF_NODE = "LN"
    GROUP_CONTEXT = "GC"
    GROUP_INFO = "GI"


@dataclass(frozen=True, slots=True)
class CustomProposal:
    """A proposal of a registered type: its code point and its content, an instance of the struct registered for it."""

    proposal_type: int
    content: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomProposalType:
    """What RFC 9420 has to know of a proposal type (RFC 9420, Section 17.4).

    Attributes:
        number: code point, 16 bits; 0xF000 to 0xFFFF are for private use.
        content: what follows it on the wire, declared with `dmls.mls.codec.struct`.
        requires_path: whether a commit of such a proposal needs a path.
        allows_external_senders: whether external senders may propose it.
    """

    number: int
    content: type
    requires_path: bool
    allows_external_senders: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomExtensionType:
    """What RFC 9420 has to know of an extension type (RFC 9420, Section 17.3).

    Attributes:
        number: code point, 16 bits; 0xF000 to 0xFFFF are for private use.
        content: what its data is, exactly, declared with `dmls.mls.codec.struct`; None for bytes that nobody here reads.
        places: the lists in which it may stand.
    """

    number: int
    content: type | None
    places: frozenset[Place]


_PROPOSAL_TYPES: Final[dict[int, CustomProposalType]] = {}
_EXTENSION_TYPES: Final[dict[int, CustomExtensionType]] = {}
_TAKEN_EXTENSION_TYPES: Final = frozenset({*DEFAULT_EXTENSION_TYPES, ExtensionType.LAST_RESORT})


class Registration:
    """A type that is known until `revoke`, or until the end of a `with` block."""

    def __init__(self, known: dict[int, Any], number: int) -> None:
        self._known = known
        self._number = number

    def revoke(self) -> None:
        """Forget the type. Doing so twice does nothing."""
        self._known.pop(self._number, None)
        self._known = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.revoke()


def register(kind: CustomProposalType | CustomExtensionType) -> Registration:
    """Make a type known to everything in this process that decodes and judges.

    To be done at the start, by all members of a group alike. Clients list the type in their capabilities themselves.

    Raises:
        UsageError: the code point is out of range, has a meaning already or is a GREASE value, or the content is no struct.
    """
    if isinstance(kind, CustomProposalType):
        return _register(_PROPOSAL_TYPES, kind, DEFAULT_PROPOSAL_TYPES, kind.content)
    return _register(_EXTENSION_TYPES, kind, _TAKEN_EXTENSION_TYPES, kind.content)


def _register(known: dict[int, Any], kind: Any, taken: Collection[int], content: type | None) -> Registration:
    if kind.number in taken or kind.number in GREASE_VALUES or not 0 < kind.number <= 0xFFFF:
        raise UsageError(f"{kind.number} is not for applications", rule="EX-12")
    if kind.number in known:
        raise UsageError(f"{kind.number} is registered already")
    if content is not None and "__wire__" not in vars(content):
        raise UsageError(f"{content.__name__} is not declared with @struct")
    known[kind.number] = kind
    return Registration(known, kind.number)


def find_proposal_type(number: int) -> CustomProposalType | None:
    """Return what is registered for a proposal type, or None."""
    return _PROPOSAL_TYPES.get(number)


def find_proposal_content(number: int) -> type | None:
    """Return the struct of a proposal type's content, or None where the type is not registered."""
    kind = _PROPOSAL_TYPES.get(number)
    return None if kind is None else kind.content


def find_extension_type(number: int) -> CustomExtensionType | None:
    """Return what is registered for an extension type, or None."""
    return _EXTENSION_TYPES.get(number)
