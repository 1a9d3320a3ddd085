"""Credentials (RFC 9420, Section 5.3)."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from dmls.mls.codec import Tagged, bounded, opaque, struct
from dmls.mls.messages.registry import CredentialType

__all__ = ["BasicCredential", "Credential", "X509Credential", "credential_type"]


@struct
class BasicCredential:
    """A bare identity, to be judged by the application."""

    identity: opaque


@struct
class X509Credential:
    """A chain of DER certificates, the leaf's first."""

    certificates: bounded[opaque]


Credential: TypeAlias = Annotated[
    BasicCredential | X509Credential,
    Tagged(2, {CredentialType.BASIC: BasicCredential, CredentialType.X509: X509Credential}, rule="CRD-01"),
]


def credential_type(credential: BasicCredential | X509Credential) -> int:
    """Return the code point of a credential's type."""
    return CredentialType.BASIC if isinstance(credential, BasicCredential) else CredentialType.X509
