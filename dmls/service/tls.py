"""TLS 1.3 with certificates that are read anew when their files change.

grpc has no switch for the lowest version of TLS. It offers TLS 1.2 with the cipher suites that it is told of before it is loaded,
and only those: told of one that the certificate's key cannot serve, it cannot speak TLS 1.2 at all.
"""

from __future__ import annotations

import datetime as dt
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from dmls.errors import DMLSError

if TYPE_CHECKING:
    import grpc

__all__ = ["TLSError", "TLSFiles", "forbid_tls_1_2", "server_credentials"]

_SUITES: Final = "GRPC_SSL_CIPHER_SUITES"
_FOR_RSA, _FOR_ECDSA = "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"


class TLSError(DMLSError):
    """A certificate or its key cannot be used."""

    reason = "TLS"
    code = "FAILED_PRECONDITION"
    hint = "Give a PEM certificate chain and its unencrypted PEM key, readable by the service's user only."


@dataclass(frozen=True, slots=True)
class TLSFiles:
    """The files of a TLS server."""

    certificate: Path
    """The chain, the server's own certificate first; PEM."""
    key: Path
    """The private key of that certificate; PEM."""
    client_authority: Path | None = None
    """Certificates of those who may certify clients; PEM. With it a client must have a certificate."""

    def read(self) -> tuple[bytes, bytes, bytes | None]:
        """Return chain, key and client authority, checked to fit together and to be in force.

        Raises:
            TLSError: a file cannot be read, the key is not the certificate's, or the certificate is over.
        """
        chain, key = _read(self.certificate), _read(self.key, is_private=True)
        authority = None if self.client_authority is None else _read(self.client_authority)
        _check(self, chain, key, authority)
        return chain, key, authority

    def stamp(self) -> tuple[tuple[int, int], ...]:
        """Return what changes when a file is replaced."""
        files = (self.certificate, self.key, *([self.client_authority] if self.client_authority else []))
        return tuple((status.st_mtime_ns, status.st_ino) for status in map(os.stat, files))


def forbid_tls_1_2(files: TLSFiles) -> None:
    """Set the environment so that grpc, which must not have been loaded, speaks TLS 1.3 only.

    It is also told not to write of every failed handshake into the log, which anybody could fill with them.

    Raises:
        TLSError: the files cannot be used.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    _, key, _ = files.read()
    is_rsa = isinstance(serialization.load_pem_private_key(key, None), RSAPrivateKey)
    os.environ[_SUITES] = _FOR_ECDSA if is_rsa else _FOR_RSA


def server_credentials(files: TLSFiles, on_failure: Callable[[TLSError], None]) -> grpc.ServerCredentials:
    """Return credentials that follow the files. Files that cannot be used are passed over, and `on_failure` is told.

    Raises:
        TLSError: the files cannot be used now.
    """
    import grpc

    watch = _Watch(files, on_failure)
    # None means that nothing has changed; the types of grpc do not know it.
    fetch = cast("Callable[[], grpc.ServerCertificateConfiguration]", watch.changed)
    requires = files.client_authority is not None
    return grpc.dynamic_ssl_server_credentials(watch.configuration(), fetch, require_client_authentication=requires)


class _Watch:
    """Reads the files again when they have changed. grpc asks at every handshake, from its own threads."""

    def __init__(self, files: TLSFiles, on_failure: Callable[[TLSError], None]) -> None:
        self._files = files
        self._on_failure = on_failure
        self._lock = threading.Lock()
        self._stamp: tuple[tuple[int, int], ...] = ()

    def configuration(self) -> grpc.ServerCertificateConfiguration:
        import grpc

        chain, key, authority = self._files.read()
        return grpc.ssl_server_certificate_configuration([(key, chain)], authority)

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        """Return the new configuration, None if there is none."""
        with self._lock:
            try:
                stamp = self._files.stamp()
                if stamp == self._stamp:
                    return None
                self._stamp = stamp
                return self.configuration()
            except OSError as error:
                self._on_failure(TLSError(f"a certificate file is gone: {error.strerror or 'not readable'}"))
            except TLSError as error:
                self._on_failure(error)
            return None


def _read(path: Path, *, is_private: bool = False) -> bytes:
    try:
        if is_private and path.stat().st_mode & 0o077:
            raise TLSError(f"{path}: others may read the key; its mode must be 0600")
        return path.read_bytes()
    except OSError as error:
        raise TLSError(f"{path}: {error.strerror or 'not readable'}") from None


def _check(files: TLSFiles, chain: bytes, key: bytes, authority: bytes | None) -> None:
    try:
        certificate = x509.load_pem_x509_certificates(chain)[0]
    except ValueError:
        raise TLSError(f"{files.certificate}: no PEM certificate") from None
    try:
        private_key = serialization.load_pem_private_key(key, None)
    except (ValueError, TypeError):
        raise TLSError(f"{files.key}: no unencrypted PEM key") from None
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if private_key.public_key().public_bytes(*form) != certificate.public_key().public_bytes(*form):
        raise TLSError(f"{files.key}: not the key of the certificate")
    now = dt.datetime.now(dt.UTC)
    if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc:
        raise TLSError(f"{files.certificate}: not in force now")
    if authority is not None:
        try:
            x509.load_pem_x509_certificates(authority)
        except ValueError:
            raise TLSError(f"{files.client_authority}: no PEM certificates") from None
