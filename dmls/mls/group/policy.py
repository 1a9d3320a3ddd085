"""What RFC 9420 leaves to the application: who a credential speaks for, and which limits hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from dmls.mls.messages.credential import BasicCredential, X509Credential
from dmls.mls.messages.psk import PreSharedKeyID

__all__ = ["DEFAULT_LIMITS", "CredentialPolicy", "Limits", "OpenPolicy", "PSKLookup"]


class CredentialPolicy(Protocol):
    """The authentication service, asked about every new credential (RFC 9420, Section 5.3.1; CRD-04, CRD-05)."""

    def check_credential(self, credential: BasicCredential | X509Credential, signature_key: bytes) -> None:
        """Raise a `ValidationError` if the credential does not speak for the holder of the key."""

    def check_succession(self, old: BasicCredential | X509Credential, new: BasicCredential | X509Credential) -> None:
        """Raise a `ValidationError` if `new` may not take the place of `old`."""


class OpenPolicy:
    """Accepts every credential: for groups whose application authenticates elsewhere."""

    def check_credential(self, credential: BasicCredential | X509Credential, signature_key: bytes) -> None:
        """Accept."""

    def check_succession(self, old: BasicCredential | X509Credential, new: BasicCredential | X509Credential) -> None:
        """Accept."""


class PSKLookup(Protocol):
    """Finds pre-shared keys."""

    def __call__(self, psk_id: PreSharedKeyID) -> bytes | None:
        """Return the key that `psk_id` names, or None."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that keep a peer from making a member work without end."""

    max_leaves: int = 65_536
    max_proposals: int = 16_384
    max_lifetime: int = 2**64 - 1
    """Longest allowed not_after - not_before of a key package, in seconds."""
    clock_skew: int = 3_600
    """Seconds that another's clock may be off."""
    resumption_psks: int = 32
    """Epochs whose resumption PSK is kept (KS-13)."""


DEFAULT_LIMITS = Limits()
