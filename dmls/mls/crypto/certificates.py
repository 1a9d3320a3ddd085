"""X.509 certificates: what every chain must be, and what makes one believable (RFC 9420, Section 5.3; RFC 5280).

The verifier of the `cryptography` package is that of the Web, which takes no Ed25519 key. Here signatures are verified link by
link, and the rest of RFC 5280, Section 6.1, that is not about policies and names is checked beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final, TypeAlias, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtensionOID

from dmls.errors import InvalidCredentialError, LimitError
from dmls.mls.crypto.boundary import LIBRARY_ERRORS
from dmls.mls.crypto.suites import CipherSuite

__all__ = ["Certificate", "Identity", "check_chain", "check_path", "identities", "load_certificate", "load_chain"]

Certificate: TypeAlias = x509.Certificate
Identity: TypeAlias = tuple[str, bytes]
"""The kind of a name, and the name."""

T = TypeVar("T")

_ERRORS: Final = (
    *LIBRARY_ERRORS,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    x509.InvalidVersion,
    Warning,
)
"""Warnings, too, where they are raised: the library warns of what RFC 5280 forbids."""

_REMEMBERED: Final = 1024
_IDENTITIES_REMEMBERED: Final = 16_384
_SCHEMES: Final = {
    "secp256r1": "ecdsa_secp256r1_sha256",
    "secp384r1": "ecdsa_secp384r1_sha384",
    "secp521r1": "ecdsa_secp521r1_sha512",
}
_UNDERSTOOD: Final = frozenset({ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE, ExtensionOID.SUBJECT_ALTERNATIVE_NAME})
_HASHES: Final = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_SMALLEST_RSA: Final = 2048


def load_certificate(data: bytes) -> Certificate:
    """Parse a certificate in DER.

    Raises:
        InvalidCredentialError: it is none.
    """
    return _read("a certificate does not decode", x509.load_der_x509_certificate, data)


def _read(problem: str, read: Callable[..., T], *arguments: Any) -> T:
    """Call the library, which reads parts of a certificate only when they are asked for."""
    try:
        return read(*arguments)
    except _ERRORS as error:
        raise InvalidCredentialError(problem, rule="CRD-03") from error


@lru_cache(maxsize=_REMEMBERED)
def load_chain(certificates: tuple[bytes, ...]) -> tuple[Certificate, ...]:
    """Parse a chain, the certificate of the credential's owner first, in which each certifies the one before it.

    Chains are remembered, since a client shows the same one in leaf after leaf.

    Raises:
        InvalidCredentialError: there is no certificate, one is malformed, or one does not certify the one before it.
    """
    if not certificates:
        raise InvalidCredentialError("the credential has no certificate", rule="CRD-03")
    chain = tuple(load_certificate(data) for data in certificates)
    for certificate, issuer in pairwise(chain):
        if not _is_issued_by(certificate, issuer):
            raise InvalidCredentialError("a certificate is not certified by the one after it", rule="CRD-03")
    return chain


def _is_issued_by(certificate: Certificate, issuer: Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except _ERRORS:
        return False
    return True


def check_chain(
    suite: CipherSuite, certificates: tuple[bytes, ...], signature_key: bytes, *, max_certificates: int, max_bytes: int
) -> None:
    """Check what holds of every X.509 credential, whoever trusts whom (RFC 9420, Section 5.3).

    Args:
        suite: of the group; its signature scheme is that of the first certificate's key.
        certificates: in DER.
        signature_key: what the leaf, or the list of external senders, says is the key of the credential's owner.
        max_certificates: most certificates in a chain.
        max_bytes: most bytes of all certificates together.

    Raises:
        InvalidCredentialError: the chain is malformed or in disorder, or certifies another key.
        LimitError: it is too long.
    """
    if len(certificates) > max_certificates or sum(map(len, certificates)) > max_bytes:
        raise LimitError("the chain of certificates is too long", rule="ENC-17")
    owner = load_chain(certificates)[0]
    if _signature_key(owner) != (suite.signature.name, signature_key):
        raise InvalidCredentialError("the first certificate is for another signature key", rule="CRD-02")


def _signature_key(certificate: Certificate) -> tuple[str, bytes]:
    """Return the scheme of a certificate's key and the key as MLS writes it."""
    key = _read("a certificate's key does not decode", certificate.public_key)
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "ed25519", key.public_bytes_raw()
    if isinstance(key, ed448.Ed448PublicKey):
        return "ed448", key.public_bytes_raw()
    if isinstance(key, ec.EllipticCurvePublicKey):
        return _SCHEMES.get(key.curve.name, ""), key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return "", b""


def check_path(chain: Sequence[Certificate], anchors: Iterable[Certificate], now: int) -> None:
    """Check that some anchor stands behind a chain from `load_chain` (RFC 5280, Section 6.1).

    Each certificate, the anchor included, must be valid at `now` (seconds since 1970), be of version 3, hold no critical
    extension but basicConstraints, keyUsage and subjectAltName, and be signed with a hash of 256 bits or more. All but the first
    must be CAs that may sign certificates, with as many CAs below them as they allow; the first must be allowed to sign. A chain
    may end with its anchor or just before it.

    Raises:
        InvalidCredentialError: no anchor stands behind it.
    """
    refusal = InvalidCredentialError("the chain leads to no trust anchor")
    for path in _paths(chain, tuple(anchors)):
        try:
            for below, certificate in enumerate(path):
                _check_certificate(certificate, now)
                if below == 0:
                    _check_owner(certificate)
                else:
                    _check_authority(certificate, [lower for lower in path[1:below] if not _is_self_issued(lower)])
        except InvalidCredentialError as error:
            refusal = error
        else:
            return
    raise refusal


def _paths(chain: Sequence[Certificate], anchors: Sequence[Certificate]) -> Iterable[Sequence[Certificate]]:
    """Yield the ways from the first certificate to an anchor, the shortest first."""
    for length, certificate in enumerate(chain, 1):
        if certificate in anchors:
            yield chain[:length]
        for anchor in anchors:
            if certificate != anchor and _is_issued_by(certificate, anchor):
                yield (*chain[:length], anchor)


def _is_self_issued(certificate: Certificate) -> bool:
    return _read("a certificate's names do not decode", lambda: certificate.subject == certificate.issuer)


def _is_valid_at(certificate: Certificate, now: int) -> bool:
    return certificate.not_valid_before_utc.timestamp() <= now <= certificate.not_valid_after_utc.timestamp()


def _check_certificate(certificate: Certificate, now: int) -> None:
    if not _read("a certificate's validity does not decode", _is_valid_at, certificate, now):
        raise InvalidCredentialError("a certificate has expired or is not valid yet")
    if certificate.version is not x509.Version.v3 or certificate.serial_number <= 0:
        raise InvalidCredentialError("a certificate is not of version 3 with a positive serial number")
    for extension in _extensions(certificate):
        if extension.critical and extension.oid not in _UNDERSTOOD:
            raise InvalidCredentialError("a critical extension of a certificate is not understood")
    algorithm = _read("a certificate's signature is of an unknown kind", lambda: certificate.signature_hash_algorithm)
    if algorithm is not None and not isinstance(algorithm, _HASHES):
        raise InvalidCredentialError("a certificate is signed with a weak hash")


def _extensions(certificate: Certificate) -> x509.Extensions:
    return _read("a certificate's extensions do not decode", lambda: certificate.extensions)


def _find(certificate: Certificate, kind: type[T]) -> T | None:
    for extension in _extensions(certificate):
        if isinstance(extension.value, kind):
            return extension.value
    return None


def _check_owner(certificate: Certificate) -> None:
    usage = _find(certificate, x509.KeyUsage)
    if usage is not None and not usage.digital_signature:
        raise InvalidCredentialError("the first certificate's key is not for signing")


def _check_authority(certificate: Certificate, below: Sequence[Certificate]) -> None:
    """Check a certificate that certifies others; `below` are the authorities between it and the owner, self-issued ones aside."""
    constraints = _find(certificate, x509.BasicConstraints)
    if constraints is None or not constraints.ca:
        raise InvalidCredentialError("a certificate that is no CA's certifies another")
    if constraints.path_length is not None and len(below) > constraints.path_length:
        raise InvalidCredentialError("there are more CAs in the chain than one of them allows")
    usage = _find(certificate, x509.KeyUsage)
    if usage is not None and not usage.key_cert_sign:
        raise InvalidCredentialError("a CA's key is not for signing certificates")
    if _find(certificate, x509.NameConstraints) is not None:
        raise InvalidCredentialError("a CA constrains names, which is not understood")
    key = _read("a certificate's key does not decode", certificate.public_key)
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < _SMALLEST_RSA:
        raise InvalidCredentialError("a CA's key is too short")


@lru_cache(maxsize=_IDENTITIES_REMEMBERED)
def identities(data: bytes) -> frozenset[Identity]:
    """Return whom a certificate in DER is for: its subject alternative names, or else its subject.

    Identities are remembered, since those of newcomers are compared with those of all members.

    Raises:
        InvalidCredentialError: it is for nobody, or does not decode.
    """
    certificate = load_certificate(data)
    names = _find(certificate, x509.SubjectAlternativeName)
    if names is not None:
        found = frozenset(_identity(name) for name in names)
    else:
        subject = _read("a certificate's subject does not decode", lambda: certificate.subject)
        found = frozenset({("subject", subject.public_bytes())} if list(subject) else ())
    if not found:
        raise InvalidCredentialError("a certificate is for nobody")
    return found


def _identity(name: x509.GeneralName) -> Identity:
    kind = type(name).__name__
    if isinstance(name, x509.DNSName):
        return kind, name.value.lower().encode()
    if isinstance(name, x509.OtherName):
        return f"{kind} {name.type_id.dotted_string}", name.value
    if isinstance(name, x509.DirectoryName):
        return kind, name.value.public_bytes()
    if isinstance(name, x509.RegisteredID):
        return kind, name.value.dotted_string.encode()
    return kind, str(name.value).encode()
