"""What a service is told when it starts: by its command line, else by the environment (`DMLS_*`), else by default."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from devicestore.connections import parse_url
from devicestore.errors import Invalid
from dmls.errors import InvalidArgumentError
from dmls.matrix.identifiers import parse_server_name
from dmls.service.tls import TLSFiles

__all__ = ["Settings", "check_listen"]

_UNIX = re.compile(r"unix:(?P<path>.+)")
_TCP = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\[\]]+):(?P<port>[0-9]{1,5})")
_MAX_PORT = 65_535


def check_listen(address: str, *, has_tls: bool = False) -> str:
    """Return an address to listen on: `host:port` or `unix:path`, without TLS of this machine only.

    Raises:
        InvalidArgumentError: it is neither, or without TLS could be reached from elsewhere.
    """
    if _UNIX.fullmatch(address):
        return address
    found = _TCP.fullmatch(address)
    if found is None or int(found["port"]) > _MAX_PORT:
        raise InvalidArgumentError("an address is host:port or unix:path")
    host = found["host"].strip("[]")
    try:
        is_local = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        is_local = False
    if not (is_local or has_tls):
        raise InvalidArgumentError(
            "without TLS the service listens on this machine only; use 127.0.0.1, [::1], localhost or unix:path"
        )
    return address


def _valid_server_name(name: str) -> str:
    try:
        return parse_server_name(name)
    except InvalidArgumentError as error:
        raise ValueError(error.message) from None


def _valid_database(url: SecretStr) -> SecretStr:
    try:
        parse_url(url.get_secret_value())
    except Invalid as error:
        raise ValueError(str(error)) from None
    return url


class Settings(BaseSettings):
    """The settings of one service."""

    model_config = SettingsConfigDict(env_prefix="DMLS_", extra="forbid", frozen=True)

    data: Path
    """Directory of the key file and of a SQLite database; made with mode 0700."""
    database: Annotated[SecretStr, AfterValidator(_valid_database)] | None = None
    """URL of the database, `postgresql://user:password@host/name`; a SQLite file in `data` if there is none."""
    server_name: Annotated[str, AfterValidator(_valid_server_name)]
    """Name of the homeserver served, as in its users' ids."""
    tls_certificate: Path | None = None
    """File of the certificate chain, PEM. It is read again when it changes."""
    tls_key: Path | None = None
    """File of the certificate's private key, PEM, mode 0600."""
    tls_client_authority: Path | None = None
    """File of the certificates that certify clients, PEM. With it every client must have a certificate."""
    listen: str = "127.0.0.1:0"
    """Where to listen; port 0 takes a free one. Without TLS on this machine only."""
    hosting: bool = False
    """Hold devices' keys, encrypt and decrypt for them."""
    port_file: Path | None = None
    """File that gets the address when the service is ready."""
    keepalive_s: Annotated[float, Field(gt=0)] = 30.0
    """Streams say at least this often that they are alive, in seconds."""
    grace_s: Annotated[float, Field(ge=0)] = 10.0
    """How long calls under way may go on when the service is asked to stop, in seconds."""

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("a certificate and its key are given together")
        if self.tls_client_authority is not None and self.tls_certificate is None:
            raise ValueError("clients' certificates need TLS: give a certificate and its key")
        return self

    @field_validator("listen")
    @classmethod
    def _check_listen(cls, address: str, info: ValidationInfo) -> str:
        try:
            return check_listen(address, has_tls=info.data.get("tls_certificate") is not None)
        except InvalidArgumentError as error:
            raise ValueError(error.message) from None

    @property
    def tls(self) -> TLSFiles | None:
        """The files of TLS; None: it is not used."""
        if self.tls_certificate is None or self.tls_key is None:
            return None
        return TLSFiles(self.tls_certificate, self.tls_key, self.tls_client_authority)
