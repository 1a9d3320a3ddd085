"""RunMaintenance."""

from __future__ import annotations

import time

from devicestore.errors import StoreError
from dmls.service.core import Core, Record, no_record
from dmls.service.status import to_failure
from dmls.service.upkeep import TASKS, run_task
from dmls.v1 import admin_pb2

__all__ = ["run_maintenance"]


def run_maintenance(
    core: Core, request: admin_pb2.RunMaintenanceRequest, record: Record = no_record
) -> admin_pb2.RunMaintenanceResponse:
    """Run tasks of upkeep, each by itself; rooms whose secrets are due for deletion are woken, too."""
    answer = admin_pb2.RunMaintenanceResponse(
        results=[_run(core, task, dry_run=request.dry_run) for task in request.tasks or TASKS]
    )
    core.store.write(lambda conn: record(conn, answer)).result()
    return answer


def _run(core: Core, task: admin_pb2.MaintenanceTask, *, dry_run: bool) -> admin_pb2.MaintenanceResult:
    result = admin_pb2.MaintenanceResult(task=task)
    start = time.monotonic_ns()
    try:
        result.deleted = run_task(core, task, dry_run=dry_run)
        if task == admin_pb2.MAINTENANCE_TASK_RETENTION and not dry_run:
            for room_id in core.keeper.due(core.now_ms()):
                core.keeper.wake(room_id)
    except StoreError as error:
        result.failure.CopyFrom(to_failure(error))
    result.duration.FromNanoseconds(time.monotonic_ns() - start)
    return result
