"""Bearer tokens: random texts that say who calls. The store has their digests, so none can be read back from it."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Final

from devicestore.tokens import TokenRow
from dmls.errors import InvalidArgumentError
from dmls.ids import ServerName
from dmls.matrix.identifiers import parse_device_id, parse_user_id, server_of
from dmls.service.auth import ANONYMOUS, Caller, Role

__all__ = ["SCOPES", "caller_of", "check_subject", "digest_of", "make_token"]

SCOPES: Final = ("homeserver", "device", "operator")
"""What the bearer of a token may be."""

_PREFIX: Final = "dmls_"
_TOKEN: Final = re.compile(r"dmls_[A-Za-z0-9_-]{43}")


def make_token() -> str:
    """Return a new token, 256 random bits after a prefix by which leaked ones can be searched for."""
    return _PREFIX + secrets.token_urlsafe(32)


def digest_of(token: str) -> bytes | None:
    """Return the SHA-256 of a token, 32 bytes; None for a text that is none."""
    return hashlib.sha256(token.encode()).digest() if _TOKEN.fullmatch(token) else None


def check_subject(scope: str, subject: str, server_name: ServerName) -> None:
    """Check who a new token is for.

    Args:
        scope: of `SCOPES`.
        subject: for a device `@user:server DEVICE`, empty for the others.
        server_name: the homeserver served.

    Raises:
        InvalidArgumentError: the scope is unknown, or the subject does not fit it.
    """
    if scope not in SCOPES:
        raise InvalidArgumentError(f"a scope is one of {', '.join(SCOPES)}")
    if scope != "device":
        if subject:
            raise InvalidArgumentError("only a device's token is for somebody")
        return
    user, _, device = subject.partition(" ")
    if server_of(parse_user_id(user)) != server_name:
        raise InvalidArgumentError(f"the user is not of {server_name}")
    parse_device_id(device)


def caller_of(token: TokenRow | None, server_name: ServerName, now_ms: int) -> Caller:
    """Return who the bearer of a stored token is; nobody, if it is not valid."""
    if token is None or not token.is_valid(now_ms):
        return ANONYMOUS
    if token.scope == "homeserver":
        return Caller(roles=frozenset({Role.HOMESERVER}), server_name=server_name)
    if token.scope == "operator":
        return Caller(roles=frozenset({Role.OPERATOR}))
    if token.scope == "device":
        user, _, device = token.subject.partition(" ")
        try:
            user_id, device_id = parse_user_id(user), parse_device_id(device)
        except InvalidArgumentError:
            return ANONYMOUS
        return Caller(roles=frozenset({Role.DEVICE}), user_id=user_id, device_id=device_id)
    return ANONYMOUS
