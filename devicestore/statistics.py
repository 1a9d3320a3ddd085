"""Counts of what the store holds."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, case, func, select

from devicestore.devices import Custody
from devicestore.models import Device, Epoch, IssuedKeyPackage, KeyPackage, Node, Outbox, ParkedEvent, Room

__all__ = ["KeyPackageCount", "Statistics", "take_statistics"]


@dataclass(frozen=True, slots=True)
class KeyPackageCount:
    """How many key packages of one suite there are."""

    suite: int
    available: int
    """One-time ones that can be claimed."""
    last_resort: int
    claimed: int
    """Those that were handed out and are remembered."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """The counts, of one moment."""

    users: int
    """With a device."""
    hosted_devices: int
    client_devices: int
    key_packages: tuple[KeyPackageCount, ...]
    rooms: int
    forked_rooms: int
    held_epochs: int
    nodes: int
    parked_events: int
    outbox_items: int
    """Not acknowledged."""
    oldest_outbox_item_ms: int | None
    database_bytes: int


def take_statistics(conn: Connection, *, now_ms: int, margin_ms: int) -> Statistics:
    """Count; key packages that expire within `margin_ms` cannot be claimed."""
    is_live = Device.deleted_at_ms.is_(None)
    by_custody = conn.execute(select(Device.custody, func.count()).where(is_live).group_by(Device.custody))
    custodies = dict(iter(by_custody))
    is_pending = Outbox.acked_at_ms.is_(None)
    pending, oldest = conn.execute(select(func.count(), func.min(Outbox.created_at_ms)).where(is_pending)).one()
    return Statistics(
        users=conn.execute(select(func.count(Device.user_id.distinct())).where(is_live)).scalar_one(),
        hosted_devices=custodies.get(Custody.HOSTED.value, 0),
        client_devices=custodies.get(Custody.CLIENT.value, 0),
        key_packages=_count_key_packages(conn, now_ms + margin_ms),
        rooms=conn.execute(select(func.count()).select_from(Room).where(Room.forgotten_at_ms.is_(None))).scalar_one(),
        forked_rooms=conn.execute(select(func.count()).select_from(Room).where(Room.fork_count > 0)).scalar_one(),
        held_epochs=conn.execute(select(func.count()).select_from(Epoch)).scalar_one(),
        nodes=conn.execute(select(func.count()).select_from(Node)).scalar_one(),
        parked_events=conn.execute(select(func.count()).select_from(ParkedEvent)).scalar_one(),
        outbox_items=pending,
        oldest_outbox_item_ms=oldest,
        database_bytes=_size(conn),
    )


def _count_key_packages(conn: Connection, claimable_until_ms: int) -> tuple[KeyPackageCount, ...]:
    is_claimable = KeyPackage.not_after_ms > claimable_until_ms
    stored = conn.execute(
        select(
            KeyPackage.suite,
            func.count(case((KeyPackage.is_last_resort.is_(False), 1))),
            func.count(case((KeyPackage.is_last_resort, 1))),
        )
        .where(is_claimable)
        .group_by(KeyPackage.suite)
    ).all()
    issued = conn.execute(select(IssuedKeyPackage.suite, func.count()).group_by(IssuedKeyPackage.suite))
    counts = {suite: KeyPackageCount(suite, one_time, last_resort, 0) for suite, one_time, last_resort in stored}
    for suite, claimed in issued:
        known = counts.get(suite, KeyPackageCount(suite, 0, 0, 0))
        counts[suite] = KeyPackageCount(suite, known.available, known.last_resort, claimed)
    return tuple(counts[suite] for suite in sorted(counts))


def _size(conn: Connection) -> int:
    if conn.dialect.name == "sqlite":
        pages = conn.exec_driver_sql("PRAGMA page_count").scalar_one()
        return int(pages) * int(conn.exec_driver_sql("PRAGMA page_size").scalar_one())
    return int(conn.execute(select(func.pg_database_size(func.current_database()))).scalar_one())
