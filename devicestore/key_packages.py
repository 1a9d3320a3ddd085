"""Key packages: each is handed out once, oldest first; a last resort only when nothing else is left, and again and again.

A claim deletes the row and leaves the hash of its KeyPackageRef behind in the same transaction. That hash is unique and stays,
so neither a repeated upload nor a second claim can bring the package back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, case, delete, func, insert, select, update

from devicestore import devices
from devicestore.models import IssuedKeyPackage, KeyPackage
from devicestore.statements import insert_or_ignore

__all__ = [
    "Claim",
    "ClaimStatus",
    "Claimant",
    "NewKeyPackage",
    "SuiteStatus",
    "Upload",
    "UploadStatus",
    "available",
    "claim",
    "is_issued",
    "purge_expired",
    "status",
    "upload",
]


@dataclass(frozen=True, slots=True)
class NewKeyPackage:
    """A key package to store; whoever uploads has checked it."""

    ref: bytes
    """Its KeyPackageRef."""
    suite: int
    not_after_ms: int
    is_last_resort: bool
    data: bytes
    capabilities: bytes
    """What `claim` shows to its `accepts`; equal capabilities have equal bytes."""


class UploadStatus(StrEnum):
    """What became of one uploaded key package."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    """The same one is stored already; nothing was changed."""
    ALREADY_CLAIMED = "already_claimed"
    """It was handed out, and is refused for ever."""
    CONFLICT = "conflict"
    """Its ref is stored with other content or for another device."""
    LIMIT = "limit"
    """The device has as many of this suite as it may."""


@dataclass(frozen=True, slots=True)
class Upload:
    """The answer for one uploaded key package."""

    ref: bytes
    status: UploadStatus
    replaced: bytes | None = None
    """The ref of the last resort whose place this one took."""


class ClaimStatus(StrEnum):
    """What a claim found for one device."""

    CLAIMED = "claimed"
    LAST_RESORT = "last_resort"
    EXHAUSTED = "exhausted"
    UNSUPPORTED = "unsupported"
    """The device has none of the suites that were asked for."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer for one device: a key package unless it is EXHAUSTED or UNSUPPORTED."""

    user_id: str
    device_id: str
    status: ClaimStatus
    ref: bytes = b""
    suite: int = 0
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Claimant:
    """Who claims, for the record that stays."""

    requester: str
    request_id: str
    room_id: str | None


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


def upload(
    conn: Connection, user_id: str, device_id: str, items: Sequence[NewKeyPackage], *, limit: int, now_ms: int
) -> list[Upload]:
    """Store key packages of a device and answer for each, in order.

    Args:
        conn: a writing connection.
        user_id: the device's user.
        device_id: the device.
        items: the key packages. A last resort takes the place of the one before of its suite.
        limit: most one-time key packages that the device may have of one suite.
        now_ms: the time of upload.

    Raises:
        NotFound: the device is not registered.
    """
    devices.get(conn, user_id, device_id)
    counts = dict[int, int]()
    for suite, count in conn.execute(
        select(KeyPackage.suite, func.count())
        .where(*_of_device(user_id, device_id), KeyPackage.is_last_resort.is_(False))
        .group_by(KeyPackage.suite)
    ):
        counts[suite] = count
    return [_upload_one(conn, user_id, device_id, item, counts, limit=limit, now_ms=now_ms) for item in items]


def claim(
    conn: Connection,
    user_id: str,
    suites: Sequence[int],
    claimant: Claimant,
    *,
    now_ms: int,
    margin_ms: int,
    skip_devices: Collection[str] = (),
    accepts: Callable[[bytes], bool] | None = None,
) -> list[Claim]:
    """Take one key package of each device of a user, or its last resort, ordered by device id.

    Args:
        conn: a writing connection.
        user_id: whose devices. A user without devices gets an empty answer.
        suites: what the claimant can use, most wanted first. A one-time key package of any of them goes before every last resort.
        claimant: recorded with each key package that is handed out.
        now_ms: the time.
        margin_ms: what expires within this time is not handed out.
        skip_devices: device ids to leave out.
        accepts: tells by its capabilities whether a key package may be used; by default all may.
    """
    return [
        _claim_one(conn, device, suites, claimant, now_ms=now_ms, margin_ms=margin_ms, accepts=accepts)
        for device in devices.list_devices(conn, user_id)
        if device.device_id not in skip_devices
    ]


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
        .where(*_of_device(user_id, device_id), KeyPackage.not_after_ms > now_ms + margin_ms)
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
        .where(*_of_device(user_id, device_id), KeyPackage.not_after_ms > now_ms + margin_ms)
        .order_by(KeyPackage.suite, KeyPackage.ref)
    )
    return [(row.suite, row.ref) for row in conn.execute(statement)]


def is_issued(conn: Connection, ref: bytes) -> bool:
    """Tell whether a key package was ever handed out."""
    return (
        conn.execute(select(IssuedKeyPackage.ref_hash).where(IssuedKeyPackage.ref_hash == _hash(ref))).one_or_none() is not None
    )


def purge_expired(conn: Connection, *, now_ms: int) -> int:
    """Delete the key packages whose lifetime is over and return how many there were."""
    return conn.execute(delete(KeyPackage).where(KeyPackage.not_after_ms <= now_ms)).rowcount


def _upload_one(
    conn: Connection, user_id: str, device_id: str, item: NewKeyPackage, counts: dict[int, int], *, limit: int, now_ms: int
) -> Upload:
    stored = conn.execute(
        select(KeyPackage.user_id, KeyPackage.device_id, KeyPackage.is_last_resort, KeyPackage.data).where(
            KeyPackage.ref == item.ref
        )
    ).one_or_none()
    if stored is not None:
        is_same = tuple(stored) == (user_id, device_id, item.is_last_resort, item.data)
        return Upload(item.ref, UploadStatus.DUPLICATE if is_same else UploadStatus.CONFLICT)
    if is_issued(conn, item.ref):
        return Upload(item.ref, UploadStatus.ALREADY_CLAIMED)
    replaced: bytes | None = None
    if item.is_last_resort:
        replaced = conn.execute(
            delete(KeyPackage)
            .where(*_of_device(user_id, device_id), KeyPackage.suite == item.suite, KeyPackage.is_last_resort)
            .returning(KeyPackage.ref)
        ).scalar_one_or_none()
    elif counts.get(item.suite, 0) >= limit:
        return Upload(item.ref, UploadStatus.LIMIT)
    else:
        counts[item.suite] = counts.get(item.suite, 0) + 1
    conn.execute(
        insert(KeyPackage).values(
            ref=item.ref,
            user_id=user_id,
            device_id=device_id,
            suite=item.suite,
            not_after_ms=item.not_after_ms,
            is_last_resort=item.is_last_resort,
            uses=0,
            capabilities=item.capabilities,
            data=item.data,
            uploaded_at_ms=now_ms,
        )
    )
    return Upload(item.ref, UploadStatus.STORED, replaced)


def _claim_one(
    conn: Connection,
    device: devices.DeviceRow,
    suites: Sequence[int],
    claimant: Claimant,
    *,
    now_ms: int,
    margin_ms: int,
    accepts: Callable[[bytes], bool] | None,
) -> Claim:
    usable = [suite for suite in suites if suite in device.suites]
    if not usable:
        return Claim(device.user_id, device.device_id, ClaimStatus.UNSUPPORTED)
    conditions = [*_of_device(device.user_id, device.device_id), KeyPackage.not_after_ms > now_ms + margin_ms]
    if accepts is not None:
        conditions.append(KeyPackage.capabilities.in_(_accepted(conn, conditions, accepts)))
    for take, found in ((_take_one_time, ClaimStatus.CLAIMED), (_take_last_resort, ClaimStatus.LAST_RESORT)):
        for suite in usable:
            row = take(conn, [*conditions, KeyPackage.suite == suite])
            if row is not None:
                _record_issue(conn, device, row.ref, claimant, now_ms, is_repeatable=found is ClaimStatus.LAST_RESORT)
                return Claim(device.user_id, device.device_id, found, row.ref, row.suite, row.data)
    return Claim(device.user_id, device.device_id, ClaimStatus.EXHAUSTED)


def _accepted(conn: Connection, conditions: Iterable[ColumnElement[bool]], accepts: Callable[[bytes], bool]) -> list[bytes]:
    # A device's key packages mostly share their capabilities, so few are looked at however many there are.
    kinds = conn.execute(select(KeyPackage.capabilities).where(*conditions).distinct()).scalars()
    return [capabilities for capabilities in kinds if accepts(capabilities)]


def _take_one_time(conn: Connection, conditions: Iterable[ColumnElement[bool]]) -> Row[*tuple[Any, ...]] | None:
    # First without waiting for rows that another claim holds, then waiting for them: a claim that is undone gives its row
    # back, and the last resort must not be spent while one is left. SQLite has one writer and ignores both.
    oldest = select(KeyPackage.seq).where(*conditions, KeyPackage.is_last_resort.is_(False)).order_by(KeyPackage.seq).limit(1)
    for candidate in (oldest.with_for_update(skip_locked=True), oldest.with_for_update()):
        row = conn.execute(
            delete(KeyPackage)
            .where(KeyPackage.seq == candidate.scalar_subquery())
            .returning(KeyPackage.ref, KeyPackage.suite, KeyPackage.data)
        ).one_or_none()
        if row is not None:
            return row
    return None


def _take_last_resort(conn: Connection, conditions: Iterable[ColumnElement[bool]]) -> Row[*tuple[Any, ...]] | None:
    return conn.execute(
        update(KeyPackage)
        .where(*conditions, KeyPackage.is_last_resort)
        .values(uses=KeyPackage.uses + 1)
        .returning(KeyPackage.ref, KeyPackage.suite, KeyPackage.data)
    ).one_or_none()


def _record_issue(
    conn: Connection, device: devices.DeviceRow, ref: bytes, claimant: Claimant, now_ms: int, *, is_repeatable: bool
) -> None:
    statement = insert_or_ignore(conn, IssuedKeyPackage, ("ref_hash",)) if is_repeatable else insert(IssuedKeyPackage)
    conn.execute(
        statement,
        {
            "ref_hash": _hash(ref),
            "user_id": device.user_id,
            "device_id": device.device_id,
            "requester": claimant.requester,
            "request_id": claimant.request_id,
            "room_id": claimant.room_id,
            "issued_at_ms": now_ms,
        },
    )


def _of_device(user_id: str, device_id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return (KeyPackage.user_id == user_id, KeyPackage.device_id == device_id)


def _hash(ref: bytes) -> bytes:
    return hashlib.sha256(ref).digest()
