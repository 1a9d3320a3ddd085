"""GetServerInfo."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version

from devicestore import migrations
from dmls.matrix.bodies import ALGORITHM
from dmls.mls.crypto.suites import CIPHER_SUITES
from dmls.service.convert import to_timestamp
from dmls.service.core import Core
from dmls.v1 import admin_pb2, common_pb2

__all__ = ["get_server_info"]

_SCHEDULES = (common_pb2.KEY_SCHEDULE_PPRF, common_pb2.KEY_SCHEDULE_RFC9420)


@cache
def _schema_revision() -> str:
    return migrations.head()


def get_server_info(core: Core, started_at_ms: int) -> admin_pb2.GetServerInfoResponse:
    """Tell what this service is; it began to serve at `started_at_ms`."""
    return admin_pb2.GetServerInfoResponse(
        version=version("dmls"),
        server_name=core.server_name,
        algorithm=ALGORITHM,
        cipher_suites=[suite.id for suite in CIPHER_SUITES],
        key_schedules=_SCHEDULES,
        hosting=core.hosting,
        incarnation=core.identity.incarnation,
        schema_revision=_schema_revision(),
        limits=core.limits.to_proto(),
        start_time=to_timestamp(started_at_ms),
        current_time=to_timestamp(core.now_ms()),
    )
