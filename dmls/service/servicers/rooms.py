"""dmls.v1.RoomService."""

from __future__ import annotations

from collections.abc import AsyncIterator

from dmls.service.calls import Calls
from dmls.service.core import Core, Record
from dmls.service.handlers.blobs import BlobParts, get_blob, put_blob
from dmls.service.handlers.claims import provide_key_packages
from dmls.service.handlers.device_lists import update_device_lists
from dmls.service.handlers.forgetting import forget_room
from dmls.service.handlers.ingest import ingest_events, ingest_to_device
from dmls.service.handlers.outbox import ack_outbox, outbox_items
from dmls.service.handlers.room_changes import happenings
from dmls.service.handlers.room_state import update_room_state
from dmls.service.handlers.views import get_epoch_graph, get_group_info, get_ratchet_tree, get_room, list_rooms
from dmls.service.streams import Streams
from dmls.v1 import room_pb2, room_pb2_grpc

__all__ = ["RoomServicer"]

_PIECE = 256 * 1024


class RoomServicer(room_pb2_grpc.RoomServiceServicer):
    """The rooms of this homeserver, and the outbox."""

    def __init__(self, calls: Calls, outbox: Streams, changes: Streams) -> None:
        """Hand the RPCs to `calls`, WatchOutbox to `outbox`, and WatchRoom to `changes`."""
        self._calls = calls
        self._outbox = outbox
        self._changes = changes

    async def UpdateRoomState(
        self, request: room_pb2.UpdateRoomStateRequest, context: object
    ) -> room_pb2.UpdateRoomStateResponse:
        """See the contract."""
        rooms = [request.room_id]
        return await self._calls.change(update_room_state, request, room_pb2.UpdateRoomStateResponse, rooms=rooms)

    async def IngestEvents(self, request: room_pb2.IngestEventsRequest, context: object) -> room_pb2.IngestEventsResponse:
        """See the contract."""
        rooms = {event.room_id for event in request.events}
        return await self._calls.change(ingest_events, request, room_pb2.IngestEventsResponse, rooms=rooms)

    async def IngestToDevice(self, request: room_pb2.IngestToDeviceRequest, context: object) -> room_pb2.IngestToDeviceResponse:
        """See the contract."""
        return await self._calls.change(ingest_to_device, request, room_pb2.IngestToDeviceResponse)

    async def UpdateDeviceLists(
        self, request: room_pb2.UpdateDeviceListsRequest, context: object
    ) -> room_pb2.UpdateDeviceListsResponse:
        """See the contract."""
        return await self._calls.change(update_device_lists, request, room_pb2.UpdateDeviceListsResponse)

    async def ProvideKeyPackages(
        self, request: room_pb2.ProvideKeyPackagesRequest, context: object
    ) -> room_pb2.ProvideKeyPackagesResponse:
        """See the contract."""
        return await self._calls.change(provide_key_packages, request, room_pb2.ProvideKeyPackagesResponse)

    async def PutBlob(
        self, request_iterator: AsyncIterator[room_pb2.PutBlobRequest], context: object
    ) -> room_pb2.PutBlobResponse:
        """See the contract."""
        parts = BlobParts()
        async for each in request_iterator:
            parts.add(each)
        first, data = await self._calls.run(parts.finish)

        def put(core: Core, request: room_pb2.PutBlobRequest, record: Record) -> room_pb2.PutBlobResponse:
            return put_blob(core, request, data, record)

        return await self._calls.change(put, first, room_pb2.PutBlobResponse, rooms=[first.room_id])

    async def GetBlob(self, request: room_pb2.GetBlobRequest, context: object) -> AsyncIterator[room_pb2.GetBlobResponse]:
        """See the contract."""
        data = await self._calls.run(lambda: get_blob(self._calls.core, request))
        yield room_pb2.GetBlobResponse(size=len(data), data=data[request.offset : request.offset + _PIECE])
        for start in range(request.offset + _PIECE, len(data), _PIECE):
            yield room_pb2.GetBlobResponse(data=data[start : start + _PIECE])

    async def GetRoom(self, request: room_pb2.GetRoomRequest, context: object) -> room_pb2.GetRoomResponse:
        """See the contract."""
        return await self._calls.read(get_room, request)

    async def ListRooms(self, request: room_pb2.ListRoomsRequest, context: object) -> room_pb2.ListRoomsResponse:
        """See the contract."""
        return await self._calls.read(list_rooms, request)

    async def ForgetRoom(self, request: room_pb2.ForgetRoomRequest, context: object) -> room_pb2.ForgetRoomResponse:
        """See the contract."""
        return await self._calls.change(forget_room, request, room_pb2.ForgetRoomResponse, rooms=[request.room_id])

    async def GetGroupInfo(self, request: room_pb2.GetGroupInfoRequest, context: object) -> room_pb2.GetGroupInfoResponse:
        """See the contract."""
        return await self._calls.read(get_group_info, request)

    async def GetRatchetTree(self, request: room_pb2.GetRatchetTreeRequest, context: object) -> room_pb2.GetRatchetTreeResponse:
        """See the contract."""
        return await self._calls.read(get_ratchet_tree, request)

    async def GetEpochGraph(self, request: room_pb2.GetEpochGraphRequest, context: object) -> room_pb2.GetEpochGraphResponse:
        """See the contract."""
        return await self._calls.read(get_epoch_graph, request)

    async def WatchOutbox(
        self, request: room_pb2.WatchOutboxRequest, context: object
    ) -> AsyncIterator[room_pb2.WatchOutboxResponse]:
        """See the contract."""
        async for frame in self._outbox.watch(room_pb2.WatchOutboxResponse, outbox_items(self._calls.core, request)):
            yield frame

    async def AckOutbox(self, request: room_pb2.AckOutboxRequest, context: object) -> room_pb2.AckOutboxResponse:
        """See the contract."""
        return await self._calls.change(ack_outbox, request, room_pb2.AckOutboxResponse)

    async def WatchRoom(self, request: room_pb2.WatchRoomRequest, context: object) -> AsyncIterator[room_pb2.WatchRoomResponse]:
        """See the contract."""
        async for frame in self._changes.watch(room_pb2.WatchRoomResponse, happenings(self._calls.core, request)):
            yield frame
