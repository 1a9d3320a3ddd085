"""What there is of a device's key packages: counts, lists, and what of them is deleted."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, case, delete, func, or_, select, tuple_, update

from devicestore import devices
from devicestore.counters import CounterName, current, take
from devicestore.models import Device, IssuedKeyPackage, KeyPackage

__all__ = [
    "ListedRow",
    "SuiteStatus",
    "available",
    "changed_statuses",
    "last_noted",
    "list_issued",
    "list_stored",
    "note_low",
    "of_device",
    "purge_expired",
    "purge_issued",
    "remove",
    "status",
]


@dataclass(frozen=True, slots=True)
class SuiteStatus:
    """What a device has of one suite."""

    suite: int
    one_time: int
    """How many can still be claimed, without the last resort."""
    soonest_expiry_ms: int | None
    """The earliest end of lifetime among those."""
    has_last_resort: bool
    last_resort_uses: int


@dataclass(frozen=True, slots=True)
class ListedRow:
    """A key package without its bytes."""

    place: int
    """In its list: a number in the order of issue where it is stored, else `issued_at_ms`."""
    ref: bytes
    suite: int
    is_last_resort: bool
    not_before_ms: int
    not_after_ms: int
    uploaded_at_ms: int
    issued_at_ms: int | None
    """When it was first handed out; None if it was not."""


def status(conn: Connection, user_id: str, device_id: str, *, now_ms: int, margin_ms: int) -> list[SuiteStatus]:
    """Return what a claim with the same times could find, for each suite of the device, ordered by suite.

    Raises:
        NotFound: the device is not registered.
    """
    device = devices.get(conn, user_id, device_id)
    found = {suite: SuiteStatus(suite, 0, None, has_last_resort=False, last_resort_uses=0) for suite in device.suites}
    is_last_resort = KeyPackage.is_last_resort
    rows = conn.execute(
        select(
            KeyPackage.suite,
            func.count(case((is_last_resort.is_(False), 1))).label("one_time"),
            func.min(case((is_last_resort.is_(False), KeyPackage.not_after_ms))).label("soonest_expiry_ms"),
            func.count(case((is_last_resort, 1))).label("last_resorts"),
            func.coalesce(func.sum(KeyPackage.uses), 0).label("uses"),
        )
        .where(*of_device(user_id, device_id), KeyPackage.not_after_ms > now_ms + margin_ms)
        .group_by(KeyPackage.suite)
    )
    for row in rows:
        found[row.suite] = SuiteStatus(
            row.suite,
            row.one_time,
            row.soonest_expiry_ms,
            has_last_resort=row.last_resorts > 0,
            last_resort_uses=int(row.uses),
        )
    return [found[suite] for suite in sorted(found)]


def available(conn: Connection, user_id: str, device_id: str, *, now_ms: int, margin_ms: int) -> list[tuple[int, bytes]]:
    """Return suite and ref of what a claim with the same times could find, last resorts included, ordered by both."""
    statement = (
        select(KeyPackage.suite, KeyPackage.ref)
        .where(*of_device(user_id, device_id), KeyPackage.not_after_ms > now_ms + margin_ms)
        .order_by(KeyPackage.suite, KeyPackage.ref)
    )
    return [(row.suite, row.ref) for row in conn.execute(statement)]


def list_stored(
    conn: Connection,
    user_id: str,
    device_id: str,
    *,
    is_last_resort: bool,
    suites: Collection[int] = (),
    after: int = 0,
    limit: int,
) -> list[ListedRow]:
    """Return stored key packages in the order in which they are handed out, expired ones too.

    Args:
        conn: any connection.
        user_id: the device's user.
        device_id: the device.
        is_last_resort: the last resorts, or the one-time key packages.
        suites: only of these; none: of all.
        after: `place` of the last one of the page before.
        limit: most to return.
    """
    statement = (
        select(
            KeyPackage.seq,
            KeyPackage.ref,
            KeyPackage.suite,
            KeyPackage.is_last_resort,
            KeyPackage.not_before_ms,
            KeyPackage.not_after_ms,
            KeyPackage.uploaded_at_ms,
            IssuedKeyPackage.issued_at_ms,
        )
        .outerjoin(IssuedKeyPackage, IssuedKeyPackage.ref == KeyPackage.ref)
        .where(*of_device(user_id, device_id), KeyPackage.is_last_resort.is_(is_last_resort), KeyPackage.seq > after)
        .order_by(KeyPackage.seq)
        .limit(limit)
    )
    if suites:
        statement = statement.where(KeyPackage.suite.in_(suites))
    return [ListedRow(*row) for row in conn.execute(statement)]


def list_issued(
    conn: Connection,
    user_id: str,
    device_id: str,
    *,
    suites: Collection[int] = (),
    after: tuple[int, bytes] = (-1, b""),
    limit: int,
) -> list[ListedRow]:
    """Return key packages that were handed out and are not stored any more, oldest issue first.

    Args:
        conn: any connection.
        user_id: the device's user.
        device_id: the device.
        suites: only of these; none: of all.
        after: `place` and `ref` of the last one of the page before.
        limit: most to return.
    """
    issued = IssuedKeyPackage
    statement = (
        select(
            issued.issued_at_ms,
            issued.ref,
            issued.suite,
            issued.is_last_resort,
            issued.not_before_ms,
            issued.not_after_ms,
            issued.uploaded_at_ms,
            issued.issued_at_ms,
        )
        .where(
            issued.user_id == user_id,
            issued.device_id == device_id,
            tuple_(issued.issued_at_ms, issued.ref) > after,
            ~select(KeyPackage.seq).where(KeyPackage.ref == issued.ref).exists(),
        )
        .order_by(issued.issued_at_ms, issued.ref)
        .limit(limit)
    )
    if suites:
        statement = statement.where(issued.suite.in_(suites))
    return [ListedRow(*row) for row in conn.execute(statement)]


def remove(
    conn: Connection,
    user_id: str,
    device_id: str,
    *,
    refs: Collection[bytes] = (),
    suites: Collection[int] = (),
    keep: Collection[bytes] = (),
) -> list[bytes]:
    """Delete stored key packages by ref, or all of some suites but those to keep; return the refs of those that were there."""
    named: list[ColumnElement[bool]] = [KeyPackage.ref.in_(refs)] if refs else []
    if suites:
        named.append(KeyPackage.suite.in_(suites) & KeyPackage.ref.not_in(keep))
    if not named:
        return []
    statement = delete(KeyPackage).where(*of_device(user_id, device_id), or_(*named)).returning(KeyPackage.ref)
    return sorted(conn.execute(statement).scalars())


def purge_expired(conn: Connection, *, now_ms: int) -> int:
    """Delete the key packages whose lifetime is over, note their devices, and return how many there were."""
    statement = delete(KeyPackage).where(KeyPackage.not_after_ms <= now_ms).returning(KeyPackage.user_id, KeyPackage.device_id)
    gone = [(row.user_id, row.device_id) for row in conn.execute(statement)]
    note_low(conn, gone)
    return len(gone)


def purge_issued(conn: Connection, *, issued_before_ms: int, now_ms: int) -> int:
    """Delete the records of issue before a time whose key packages could not be uploaded again anyway; return how many."""
    over = (IssuedKeyPackage.issued_at_ms < issued_before_ms, IssuedKeyPackage.not_after_ms <= now_ms)
    return conn.execute(delete(IssuedKeyPackage).where(*over)).rowcount


def note_low(conn: Connection, names: Iterable[tuple[str, str]]) -> None:
    """Number devices, by user id and device id, as ones whose key packages ran low, for who watches them."""
    for user_id, device_id in sorted(set(names)):
        is_named = (Device.user_id == user_id, Device.device_id == device_id, Device.deleted_at_ms.is_(None))
        conn.execute(update(Device).where(*is_named).values(status_version=take(conn, CounterName.STATUS)))


def changed_statuses(
    conn: Connection, after: int, limit: int, names: Collection[tuple[str, str]] = ()
) -> list[tuple[int, str, str]]:
    """Return number, user id and device id of devices that were noted after a number, in the order of their last numbers.

    Args:
        conn: any connection.
        after: the number.
        limit: most to return.
        names: only these devices, by user id and device id; none: all.
    """
    statement = (
        select(Device.status_version, Device.user_id, Device.device_id)
        .where(Device.status_version > after, Device.deleted_at_ms.is_(None))
        .order_by(Device.status_version)
        .limit(limit)
    )
    if names:
        statement = statement.where(tuple_(Device.user_id, Device.device_id).in_(names))
    return [(row.status_version, row.user_id, row.device_id) for row in conn.execute(statement)]


def last_noted(conn: Connection) -> int:
    """Return the last number that `note_low` gave."""
    return current(conn, CounterName.STATUS)


def of_device(user_id: str, device_id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Return the conditions for a device's key packages."""
    return (KeyPackage.user_id == user_id, KeyPackage.device_id == device_id)
