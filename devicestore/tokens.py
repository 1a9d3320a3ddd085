"""Bearer tokens, by their digests only: whoever reads the table can use none of them."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from devicestore.models import Token

__all__ = ["TokenRow", "create", "find", "list_tokens", "revoke"]


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token as it is stored."""

    digest: bytes
    """SHA-256 of the token."""
    scope: str
    """What its bearer may be."""
    subject: str
    """Who that is; empty where the scope says it all."""
    created_at_ms: int
    expires_at_ms: int | None
    revoked_at_ms: int | None = None

    def is_valid(self, now_ms: int) -> bool:
        """Tell whether it is neither over nor revoked."""
        return self.revoked_at_ms is None and (self.expires_at_ms is None or self.expires_at_ms > now_ms)


def create(conn: Connection, token: TokenRow) -> None:
    """Store a token.

    Raises:
        Conflict: there is one with this digest.
    """
    conn.execute(
        insert(Token).values(
            digest=token.digest,
            scope=token.scope,
            subject=token.subject,
            created_at_ms=token.created_at_ms,
            expires_at_ms=token.expires_at_ms,
        )
    )


def find(conn: Connection, digest: bytes) -> TokenRow | None:
    """Return the token with this digest, or None."""
    row = conn.execute(select(*_COLUMNS).where(Token.digest == digest)).one_or_none()
    return None if row is None else TokenRow(*row)


def list_tokens(conn: Connection) -> list[TokenRow]:
    """Return all tokens, oldest first."""
    return [TokenRow(*row) for row in conn.execute(select(*_COLUMNS).order_by(Token.created_at_ms, Token.digest))]


def revoke(conn: Connection, digest: bytes, *, now_ms: int) -> bool:
    """Let a token be worth nothing from now on. Return False if there is none, or it was revoked before."""
    is_good = (Token.digest == digest, Token.revoked_at_ms.is_(None))
    return conn.execute(update(Token).where(*is_good).values(revoked_at_ms=now_ms)).rowcount > 0


_COLUMNS = (
    Token.digest,
    Token.scope,
    Token.subject,
    Token.created_at_ms,
    Token.expires_at_ms,
    Token.revoked_at_ms,
)
