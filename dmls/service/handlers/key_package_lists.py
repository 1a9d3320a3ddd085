"""ReplaceKeyPackages, ListKeyPackages, DeleteKeyPackages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from devicestore import Connection, key_package_lists, key_package_secrets, key_packages
from devicestore.devices import Custody
from devicestore.key_package_lists import ListedRow
from dmls.errors import DMLSError, StateError
from dmls.rooms.key_packages import CLAIM_MARGIN_MS, REPLACED_FOR_MS
from dmls.service.convert import to_timestamp
from dmls.service.core import Core, Record, no_record
from dmls.service.errors import InvalidItemError, InvalidRequestError, Violation
from dmls.service.handlers.key_package_status import to_status
from dmls.service.handlers.key_packages import check_uploads, find_device, judge_upload, upload_result
from dmls.service.paging import Place, page_of, page_size, read_token
from dmls.v1 import key_package_pb2

__all__ = ["delete_key_packages", "list_key_packages", "replace_key_packages"]

_AVAILABLE = key_package_pb2.KEY_PACKAGE_STATE_AVAILABLE
_CLAIMED = key_package_pb2.KEY_PACKAGE_STATE_CLAIMED
_EXPIRED = key_package_pb2.KEY_PACKAGE_STATE_EXPIRED
_ONE_TIME, _LAST_RESORT, _ISSUED = b"\x00", b"\x01", b"\x02"
"""The parts of a list, in their order."""
_BATCH = 200
_LAST_NUMBER = (1 << 63) - 1


def replace_key_packages(
    core: Core, request: key_package_pb2.ReplaceKeyPackagesRequest, record: Record = no_record
) -> key_package_pb2.ReplaceKeyPackagesResponse:
    """Exchange the key packages of some suites of a client device for others; those that are in both stay.

    Raises:
        UnknownResourceError: the device is not registered.
        StateError: its keys are held here.
        InvalidItemError: one is bad; nothing has changed.
    """
    row = find_device(core, request.user_id, request.device_id)
    if row.custody is Custody.HOSTED:
        raise StateError("the key packages of a hosted device are made here")
    items = []
    for position, item in enumerate(check_uploads(core, row, request.key_packages)):
        if isinstance(item, DMLSError):
            raise InvalidItemError(f"key_packages[{position}]", item)
        items.append(item)
    suites = set(request.cipher_suites) or {item.suite for item in items}

    def work(conn: Connection) -> key_package_pb2.ReplaceKeyPackagesResponse:
        kept = [item.ref for item in items]
        gone = key_package_lists.remove(conn, row.user_id, row.device_id, suites=suites, keep=kept)
        limit = core.limits.max_key_packages_per_device
        uploads = key_packages.upload(conn, row.user_id, row.device_id, items, limit=limit, now_ms=core.now_ms())
        outcomes = [judge_upload(upload) for upload in uploads]
        for position, outcome in enumerate(outcomes):
            if isinstance(outcome, DMLSError):
                raise InvalidItemError(f"key_packages[{position}]", outcome)
        replaced = [upload.replaced for upload in uploads if upload.replaced is not None]
        answer = key_package_pb2.ReplaceKeyPackagesResponse(
            results=[upload_result(item, outcome) for item, outcome in zip(items, outcomes, strict=True)],
            deleted_refs=sorted({*gone, *replaced}),
            status=to_status(conn, core, row.user_id, row.device_id),
        )
        record(conn, answer)
        return answer

    return core.store.write(work).result()


def delete_key_packages(
    core: Core, request: key_package_pb2.DeleteKeyPackagesRequest, record: Record = no_record
) -> key_package_pb2.DeleteKeyPackagesResponse:
    """Delete key packages of a device; the stock of a hosted one is filled up again.

    Raises:
        UnknownResourceError: the device is not registered.
    """
    row = find_device(core, request.user_id, request.device_id)

    def work(conn: Connection) -> key_package_pb2.DeleteKeyPackagesResponse:
        gone = key_package_lists.remove(
            conn, row.user_id, row.device_id, refs=set(request.refs), suites=set(request.cipher_suites)
        )
        for ref in gone:
            # A last resort may have been given out, and the Welcome be on its way.
            was_issued = key_packages.is_issued(conn, ref)
            key_package_secrets.consume(conn, ref, delete_after_ms=core.now_ms() + (REPLACED_FOR_MS if was_issued else 0))
        answer = key_package_pb2.DeleteKeyPackagesResponse(
            deleted_refs=gone, status=to_status(conn, core, row.user_id, row.device_id)
        )
        record(conn, answer)
        return answer

    return core.store.write(work).result()


def list_key_packages(core: Core, request: key_package_pb2.ListKeyPackagesRequest) -> key_package_pb2.ListKeyPackagesResponse:
    """Return a page of a device's key packages: one-time ones and last resorts in the order of issue, then those given out.

    Raises:
        UnknownResourceError: the device is not registered.
        InvalidRequestError: the page token is not one of this list.
    """
    row = find_device(core, request.user_id, request.device_id)
    owner = (row.user_id, row.device_id)
    states, suites = set(request.states) or {_AVAILABLE}, tuple(request.cipher_suites)
    part, number, ref = _read_place(request.page_token)
    size = page_size(request.page_size)
    claimable_until_ms = core.now_ms() + CLAIM_MARGIN_MS

    def walk(conn: Connection) -> Iterator[tuple[Place, key_package_pb2.StoredKeyPackage]]:
        for name in (_ONE_TIME, _LAST_RESORT):
            if part <= name and states & {_AVAILABLE, _EXPIRED}:
                rows = _stored(conn, owner, suites, is_last_resort=name == _LAST_RESORT)
                for each in _walk(rows, number if part == name else 0, b""):
                    state = _AVAILABLE if each.not_after_ms > claimable_until_ms else _EXPIRED
                    yield (name, _number(each.place), each.ref), _to_proto(each, state)
        if _CLAIMED in states:
            start = (number, ref) if part == _ISSUED else (-1, b"")
            for each in _walk(_issued(conn, owner, suites), *start):
                yield (_ISSUED, _number(each.place), each.ref), _to_proto(each, _CLAIMED)

    def read(conn: Connection) -> list[tuple[Place, key_package_pb2.StoredKeyPackage]]:
        found = (each for each in walk(conn) if each[1].state in states)
        return list(islice(found, size + 1))

    page, token = page_of(core.store.read(read), lambda found: found[0], size, None)
    return key_package_pb2.ListKeyPackagesResponse(key_packages=[told for _, told in page], next_page_token=token)


def _number(value: int) -> bytes:
    return value.to_bytes(8, "big")


def _read_place(token: str) -> tuple[bytes, int, bytes]:
    place = read_token(token)
    if place is None:
        return _ONE_TIME, 0, b""
    if len(place) != 3 or place[0] not in (_ONE_TIME, _LAST_RESORT, _ISSUED) or len(place[1]) != 8:
        raise InvalidRequestError(Violation("page_token", "not a token of this list"))
    return place[0], int.from_bytes(place[1], "big") & _LAST_NUMBER, place[2]


_Read = Callable[[int, bytes], list[ListedRow]]
"""Returns the rows after a place, at most `_BATCH`."""


def _stored(conn: Connection, owner: tuple[str, str], suites: tuple[int, ...], *, is_last_resort: bool) -> _Read:
    return lambda number, _: key_package_lists.list_stored(
        conn, *owner, is_last_resort=is_last_resort, suites=suites, after=number, limit=_BATCH
    )


def _issued(conn: Connection, owner: tuple[str, str], suites: tuple[int, ...]) -> _Read:
    return lambda *place: key_package_lists.list_issued(conn, *owner, suites=suites, after=place, limit=_BATCH)


def _walk(read: _Read, number: int, ref: bytes) -> Iterator[ListedRow]:
    """Yield the rows of a list after a place, however many are looked at before a page is full."""
    while True:
        rows = read(number, ref)
        yield from rows
        if len(rows) < _BATCH:
            return
        number, ref = rows[-1].place, rows[-1].ref


def _to_proto(row: ListedRow, state: key_package_pb2.KeyPackageState) -> key_package_pb2.StoredKeyPackage:
    return key_package_pb2.StoredKeyPackage(
        ref=row.ref,
        cipher_suite=row.suite,
        state=state,
        last_resort=row.is_last_resort,
        not_before=to_timestamp(row.not_before_ms),
        not_after=to_timestamp(row.not_after_ms),
        upload_time=to_timestamp(row.uploaded_at_ms),
        claim_time=None if row.issued_at_ms is None else to_timestamp(row.issued_at_ms),
    )
