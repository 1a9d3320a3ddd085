"""dmls.v1.AdminService."""

from __future__ import annotations

from dmls.service.calls import Calls
from dmls.service.handlers.maintenance import run_maintenance
from dmls.service.handlers.server_info import get_server_info
from dmls.service.handlers.statistics import get_statistics
from dmls.service.parameters import parameter_table
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

    async def GetStatistics(self, request: admin_pb2.GetStatisticsRequest, context: object) -> admin_pb2.GetStatisticsResponse:
        """See the contract."""
        return await self._calls.read(get_statistics, request)

    async def GetParameters(self, request: admin_pb2.GetParametersRequest, context: object) -> admin_pb2.GetParametersResponse:
        """See the contract."""
        return admin_pb2.GetParametersResponse(parameters=parameter_table(self._calls.core.limits))

    async def RunMaintenance(self, request: admin_pb2.RunMaintenanceRequest, context: object) -> admin_pb2.RunMaintenanceResponse:
        """See the contract."""
        return await self._calls.change(run_maintenance, request, admin_pb2.RunMaintenanceResponse)
