"""dmls.v1.AdminService."""

from __future__ import annotations

from dmls.service.calls import Calls
from dmls.service.handlers.server_info import get_server_info
from dmls.v1 import admin_pb2, admin_pb2_grpc

__all__ = ["AdminServicer"]


class AdminServicer(admin_pb2_grpc.AdminServiceServicer):
    """The service itself."""

    def __init__(self, calls: Calls) -> None:
        """Tell of the service of `calls`, which begins now."""
        self._calls = calls
        self._started_at_ms = calls.core.now_ms()

    async def GetServerInfo(self, request: admin_pb2.GetServerInfoRequest, context: object) -> admin_pb2.GetServerInfoResponse:
        """See the contract."""
        return await self._calls.run(lambda: get_server_info(self._calls.core, self._started_at_ms))
