"""PutBlob and GetBlob: bytes named by their SHA-256."""

from __future__ import annotations

import hashlib
import hmac

from devicestore import Connection, blobs
from devicestore.errors import NotFound
from dmls.engine.effects import BlobWanted
from dmls.errors import InvalidArgumentError
from dmls.ids import RoomId
from dmls.rooms.session import Session, Written
from dmls.service.core import Core, Record, no_record
from dmls.service.errors import InvalidRequestError, UnknownResourceError, Violation
from dmls.v1 import room_pb2

__all__ = ["BlobParts", "get_blob", "put_blob"]


class BlobParts:
    """The messages of one PutBlob call, as they come."""

    def __init__(self) -> None:
        """Begin before the first message."""
        self.first: room_pb2.PutBlobRequest | None = None
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, request: room_pb2.PutBlobRequest) -> None:
        """Take the next message.

        Raises:
            InvalidArgumentError: there are more bytes than the first message said.
        """
        if self.first is None:
            self.first = room_pb2.PutBlobRequest(
                request_id=request.request_id, room_id=request.room_id, sha256=request.sha256, size=request.size
            )
        self._size += len(request.data)
        if self._size > self.first.size:
            raise InvalidArgumentError("more bytes than the first message says")
        self._pieces.append(request.data)

    def finish(self) -> tuple[room_pb2.PutBlobRequest, bytes]:
        """Return the first message without its data, and all bytes.

        Raises:
            InvalidArgumentError: there was no message, or the bytes have not the size or hash that the first one says.
        """
        if self.first is None:
            raise InvalidArgumentError("a blob begins with a message that names it")
        data = b"".join(self._pieces)
        if len(data) != self.first.size:
            raise InvalidArgumentError("fewer bytes than the first message says")
        if not hmac.compare_digest(hashlib.sha256(data).digest(), self.first.sha256):
            raise InvalidArgumentError("the bytes have another hash than the first message says")
        return self.first, data


def put_blob(core: Core, request: room_pb2.PutBlobRequest, data: bytes, record: Record = no_record) -> room_pb2.PutBlobResponse:
    """Store a blob, and give it to the room that waits for it. `request` is the first message, already checked against `data`."""
    room_id = RoomId(request.room_id)

    def store(conn: Connection) -> bool:
        created = not blobs.has(conn, request.sha256)
        blobs.put(conn, data, now_ms=core.now_ms())
        return created

    # In a transaction of its own: the room reads it from the store, now and whenever a further event refers to it.
    created = core.store.write(store).result()

    def work(session: Session) -> None:
        session.requests[room_id].append(BlobWanted("", request.sha256, request.size))
        session.touch(room_id)

    def finish(conn: Connection, _written: Written, _nothing: None) -> room_pb2.PutBlobResponse:
        answer = room_pb2.PutBlobResponse(created=created)
        record(conn, answer)
        return answer

    return core.keeper.transact([room_id], work, finish)


def get_blob(core: Core, request: room_pb2.GetBlobRequest) -> bytes:
    """Return all bytes of a blob.

    Raises:
        UnknownResourceError: it is not here.
        InvalidRequestError: it is shorter than the offset.
    """
    try:
        data = core.store.read(lambda conn: blobs.get(conn, request.sha256))
    except NotFound:
        raise UnknownResourceError("blob", request.sha256.hex()) from None
    if request.offset > len(data):
        raise InvalidRequestError(Violation("offset", "beyond the end of the blob"))
    return data
