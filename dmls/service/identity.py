"""Who calls: from a token, from a client's certificate, or from where the connection comes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import unquote

from devicestore import Store, tokens
from devicestore.tokens import TokenRow
from dmls.ids import ServerName
from dmls.service.auth import ANONYMOUS, Caller, Role, local_homeserver
from dmls.service.interceptors.around import Call
from dmls.service.tokens import caller_of, digest_of

__all__ = ["Identities", "is_local_peer"]

_REMEMBERED_S: Final = 5.0
"""How long it is remembered what the store says of a token: a revoked one is good for so long at most."""
_MOST_REMEMBERED: Final = 10_000
_BEARER: Final = "bearer "
_DNS_NAMES: Final = "x509_subject_alternative_name"


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


@dataclass(frozen=True, slots=True)
class _Known:
    token: TokenRow | None
    until: float


class Identities:
    """The authentication of a service: whoever shows a token is who the token says, and nobody if it is not valid."""

    def __init__(self, store: Store, server_name: ServerName, clock: Callable[[], int], *, has_tls: bool) -> None:
        """Look tokens up in `store`.

        Args:
            store: has the tokens.
            server_name: the homeserver served.
            clock: the time in milliseconds since 1970.
            has_tls: callers without a token are then who their certificates say, otherwise the homeserver on this machine.
        """
        self._store = store
        self._server_name = server_name
        self._clock = clock
        self._has_tls = has_tls
        self._local = local_homeserver(server_name)
        self._known: dict[bytes, _Known] = {}

    async def authenticate(self, call: Call) -> Caller:
        """Say who makes a call.

        Raises:
            StoreError: the tokens cannot be read.
        """
        given = call.metadata("authorization")
        if given:
            return await self._bearer(given)
        if self._has_tls:
            return self._certified(call)
        return self._local if is_local_peer(call.context.peer()) else ANONYMOUS

    async def _bearer(self, given: str) -> Caller:
        if given[: len(_BEARER)].lower() != _BEARER:
            return ANONYMOUS
        digest = digest_of(given[len(_BEARER) :].strip())
        if digest is None:
            return ANONYMOUS
        known = self._known.get(digest)
        if known is None or known.until < time.monotonic():
            known = _Known(await asyncio.to_thread(self._find, digest), time.monotonic() + _REMEMBERED_S)
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            self._known[digest] = known
        return caller_of(known.token, self._server_name, self._clock())

    def _find(self, digest: bytes) -> TokenRow | None:
        return self._store.read(lambda conn: tokens.find(conn, digest))

    def _certified(self, call: Call) -> Caller:
        """Return the homeserver for a certificate, checked by the handshake, that bears its name."""
        names = call.context.auth_context().get(_DNS_NAMES, ())
        host = self._server_name.rpartition(":")[0] or self._server_name
        if host.encode() in names or self._server_name.encode() in names:
            return Caller(roles=frozenset({Role.HOMESERVER}), server_name=self._server_name)
        return ANONYMOUS
