"""What several store tests share."""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection as Pipe
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection

from devicestore import Store
from devicestore.devices import Custody, DeviceRow, register
from devicestore.key_packages import Claimant, NewKeyPackage

__all__ = ["ALICE", "CLAIMANT", "DAY_MS", "Pipe", "add_device", "device", "key_package", "raw_files", "start", "write"]

T = TypeVar("T")
ALICE = "@alice:hs1"
CLAIMANT = Claimant(requester="hs2", request_id="r1", room_id="!room:hs1")
DAY_MS = 86_400_000

# Forked from a process that has imported everything and runs no threads: quick to start, and nothing is shared.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["tests.devicestore.processes"])


def start(target: Callable[..., None], *arguments: Any) -> tuple[ForkServerProcess, Pipe]:
    """Run `target(*arguments, pipe)` in a process of its own and return it with the reading end of the pipe."""
    receiver, sender = _PROCESSES.Pipe(duplex=False)
    process = _PROCESSES.Process(target=target, args=(*arguments, sender))
    process.start()
    sender.close()
    return process, receiver


def write(store: Store, work: Callable[[Connection], T]) -> T:
    return store.write(work).result(timeout=30)


def device(
    user_id: str = ALICE,
    device_id: str = "A1",
    key: bytes = b"key of A1",
    custody: Custody = Custody.CLIENT,
    suites: tuple[int, ...] = (1,),
) -> DeviceRow:
    return DeviceRow(
        user_id=user_id,
        device_id=device_id,
        custody=custody,
        signature_key=key,
        credential=b"credential",
        suites=suites,
        display_name=None,
        created_at_ms=1,
    )


def add_device(store: Store, **fields: object) -> DeviceRow:
    added = device(**fields)  # type: ignore[arg-type]
    write(store, lambda conn: register(conn, added, b"private" if added.custody is Custody.HOSTED else None))
    return added


def key_package(number: int, *, suite: int = 1, last_resort: bool = False, not_after_ms: int = DAY_MS) -> NewKeyPackage:
    data = b"key package %d of suite %d" % (number, suite)
    return NewKeyPackage(
        ref=hashlib.sha256(data).digest(),
        suite=suite,
        not_before_ms=0,
        not_after_ms=not_after_ms,
        is_last_resort=last_resort,
        data=data,
        capabilities=b"base",
    )


def raw_files(store_file: Path) -> bytes:
    """All bytes of the database and of whatever lies beside it."""
    return b"\x00".join(
        file.read_bytes() for file in sorted(store_file.parent.iterdir()) if file.name.startswith(store_file.name)
    )
