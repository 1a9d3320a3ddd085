"""Answers by request id: a request that is sent again gets the answer it got, and is not done again.

`put` belongs into the transaction of what the request did.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, delete, insert, select

from devicestore.errors import Conflict
from devicestore.models import Idempotency

__all__ = ["get", "purge_expired", "put"]


def get(conn: Connection, caller: str, method: str, request_id: str, body_hash: bytes, *, now_ms: int) -> bytes | None:
    """Return the stored response to a request, or None if it was not made before or too long ago.

    Raises:
        Conflict: the caller used this request id of the method for another body.
    """
    row = conn.execute(
        select(Idempotency.body_hash, Idempotency.response).where(
            *_of_request(caller, method, request_id), Idempotency.expires_at_ms > now_ms
        )
    ).one_or_none()
    if row is None:
        return None
    if row.body_hash != body_hash:
        raise Conflict("the request id was used for another request")
    return bytes(row.response)


def put(
    conn: Connection,
    caller: str,
    method: str,
    request_id: str,
    body_hash: bytes,
    response: bytes,
    *,
    now_ms: int,
    expires_at_ms: int,
) -> None:
    """Store the response to a request, in place of one that has expired.

    Raises:
        Conflict: the request has a response that has not expired.
    """
    conn.execute(delete(Idempotency).where(*_of_request(caller, method, request_id), Idempotency.expires_at_ms <= now_ms))
    conn.execute(
        insert(Idempotency).values(
            caller=caller,
            method=method,
            request_id=request_id,
            body_hash=body_hash,
            response=response,
            expires_at_ms=expires_at_ms,
        )
    )


def purge_expired(conn: Connection, *, now_ms: int) -> int:
    """Delete the responses whose time is over and return how many there were."""
    return conn.execute(delete(Idempotency).where(Idempotency.expires_at_ms <= now_ms)).rowcount


def _of_request(caller: str, method: str, request_id: str) -> tuple[ColumnElement[bool], ...]:
    return (Idempotency.caller == caller, Idempotency.method == method, Idempotency.request_id == request_id)
