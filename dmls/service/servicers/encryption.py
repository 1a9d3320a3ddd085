"""dmls.v1.EncryptionService."""

from __future__ import annotations

from dmls.service.calls import Calls
from dmls.service.handlers.exports import export_secret
from dmls.service.handlers.messages import decrypt_events, encrypt_events
from dmls.v1 import encryption_pb2, encryption_pb2_grpc

__all__ = ["EncryptionServicer"]


class EncryptionServicer(encryption_pb2_grpc.EncryptionServiceServicer):
    """Encryption and decryption for hosted devices."""

    def __init__(self, calls: Calls) -> None:
        """Hand the RPCs to `calls`."""
        self._calls = calls

    async def EncryptEvents(
        self, request: encryption_pb2.EncryptEventsRequest, context: object
    ) -> encryption_pb2.EncryptEventsResponse:
        """See the contract."""
        rooms = {event.room_id for event in request.events}
        return await self._calls.change(encrypt_events, request, encryption_pb2.EncryptEventsResponse, rooms=rooms)

    async def DecryptEvents(
        self, request: encryption_pb2.DecryptEventsRequest, context: object
    ) -> encryption_pb2.DecryptEventsResponse:
        """See the contract."""
        rooms = {event.room_id for event in request.events}
        answer = encryption_pb2.DecryptEventsResponse
        return await self._calls.change(decrypt_events, request, answer, rooms=rooms, keeps_answer=False)

    async def ExportSecret(
        self, request: encryption_pb2.ExportSecretRequest, context: object
    ) -> encryption_pb2.ExportSecretResponse:
        """See the contract."""
        return await self._calls.read(export_secret, request)
