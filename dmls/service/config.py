"""What a service is told when it starts: by its command line, else by the environment (`DMLS_*`), else by default."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from dmls.errors import InvalidArgumentError
from dmls.matrix.identifiers import parse_server_name

__all__ = ["Settings", "check_listen"]

_UNIX = re.compile(r"unix:(?P<path>.+)")
_TCP = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\[\]]+):(?P<port>[0-9]{1,5})")
_MAX_PORT = 65_535


def check_listen(address: str) -> str:
    """Return an address to listen on without TLS: `host:port` of this machine only, or `unix:path`.

    Raises:
        InvalidArgumentError: it is neither, or could be reached from elsewhere.
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
    if not is_local:
        raise InvalidArgumentError(
            "without TLS the service listens on this machine only; use 127.0.0.1, [::1], localhost or unix:path"
        )
    return address


def _valid_listen(address: str) -> str:
    try:
        return check_listen(address)
    except InvalidArgumentError as error:
        raise ValueError(error.message) from None


def _valid_server_name(name: str) -> str:
    try:
        return parse_server_name(name)
    except InvalidArgumentError as error:
        raise ValueError(error.message) from None


class Settings(BaseSettings):
    """The settings of one service."""

    model_config = SettingsConfigDict(env_prefix="DMLS_", extra="forbid", frozen=True)

    data: Path
    """Directory of the database and the key file; made with mode 0700."""
    server_name: Annotated[str, AfterValidator(_valid_server_name)]
    """Name of the homeserver served, as in its users' ids."""
    listen: Annotated[str, AfterValidator(_valid_listen)] = "127.0.0.1:0"
    """Where to listen; port 0 takes a free one."""
    hosting: bool = False
    """Hold devices' keys, encrypt and decrypt for them."""
    port_file: Path | None = None
    """File that gets the address when the service is ready."""
    keepalive_s: Annotated[float, Field(gt=0)] = 30.0
    """Streams say at least this often that they are alive, in seconds."""
    grace_s: Annotated[float, Field(ge=0)] = 10.0
    """How long calls under way may go on when the service is asked to stop, in seconds."""
