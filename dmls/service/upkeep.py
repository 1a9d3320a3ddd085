"""What is deleted when its time is over: by the service itself from time to time, and by operators when they want."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from devicestore import Connection, audit, blobs, idempotency, key_package_lists, key_package_secrets, outbox, room_changes
from dmls.rooms.outbox import BlobToStore, Kind, decode_item
from dmls.service.core import Core
from dmls.v1 import admin_pb2

__all__ = ["TASKS", "run_task", "run_tasks"]

ACKED_FOR_MS: Final = 7 * 86_400_000
"""How long an acknowledged outbox item is remembered, so that another answer to it is noticed, in milliseconds."""
ISSUED_FOR_MS: Final = 90 * 86_400_000
"""How long it is remembered at least to whom a key package was given, in milliseconds."""
AUDIT_FOR_MS: Final = 90 * 86_400_000
"""How long audit entries are kept, in milliseconds."""
BLOB_FOR_MS: Final = 8 * 86_400_000
"""How long a blob is kept after it came last: a day longer than an event may wait for one, in milliseconds."""

TOLD_FOR_MS: Final = 7 * 86_400_000
"""How long is kept what happened in rooms, for streams that go on from a cursor, in milliseconds."""

_PAGE: Final = 500

Task = Callable[[Connection, int], int]
"""Deletes what is over at a time and returns how many rows that were."""


class _Undone(Exception):
    """Carries a count out of a unit of work that is to leave nothing behind."""

    def __init__(self, count: int) -> None:
        super().__init__("undone")
        self.count = count


def _purge_key_packages(conn: Connection, now_ms: int) -> int:
    expired = key_package_lists.purge_expired(conn, now_ms=now_ms)
    return expired + key_package_lists.purge_issued(conn, issued_before_ms=now_ms - ISSUED_FOR_MS, now_ms=now_ms)


def _purge_secrets(conn: Connection, now_ms: int) -> int:
    acked = outbox.purge(conn, acked_before_ms=now_ms - ACKED_FOR_MS)
    told = room_changes.purge(conn, before_ms=now_ms - TOLD_FOR_MS)
    return key_package_secrets.purge(conn, now_ms=now_ms) + acked + told


def _purge_blobs(conn: Connection, now_ms: int) -> int:
    waiting: set[bytes] = set()
    after = 0
    while rows := outbox.read_after(conn, after, _PAGE, kind=Kind.BLOB.value):
        actions = (decode_item(row).action for row in rows)
        waiting |= {action.sha256 for action in actions if isinstance(action, BlobToStore)}
        after = rows[-1].seq
    return blobs.purge(conn, before_ms=now_ms - BLOB_FOR_MS, keep=waiting)


def _purge_requests(conn: Connection, now_ms: int) -> int:
    return idempotency.purge_expired(conn, now_ms=now_ms)


def _purge_audit(conn: Connection, now_ms: int) -> int:
    return audit.purge(conn, before_ms=now_ms - AUDIT_FOR_MS)


def _optimize(conn: Connection, now_ms: int) -> int:
    # Statistics only: to compact a SQLite file is to copy it, keys included, and the old blocks stay on the disk.
    conn.exec_driver_sql("PRAGMA optimize" if conn.dialect.name == "sqlite" else "ANALYZE").close()
    return 0


TASKS: Final[Mapping[admin_pb2.MaintenanceTask, Task]] = {
    admin_pb2.MAINTENANCE_TASK_KEY_PACKAGES: _purge_key_packages,
    admin_pb2.MAINTENANCE_TASK_RETENTION: _purge_secrets,
    admin_pb2.MAINTENANCE_TASK_BLOBS: _purge_blobs,
    admin_pb2.MAINTENANCE_TASK_REQUEST_IDS: _purge_requests,
    admin_pb2.MAINTENANCE_TASK_AUDIT: _purge_audit,
    admin_pb2.MAINTENANCE_TASK_DATABASE: _optimize,
}
"""All tasks, in the order in which they run."""


def run_task(core: Core, task: admin_pb2.MaintenanceTask, *, dry_run: bool = False) -> int:
    """Run one task and return how many rows it deleted, or would delete.

    Raises:
        StoreError: the store cannot be written.
    """

    def work(conn: Connection) -> int:
        count = TASKS[task](conn, core.now_ms())
        if dry_run:
            raise _Undone(count)
        return count

    try:
        return core.store.write(work).result()
    except _Undone as undone:
        return undone.count


def run_tasks(core: Core) -> int:
    """Run all tasks and return how many rows they deleted.

    Raises:
        StoreError: the store cannot be written.
    """
    return sum(run_task(core, task) for task in TASKS)
