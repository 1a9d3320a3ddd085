"""Code points of the IANA registries that RFC 9420 opens (RFC 9420, Section 17).

Open registries are plain integers on the wire, so that values nobody here knows pass through unchanged.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

from dmls.mls.codec import Enum8, Enum16

__all__ = [
    "DEFAULT_EXTENSION_TYPES",
    "DEFAULT_PROPOSAL_TYPES",
    "GREASE_VALUES",
    "ContentType",
    "CredentialType",
    "EncryptionLabel",
    "ExtensionType",
    "ProposalType",
    "ProtocolVersion",
    "SignatureLabel",
    "WireFormat",
]


class ProtocolVersion(Enum16):
    """Versions of MLS (RFC 9420, Section 6)."""

    MLS10 = 1

    @classmethod
    def rule(cls) -> str:
        """Return the rule that other versions break."""
        return "ENC-11"


class WireFormat(Enum16):
    """What an MLSMessage holds (RFC 9420, Section 17.2)."""

    PUBLIC_MESSAGE = 1
    PRIVATE_MESSAGE = 2
    WELCOME = 3
    GROUP_INFO = 4
    KEY_PACKAGE = 5


class ContentType(Enum8):
    """What a framed message carries (RFC 9420, Section 6)."""

    APPLICATION = 1
    PROPOSAL = 2
    COMMIT = 3


class ExtensionType(IntEnum):
    """Extension types with a meaning here (RFC 9420, Section 17.3); last_resort is of the MLS extensions draft."""

    APPLICATION_ID = 1
    RATCHET_TREE = 2
    REQUIRED_CAPABILITIES = 3
    EXTERNAL_PUB = 4
    EXTERNAL_SENDERS = 5
    LAST_RESORT = 0x000A


class ProposalType(IntEnum):
    """Proposal types (RFC 9420, Section 17.4)."""

    ADD = 1
    UPDATE = 2
    REMOVE = 3
    PSK = 4
    REINIT = 5
    EXTERNAL_INIT = 6
    GROUP_CONTEXT_EXTENSIONS = 7


class CredentialType(IntEnum):
    """Credential types (RFC 9420, Section 17.5)."""

    BASIC = 1
    X509 = 2


class SignatureLabel(StrEnum):
    """Labels of SignWithLabel (RFC 9420, Section 17.6)."""

    FRAMED_CONTENT_TBS = "FramedContentTBS"  # EX-14
    LEAF_NODE_TBS = "LeafNodeTBS"  # EX-14
    KEY_PACKAGE_TBS = "KeyPackageTBS"  # EX-14
    GROUP_INFO_TBS = "GroupInfoTBS"  # EX-14


class EncryptionLabel(StrEnum):
    """Labels of EncryptWithLabel (RFC 9420, Section 17.7)."""

    UPDATE_PATH_NODE = "UpdatePathNode"  # EX-14
    WELCOME = "Welcome"  # EX-14


DEFAULT_EXTENSION_TYPES = frozenset({1, 2, 3, 4, 5})
"""Extension types every client supports without listing them (RFC 9420, Section 7.2)."""

DEFAULT_PROPOSAL_TYPES = frozenset({1, 2, 3, 4, 5, 6, 7})
"""Proposal types every client supports without listing them (RFC 9420, Section 7.2)."""

GREASE_VALUES = frozenset(0x0A0A + 0x1010 * step for step in range(15))  # EX-09
"""Values reserved so that nobody relies on unknown ones being absent (RFC 9420, Section 13.5)."""
