"""Key packages: each is handed out once, oldest first; a last resort only when nothing else is left, and again and again.

A claim deletes the row and leaves its KeyPackageRef behind in the same transaction. That ref is unique and stays for as long as
the package could be uploaded again, so neither a repeated upload nor a second claim can bring it back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, select, update

from devicestore import devices
from devicestore.key_package_lists import note_low, of_device
from devicestore.models import IssuedKeyPackage, KeyPackage
from devicestore.statements import insert_or_ignore

__all__ = [
    "Claim",
    "ClaimStatus",
    "Claimant",
    "NewKeyPackage",
    "Upload",
    "UploadStatus",
    "claim",
    "is_issued",
    "upload",
]


@dataclass(frozen=True, slots=True)
class NewKeyPackage:
    """A key package to store; whoever uploads has checked it."""

    ref: bytes
    """Its KeyPackageRef."""
    suite: int
    not_before_ms: int
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
        .where(*of_device(user_id, device_id), KeyPackage.is_last_resort.is_(False))
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
    low_water_mark: int = 0,
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
        low_water_mark: who has no more than so many of a suite left is noted for those who watch, and who gave a last resort.
        skip_devices: device ids to leave out.
        accepts: tells by its capabilities whether a key package may be used; by default all may.
    """
    claims = [
        _claim_one(conn, device, suites, claimant, now_ms=now_ms, margin_ms=margin_ms, accepts=accepts)
        for device in devices.list_devices(conn, user_id)
        if device.device_id not in skip_devices
    ]
    note_low(conn, [(user_id, claim.device_id) for claim in claims if _is_low(conn, claim, low_water_mark)])
    return claims


def is_issued(conn: Connection, ref: bytes) -> bool:
    """Tell whether a key package was ever handed out."""
    return conn.execute(select(IssuedKeyPackage.ref).where(IssuedKeyPackage.ref == ref)).one_or_none() is not None


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
            .where(*of_device(user_id, device_id), KeyPackage.suite == item.suite, KeyPackage.is_last_resort)
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
            not_before_ms=item.not_before_ms,
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
    conditions = [*of_device(device.user_id, device.device_id), KeyPackage.not_after_ms > now_ms + margin_ms]
    if accepts is not None:
        conditions.append(KeyPackage.capabilities.in_(_accepted(conn, conditions, accepts)))
    for take, found in ((_take_one_time, ClaimStatus.CLAIMED), (_take_last_resort, ClaimStatus.LAST_RESORT)):
        for suite in usable:
            row = take(conn, [*conditions, KeyPackage.suite == suite])
            if row is not None:
                _record_issue(conn, device, row, claimant, now_ms)
                return Claim(device.user_id, device.device_id, found, row.ref, row.suite, row.data)
    return Claim(device.user_id, device.device_id, ClaimStatus.EXHAUSTED)


def _accepted(conn: Connection, conditions: Iterable[ColumnElement[bool]], accepts: Callable[[bytes], bool]) -> list[bytes]:
    # A device's key packages mostly share their capabilities, so few are looked at however many there are.
    kinds = conn.execute(select(KeyPackage.capabilities).where(*conditions).distinct()).scalars()
    return [capabilities for capabilities in kinds if accepts(capabilities)]


_CLAIMED = (
    KeyPackage.ref,
    KeyPackage.suite,
    KeyPackage.is_last_resort,
    KeyPackage.not_before_ms,
    KeyPackage.not_after_ms,
    KeyPackage.uploaded_at_ms,
    KeyPackage.data,
)


def _take_one_time(conn: Connection, conditions: Iterable[ColumnElement[bool]]) -> Row[*tuple[Any, ...]] | None:
    # First without waiting for rows that another claim holds, then waiting for them: a claim that is undone gives its row
    # back, and the last resort must not be spent while one is left. SQLite has one writer and ignores both.
    oldest = select(KeyPackage.seq).where(*conditions, KeyPackage.is_last_resort.is_(False)).order_by(KeyPackage.seq).limit(1)
    for candidate in (oldest.with_for_update(skip_locked=True), oldest.with_for_update()):
        row = conn.execute(
            delete(KeyPackage).where(KeyPackage.seq == candidate.scalar_subquery()).returning(*_CLAIMED)
        ).one_or_none()
        if row is not None:
            return row
    return None


def _take_last_resort(conn: Connection, conditions: Iterable[ColumnElement[bool]]) -> Row[*tuple[Any, ...]] | None:
    return conn.execute(
        update(KeyPackage).where(*conditions, KeyPackage.is_last_resort).values(uses=KeyPackage.uses + 1).returning(*_CLAIMED)
    ).one_or_none()


def _record_issue(
    conn: Connection, device: devices.DeviceRow, row: Row[*tuple[Any, ...]], claimant: Claimant, now_ms: int
) -> None:
    statement = insert_or_ignore(conn, IssuedKeyPackage, ("ref",)) if row.is_last_resort else insert(IssuedKeyPackage)
    conn.execute(
        statement,
        {
            "ref": row.ref,
            "user_id": device.user_id,
            "device_id": device.device_id,
            "suite": row.suite,
            "not_before_ms": row.not_before_ms,
            "not_after_ms": row.not_after_ms,
            "is_last_resort": row.is_last_resort,
            "uploaded_at_ms": row.uploaded_at_ms,
            "requester": claimant.requester,
            "request_id": claimant.request_id,
            "room_id": claimant.room_id,
            "issued_at_ms": now_ms,
        },
    )


def _is_low(conn: Connection, claim: Claim, low_water_mark: int) -> bool:
    if claim.status is not ClaimStatus.CLAIMED:
        return claim.status is ClaimStatus.LAST_RESORT
    left = (*of_device(claim.user_id, claim.device_id), KeyPackage.suite == claim.suite, KeyPackage.is_last_resort.is_(False))
    few = select(KeyPackage.seq).where(*left).limit(low_water_mark + 1).subquery()
    return conn.execute(select(func.count()).select_from(few)).scalar_one() <= low_water_mark
