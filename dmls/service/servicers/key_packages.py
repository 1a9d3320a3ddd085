"""dmls.v1.KeyPackageService."""

from __future__ import annotations

from dmls.service.calls import Calls
from dmls.service.handlers.key_packages import claim_key_packages, get_key_package_status, upload_key_packages
from dmls.service.workers import Workers
from dmls.v1 import key_package_pb2, key_package_pb2_grpc

__all__ = ["KeyPackageServicer"]


class KeyPackageServicer(key_package_pb2_grpc.KeyPackageServiceServicer):
    """Key packages of this homeserver's users' devices."""

    def __init__(self, calls: Calls, workers: Workers) -> None:
        """Hand the RPCs to `calls`; `workers` keep the stock of hosted devices."""
        self._calls = calls
        self._workers = workers

    async def UploadKeyPackages(
        self, request: key_package_pb2.UploadKeyPackagesRequest, context: object
    ) -> key_package_pb2.UploadKeyPackagesResponse:
        """See the contract."""
        return await self._calls.change(upload_key_packages, request, key_package_pb2.UploadKeyPackagesResponse)

    async def ClaimKeyPackages(
        self, request: key_package_pb2.ClaimKeyPackagesRequest, context: object
    ) -> key_package_pb2.ClaimKeyPackagesResponse:
        """See the contract."""
        answer = await self._calls.change(claim_key_packages, request, key_package_pb2.ClaimKeyPackagesResponse)
        self._workers.note_claims((user.user_id, device.device_id) for user in answer.users for device in user.devices)
        return answer

    async def GetKeyPackageStatus(
        self, request: key_package_pb2.GetKeyPackageStatusRequest, context: object
    ) -> key_package_pb2.GetKeyPackageStatusResponse:
        """See the contract."""
        return await self._calls.read(get_key_package_status, request)
