"""Whom a homeserver talks to: the service beside it and its users' client devices, all of them processes of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from google.protobuf.message import Message

from dmls.v1 import room_pb2

__all__ = ["Party", "acknowledge"]

A = TypeVar("A", bound=Message)


class Party(Protocol):
    """One of them. Both sorts take the same requests, those of dmls.v1."""

    name: str
    """Unique, and for people."""
    incarnation: int
    """Of its store, as `pending` was told last."""

    def call(self, request: Message, answer: type[A]) -> A:
        """Make a call and return its answer.

        Raises:
            DMLSError: what the party refused.
        """

    def pending(self) -> Sequence[room_pb2.OutboxItem]:
        """Return what it wants done and what is not acknowledged, in order."""

    def put_blob(self, room_id: str, data: bytes) -> None:
        """Give it a blob of a room."""

    def get_blob(self, room_id: str, sha256: bytes) -> bytes:
        """Return a blob that it wants stored; `sha256` has 32 bytes."""


def acknowledge(party: Party, ack: room_pb2.OutboxAck) -> room_pb2.AckResult:
    """Tell a party what became of an item."""
    request = room_pb2.AckOutboxRequest(acks=[ack], incarnation=party.incarnation)
    return party.call(request, room_pb2.AckOutboxResponse).results[0]
