"""A policy for groups whose members show X.509 certificates (RFC 9420, Section 5.3)."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from dmls.errors import InvalidCredentialError
from dmls.mls.crypto.certificates import Certificate, check_path, identities, load_certificate, load_chain
from dmls.mls.group.policy import OpenPolicy
from dmls.mls.messages.credential import BasicCredential, X509Credential
from dmls.mls.messages.leaf_node import LeafNode

__all__ = ["X509Policy"]


@dataclass(frozen=True)
class X509Policy(OpenPolicy):
    """Believes credentials behind which a trust anchor stands, and lets a leaf pass on to the same identities only.

    The identities of a certificate are its subject alternative names, or its subject where it has none. Leaves of the same
    identities are one client. All else that RFC 9420 leaves to the application is allowed: inherit to forbid it.

    Attributes:
        anchors: certificates that are trusted for whatever they certify.
        now: seconds since 1970, at which a new credential has to be valid.
    """

    anchors: tuple[Certificate, ...]
    now: int

    @classmethod
    def load(cls, anchors: Iterable[bytes], now: int) -> X509Policy:
        """Make a policy of trust anchors in DER.

        Raises:
            InvalidCredentialError: one is no certificate.
        """
        return cls(tuple(load_certificate(anchor) for anchor in anchors), now)

    def check_credential(self, credential: BasicCredential | X509Credential, signature_key: bytes) -> None:
        """Refuse a chain that leads to no anchor, and whatever is no X.509 credential.

        Raises:
            InvalidCredentialError: it does, or is for nobody.
        """
        certificates = _certificates(credential)
        check_path(load_chain(certificates), self.anchors, self.now)
        identities(certificates[0])

    def check_succession(self, old: BasicCredential | X509Credential, new: BasicCredential | X509Credential) -> None:
        """Refuse other identities; the old certificate may have expired.

        Raises:
            InvalidCredentialError: they differ.
        """
        if identities(_certificates(old)[0]) != identities(_certificates(new)[0]):
            raise InvalidCredentialError("the certificate is for other identities")

    def client_of(self, leaf_node: LeafNode) -> Hashable | None:
        """Return the identities of a leaf."""
        return identities(_certificates(leaf_node.credential)[0])


def _certificates(credential: BasicCredential | X509Credential) -> tuple[bytes, ...]:
    if not isinstance(credential, X509Credential) or not credential.certificates:
        raise InvalidCredentialError("the credential is not an X.509 one, or has no certificate")
    return credential.certificates
