"""GetStatistics."""

from __future__ import annotations

from devicestore.statistics import take_statistics
from dmls.rooms.key_packages import CLAIM_MARGIN_MS
from dmls.service.convert import to_timestamp
from dmls.service.core import Core
from dmls.v1 import admin_pb2

__all__ = ["get_statistics"]


def get_statistics(core: Core, request: admin_pb2.GetStatisticsRequest) -> admin_pb2.GetStatisticsResponse:
    """Count what the store holds."""
    now_ms = core.now_ms()
    taken = core.store.read(lambda conn: take_statistics(conn, now_ms=now_ms, margin_ms=CLAIM_MARGIN_MS))
    oldest_ms = taken.oldest_outbox_item_ms
    return admin_pb2.GetStatisticsResponse(
        users=taken.users,
        hosted_devices=taken.hosted_devices,
        client_devices=taken.client_devices,
        key_packages=[
            admin_pb2.KeyPackageCount(
                cipher_suite=each.suite, available=each.available, last_resort=each.last_resort, claimed=each.claimed
            )
            for each in taken.key_packages
        ],
        rooms=taken.rooms,
        forked_rooms=taken.forked_rooms,
        held_epochs=taken.held_epochs,
        nodes=taken.nodes,
        parked_events=taken.parked_events,
        outbox_items=taken.outbox_items,
        oldest_outbox_item_time=None if oldest_ms is None else to_timestamp(oldest_ms),
        database_bytes=taken.database_bytes,
        time=to_timestamp(now_ms),
    )
