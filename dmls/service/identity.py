"""Who calls, from what the connection proves."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from urllib.parse import unquote

from dmls.ids import ServerName
from dmls.service.auth import ANONYMOUS, Caller, local_homeserver
from dmls.service.interceptors.around import Call

__all__ = ["is_local_peer", "local_only"]


def is_local_peer(peer: str) -> bool:
    """Whether a gRPC peer, such as `ipv4:127.0.0.1:5000` or `unix:`, is on this machine."""
    kind, _, address = unquote(peer).partition(":")
    if kind == "unix":
        return True
    if kind not in ("ipv4", "ipv6"):
        return False
    host, _, _ = address.rpartition(":")
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def local_only(server_name: ServerName) -> Callable[[Call], Caller]:
    """Gives the authentication of a listener without TLS: callers on this machine are the homeserver, others nobody."""
    homeserver = local_homeserver(server_name)
    return lambda call: homeserver if is_local_peer(call.context.peer()) else ANONYMOUS
