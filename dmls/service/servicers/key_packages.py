"""dmls.v1.KeyPackageService."""

from __future__ import annotations

from collections.abc import AsyncIterator

from dmls.service.calls import Calls
from dmls.service.handlers.key_package_lists import delete_key_packages, list_key_packages, replace_key_packages
from dmls.service.handlers.key_package_status import get_key_package_status, status_changes
from dmls.service.handlers.key_packages import claim_key_packages, upload_key_packages
from dmls.service.signals import Signal
from dmls.service.streams import Streams
from dmls.service.workers import Workers
from dmls.v1 import key_package_pb2, key_package_pb2_grpc

__all__ = ["KeyPackageServicer"]


class KeyPackageServicer(key_package_pb2_grpc.KeyPackageServiceServicer):
    """Key packages of this homeserver's users' devices."""

    def __init__(self, calls: Calls, workers: Workers, streams: Streams, claimed: Signal) -> None:
        """Hand the RPCs to `calls`, and WatchKeyPackageStatus to `streams`.

        `workers` keep the stock of hosted devices; `claimed` is fired when key packages were given out.
        """
        self._calls = calls
        self._workers = workers
        self._streams = streams
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
        self._workers.note_claims((user.user_id, device.device_id) for user in answer.users for device in user.devices)
        self._claimed.fire()
        return answer

    async def ReplaceKeyPackages(
        self, request: key_package_pb2.ReplaceKeyPackagesRequest, context: object
    ) -> key_package_pb2.ReplaceKeyPackagesResponse:
        """See the contract."""
        return await self._calls.change(replace_key_packages, request, key_package_pb2.ReplaceKeyPackagesResponse)

    async def ListKeyPackages(
        self, request: key_package_pb2.ListKeyPackagesRequest, context: object
    ) -> key_package_pb2.ListKeyPackagesResponse:
        """See the contract."""
        return await self._calls.read(list_key_packages, request)

    async def DeleteKeyPackages(
        self, request: key_package_pb2.DeleteKeyPackagesRequest, context: object
    ) -> key_package_pb2.DeleteKeyPackagesResponse:
        """See the contract."""
        answer = await self._calls.change(delete_key_packages, request, key_package_pb2.DeleteKeyPackagesResponse)
        self._workers.note_claims([(request.user_id, request.device_id)])
        return answer

    async def WatchKeyPackageStatus(
        self, request: key_package_pb2.WatchKeyPackageStatusRequest, context: object
    ) -> AsyncIterator[key_package_pb2.WatchKeyPackageStatusResponse]:
        """See the contract."""
        source = status_changes(self._calls.core, request)
        async for frame in self._streams.watch(key_package_pb2.WatchKeyPackageStatusResponse, source):
            yield frame

    async def GetKeyPackageStatus(
        self, request: key_package_pb2.GetKeyPackageStatusRequest, context: object
    ) -> key_package_pb2.GetKeyPackageStatusResponse:
        """See the contract."""
        return await self._calls.read(get_key_package_status, request)
