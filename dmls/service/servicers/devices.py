"""dmls.v1.DeviceService."""

from __future__ import annotations

from dmls.service.calls import Calls
from dmls.service.handlers.devices import delete_device, list_devices, register_device
from dmls.v1 import device_pb2, device_pb2_grpc

__all__ = ["DeviceServicer"]


class DeviceServicer(device_pb2_grpc.DeviceServiceServicer):
    """Devices of this homeserver's users."""

    def __init__(self, calls: Calls) -> None:
        """Hand the RPCs to `calls`."""
        self._calls = calls

    async def RegisterDevice(
        self, request: device_pb2.RegisterDeviceRequest, context: object
    ) -> device_pb2.RegisterDeviceResponse:
        """See the contract."""
        return await self._calls.change(register_device, request, device_pb2.RegisterDeviceResponse)

    async def ListDevices(self, request: device_pb2.ListDevicesRequest, context: object) -> device_pb2.ListDevicesResponse:
        """See the contract."""
        return await self._calls.read(list_devices, request)

    async def DeleteDevice(self, request: device_pb2.DeleteDeviceRequest, context: object) -> device_pb2.DeleteDeviceResponse:
        """See the contract."""
        return await self._calls.change(delete_device, request, device_pb2.DeleteDeviceResponse)
