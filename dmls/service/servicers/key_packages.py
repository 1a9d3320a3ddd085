"""dmls.v1.KeyPackageService."""

from __future__ import annotations

from dmls.service.calls import Calls
from dmls.service.handlers.key_packages import claim_key_packages, get_key_package_status, upload_key_packages
from dmls.service.signals import Signal
from dmls.v1 import key_package_pb2, key_package_pb2_grpc

__all__ = ["KeyPackageServicer"]


class KeyPackageServicer(key_package_pb2_grpc.KeyPackageServiceServicer):
    """Key packages of this homeserver's users' devices."""

    def __init__(self, calls: Calls, claimed: Signal) -> None:
        """Hand the RPCs to `calls`; `claimed` is fired when key packages were given out."""
        self._calls = calls
        self._claimed = claimed

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
        self._claimed.fire()
        return answer

    async def GetKeyPackageStatus(
        self, request: key_package_pb2.GetKeyPackageStatusRequest, context: object
    ) -> key_package_pb2.GetKeyPackageStatusResponse:
        """See the contract."""
        return await self._calls.read(get_key_package_status, request)
