"""dmls.v1.DeviceService."""

from __future__ import annotations

from collections.abc import AsyncIterator

from dmls.service.calls import Calls
from dmls.service.handlers.device_changes import device_changes
from dmls.service.handlers.devices import delete_device, get_device, list_devices, register_device, update_device
from dmls.service.signals import Signal
from dmls.service.streams import Streams
from dmls.v1 import device_pb2, device_pb2_grpc

__all__ = ["DeviceServicer"]


class DeviceServicer(device_pb2_grpc.DeviceServiceServicer):
    """Devices of this homeserver's users."""

    def __init__(self, calls: Calls, streams: Streams, changed: Signal) -> None:
        """Hand the RPCs to `calls`, and WatchDevices to `streams`; `changed` is fired when a device was changed."""
        self._calls = calls
        self._streams = streams
        self._changed = changed

    async def RegisterDevice(
        self, request: device_pb2.RegisterDeviceRequest, context: object
    ) -> device_pb2.RegisterDeviceResponse:
        """See the contract."""
        answer = await self._calls.change(register_device, request, device_pb2.RegisterDeviceResponse)
        self._changed.fire()
        return answer

    async def GetDevice(self, request: device_pb2.GetDeviceRequest, context: object) -> device_pb2.GetDeviceResponse:
        """See the contract."""
        return await self._calls.read(get_device, request)

    async def ListDevices(self, request: device_pb2.ListDevicesRequest, context: object) -> device_pb2.ListDevicesResponse:
        """See the contract."""
        return await self._calls.read(list_devices, request)

    async def UpdateDevice(self, request: device_pb2.UpdateDeviceRequest, context: object) -> device_pb2.UpdateDeviceResponse:
        """See the contract."""
        answer = await self._calls.change(update_device, request, device_pb2.UpdateDeviceResponse)
        self._changed.fire()
        return answer

    async def DeleteDevice(self, request: device_pb2.DeleteDeviceRequest, context: object) -> device_pb2.DeleteDeviceResponse:
        """See the contract."""
        answer = await self._calls.change(delete_device, request, device_pb2.DeleteDeviceResponse)
        self._changed.fire()
        return answer

    async def WatchDevices(
        self, request: device_pb2.WatchDevicesRequest, context: object
    ) -> AsyncIterator[device_pb2.WatchDevicesResponse]:
        """See the contract."""
        async for frame in self._streams.watch(device_pb2.WatchDevicesResponse, device_changes(self._calls.core, request)):
            yield frame
