"""Real certificates of all key types, sound or spoilt."""

from __future__ import annotations

import datetime as dt
import ipaddress
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CipherSuite, cipher_suite
from dmls.mls.group.leaf import Client
from dmls.mls.messages.credential import X509Credential

__all__ = ["ALL_NAMES", "NOW", "Authority", "credentialed", "private_key_of", "self_signed"]

NOW = 1_800_000_000
_YEAR = 31_536_000
_CURVES: dict[int, ec.EllipticCurve] = {2: ec.SECP256R1(), 5: ec.SECP521R1(), 7: ec.SECP384R1()}


def private_key_of(suite: CipherSuite, raw: bytes) -> Any:
    """The library's form of an MLS signature private key."""
    if suite.id in (1, 3):
        return ed25519.Ed25519PrivateKey.from_private_bytes(raw)
    if suite.id in (4, 6):
        return ed448.Ed448PrivateKey.from_private_bytes(raw)
    return ec.derive_private_key(int.from_bytes(raw, "big"), _CURVES[suite.id])


def _when(seconds: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)] if text else [])


def _usage(*, sign: bool = False, certify: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(sign, False, False, False, False, certify, False, False, False)


@dataclass
class Authority:
    """Somebody who certifies, and the chain of certificates that stands behind them, their own first."""

    name: str
    key: Any
    chain: tuple[bytes, ...]
    hash: Any = None

    @classmethod
    def root(cls, name: str = "root", suite: CipherSuite | None = None, **options: Any) -> Authority:
        """Somebody who certifies themselves."""
        chosen = suite or cipher_suite(1)
        key = options.pop("key", None) or private_key_of(chosen, chosen.generate_signature_key_pair(_source(name)).private_key)
        itself = cls(name, key, ())
        itself.chain = (itself.certify(name, key.public_key(), **{"ca": True, **options}),)
        return itself

    def authority(self, name: str, **options: Any) -> Authority:
        """Somebody else, certified to certify."""
        suite = cipher_suite(1)
        key = private_key_of(suite, suite.generate_signature_key_pair(_source(name)).private_key)
        return Authority(name, key, (self.certify(name, key.public_key(), **{"ca": True, **options}), *self.chain))

    def certify(
        self,
        subject: str,
        public_key: Any,
        *,
        names: Sequence[x509.GeneralName] = (),
        ca: bool | None = None,
        path_length: int | None = None,
        usage: x509.KeyUsage | None = None,
        not_before: int = NOW - _YEAR,
        not_after: int = NOW + _YEAR,
        extra: Sequence[tuple[x509.ExtensionType, bool]] = (),
        issuer: str | None = None,
    ) -> bytes:
        """Sign a certificate; return it in DER."""
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(subject))
            .issuer_name(_name(self.name if issuer is None else issuer))
            .public_key(public_key)
            .serial_number(7)
            .not_valid_before(_when(not_before))
            .not_valid_after(_when(not_after))
        )
        if ca is not None:
            builder = builder.add_extension(x509.BasicConstraints(ca, path_length), critical=True)
        chosen = usage or (_usage(certify=True) if ca else None)
        if chosen is not None:
            builder = builder.add_extension(chosen, critical=True)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=not subject)
        for extension, critical in extra:
            builder = builder.add_extension(extension, critical)
        signs_by_itself = isinstance(self.key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
        return builder.sign(self.key, None if signs_by_itself else self.hash or hashes.SHA256()).public_bytes(Encoding.DER)


def _source(name: str) -> Any:
    return random.Random(name).randbytes


def self_signed(suite: CipherSuite, private_key: bytes, subject: str, **options: Any) -> bytes:
    """A certificate that somebody makes of their own MLS key."""
    key = private_key_of(suite, private_key)
    return Authority(subject, key, ()).certify(subject, key.public_key(), **options)


def credentialed(client: Client, suite: CipherSuite, authority: Authority, name: str = "", **options: Any) -> Client:
    """A client with a certificate for its own key; `name` is a DNS name."""
    key = private_key_of(suite, client.signature_private_key)
    options = {"names": [x509.DNSName(name)] if name else [], "usage": _usage(sign=True), **options}
    certificate = authority.certify(options.pop("subject", name), key.public_key(), **options)
    chain = (certificate, *authority.chain)
    capabilities = client.capabilities.__class__(
        client.capabilities.versions,
        client.capabilities.cipher_suites,
        client.capabilities.extensions,
        client.capabilities.proposals,
        (1, 2),
    )
    return Client(
        X509Credential(chain), client.signature_key, Secret(client.signature_private_key), capabilities, client.leaf_extensions
    )


ALL_NAMES: Sequence[x509.GeneralName] = (
    x509.DNSName("a.example"),
    x509.RFC822Name("a@example.org"),
    x509.UniformResourceIdentifier("matrix:u/a:example.org"),
    x509.IPAddress(ipaddress.ip_address("192.0.2.1")),
    x509.DirectoryName(_name("directory")),
    x509.RegisteredID(x509.ObjectIdentifier("1.2.3.4")),
    x509.OtherName(x509.ObjectIdentifier("1.2.3.5"), b"\x0c\x01a"),
)
"""A subject alternative name of each kind."""
