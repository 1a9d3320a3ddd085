"""Counts, upkeep and parameters over gRPC."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from devicestore import Store, blobs, idempotency
from dmls.service.app import open_core
from dmls.service.config import Settings
from dmls.service.parameters import PARAMETERS
from dmls.service.upkeep import BLOB_FOR_MS, TASKS, run_task
from dmls.v1 import admin_pb2
from tests.service.loopback import run
from tests.service.recording import small_room
from tests.service.scene import Client, now_ms, running

ALICE = "@alice:hs1"
BLOBS = admin_pb2.MAINTENANCE_TASK_BLOBS


def test_everything_is_counted(tmp_path: Path) -> None:
    async def main() -> None:
        async with small_room(tmp_path) as world:
            hs1 = world.homes["hs1"]
            phone = Client("@carol:hs1", "PHONE", os.urandom)
            await hs1.register(phone.user_id, "PHONE", phone)
            await hs1.upload(phone, phone.key_packages(3, last_resort=True))
            told = await hs1.admin.GetStatistics(admin_pb2.GetStatisticsRequest())
            assert (told.users, told.hosted_devices, told.client_devices) == (2, 1, 1)
            (suite,) = told.key_packages
            assert (suite.cipher_suite, suite.available, suite.last_resort, suite.claimed) == (1, 13, 2, 0)
            graph = (await hs1.room()).room
            assert (told.rooms, told.forked_rooms, told.nodes, told.parked_events) == (1, graph.fork_count, 2, 0)
            assert told.held_epochs >= 1
            assert told.database_bytes >= 4_096
            assert abs(told.time.ToMilliseconds() - now_ms()) < 60_000
            waiting = await hs1.pending()
            assert told.outbox_items == len(waiting)
            assert told.HasField("oldest_outbox_item_time") == bool(waiting)

    run(main())


def test_upkeep_runs_the_tasks_that_are_asked_for_or_all(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            dry = await home.admin.RunMaintenance(admin_pb2.RunMaintenanceRequest(dry_run=True, tasks=[BLOBS]))
            assert [(each.task, each.deleted) for each in dry.results] == [(BLOBS, 0)]
            answer = await home.admin.RunMaintenance(admin_pb2.RunMaintenanceRequest(request_id="r1"))
            assert [each.task for each in answer.results] == list(TASKS)
            assert not any(each.HasField("failure") for each in answer.results)
            again = await home.admin.RunMaintenance(admin_pb2.RunMaintenanceRequest(request_id="r1"))
            assert again == answer

    run(main())


def _fill(store: Store) -> None:
    old_ms = now_ms() - BLOB_FOR_MS - 60_000
    store.write(lambda conn: blobs.put(conn, b"old", now_ms=old_ms)).result()
    store.write(lambda conn: blobs.put(conn, b"new", now_ms=now_ms())).result()


def test_a_blob_that_came_again_is_kept(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    core = open_core(Settings(data=tmp_path, server_name="hs1"), lambda report: None)
    _fill(core.store)
    assert run_task(core, BLOBS, dry_run=True) == 1
    sha256 = core.store.write(lambda conn: blobs.put(conn, b"old", now_ms=now_ms())).result()
    assert run_task(core, BLOBS) == 0
    assert core.store.read(lambda conn: blobs.get(conn, sha256)) == b"old"
    core.store.close()


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_dry_run_leaves_everything(tmp_path: Path, dry_run: bool) -> None:
    tmp_path.chmod(0o700)
    core = open_core(Settings(data=tmp_path, server_name="hs1"), lambda report: None)

    def fill(conn: object) -> None:
        idempotency.put(conn, "c", "m", "r", b"h", b"answer", now_ms=1, expires_at_ms=2)  # type: ignore[arg-type]

    core.store.write(fill).result()
    task = admin_pb2.MAINTENANCE_TASK_REQUEST_IDS
    assert run_task(core, task, dry_run=dry_run) == 1
    assert run_task(core, task) == (1 if dry_run else 0)
    core.store.close()


def test_every_parameter_is_told_with_the_value_in_force(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            told = (await home.admin.GetParameters(admin_pb2.GetParametersRequest())).parameters
            info = await home.admin.GetServerInfo(admin_pb2.GetServerInfoRequest())
            names = [each.name for each in told]
            assert names == sorted(set(names)) == [each.name for each in PARAMETERS]
            assert all(each.value and each.description.endswith(".") and each.source for each in told)
            values = {each.name: each.value for each in told}
            assert values["key_package.max_lifetime"] == str(info.limits.max_key_package_lifetime.seconds)
            assert values["group.max_members"] == str(info.limits.max_group_members)

    run(main())
