"""Decrypted messages that nobody has fetched yet, sealed; a message cannot be decrypted twice, so it waits here."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, delete, select

from devicestore import data_keys
from devicestore.data_keys import Sealed, Unsealed
from devicestore.errors import NotFound
from devicestore.models import DataKey, Plaintext
from devicestore.sealing import row_sealing
from devicestore.statements import upsert

__all__ = ["get", "list_event_ids", "put", "remove"]

_TABLE = "plaintext"


def put(conn: Connection, room_id: str, event_id: str, value: bytes) -> None:
    """Seal and store the plaintext of an event, in place of one that is there. The room exists.

    Raises:
        Conflict: there is no such room.
    """
    present = conn.execute(select(Plaintext.version, Plaintext.slot).where(*_of_event(room_id, event_id))).one_or_none()
    version, slot = (1, None) if present is None else (present.version + 1, present.slot)
    (sealed,) = data_keys.seal(conn, _TABLE, [Unsealed(_place(room_id, event_id), version, value, slot)])
    row = {"room_id": room_id, "event_id": event_id, "version": version, "slot": sealed.slot, "sealed": sealed.sealed}
    conn.execute(upsert(conn, Plaintext, ("room_id", "event_id"), ("version", "slot", "sealed")), row)


def get(conn: Connection, room_id: str, event_id: str) -> bytes:
    """Return the plaintext of an event.

    Raises:
        NotFound: none is held.
        SealBroken: the row was altered or moved.
    """
    row = conn.execute(
        select(Plaintext.version, Plaintext.slot, Plaintext.sealed, DataKey.sealed.label("wrapped"))
        .outerjoin(DataKey, DataKey.id == Plaintext.slot)
        .where(*_of_event(room_id, event_id))
    ).one_or_none()
    if row is None:
        raise NotFound("no plaintext of this event is held")
    place, sealed = _place(room_id, event_id), Sealed(row.slot, row.sealed)
    return data_keys.unseal(row_sealing(conn), _TABLE, place, row.version, sealed, row.wrapped)


def list_event_ids(conn: Connection, room_id: str) -> list[str]:
    """Return the ids of the events of a room whose plaintext is held, in order of id."""
    return list(
        conn.execute(select(Plaintext.event_id).where(Plaintext.room_id == room_id).order_by(Plaintext.event_id)).scalars()
    )


def remove(conn: Connection, room_id: str, event_id: str) -> bool:
    """Delete the plaintext of an event, which everybody entitled has fetched. Return False if none is held."""
    data_keys.shred(conn, select(Plaintext.slot).where(*_of_event(room_id, event_id)))
    return conn.execute(delete(Plaintext).where(*_of_event(room_id, event_id))).rowcount > 0


def _of_event(room_id: str, event_id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return (Plaintext.room_id == room_id, Plaintext.event_id == event_id)


def _place(room_id: str, event_id: str) -> tuple[bytes, bytes]:
    return (room_id.encode(), event_id.encode())
