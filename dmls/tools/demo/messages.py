"""The recording's messages: what was sent in which epoch, and what each device makes of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dmls.ids import CommitRef, EventId, RoomId
from dmls.tools.demo.client_device import ClientProcess
from dmls.tools.demo.differences import DifferenceError
from dmls.tools.demo.epochs import EpochLog
from dmls.tools.demo.homeserver import Name
from dmls.tools.demo.names import device_text
from dmls.tools.demo.parties import Party
from dmls.v1 import common_pb2, encryption_pb2

__all__ = ["Mailbox", "Message"]

_OK = encryption_pb2.DECRYPT_OUTCOME_OK
_PENDING = encryption_pb2.DECRYPT_OUTCOME_PENDING_COMMIT
_EXCUSES = (encryption_pb2.DECRYPT_OUTCOME_UNKNOWN_DEVICE, encryption_pb2.DECRYPT_OUTCOME_EXPIRED)
"""A device that has been logged out cannot be asked. That what expired was on a branch that lost is checked at the end."""


@dataclass
class Message:
    """A message of the recording, encrypted in this replay."""

    event_id: EventId
    room_id: RoomId
    sender: Name
    content: Mapping[str, Any]
    """As recorded."""
    ciphertext: Mapping[str, Any]
    commit_ref: CommitRef
    """Of its epoch."""
    outcomes: dict[Name, str] = field(default_factory=dict)
    """What each device made of it: OK, or the refusal."""
    sealed: dict[Name, int] = field(default_factory=dict)
    """How many epochs each client's whole store was tried with, in vain."""

    @property
    def text(self) -> str:
        """What it says, for people."""
        return str(self.content.get("body", ""))


@dataclass
class Mailbox:
    """All messages, and who has still to read which."""

    messages: dict[EventId, Message] = field(default_factory=dict)
    refused: dict[EventId, str] = field(default_factory=dict)
    """Messages of the recording that could not be sent any more, and why."""
    opened: int = 0
    """How often a store was tried on a message of which its device is a member, and held the key."""
    sealed: int = 0
    """How often a store was tried on a message and did not hold the key."""
    _unread: dict[tuple[EventId, Name], Party] = field(default_factory=dict)

    # Before a client is shown a message

    def try_stores(self, clients: Iterable[tuple[Name, ClientProcess]], message: Message, log: EpochLog) -> None:
        """Try everything that clients' stores hold on a message, whatever epoch it says it is of.

        Raises:
            DifferenceError: a device that is not a member of the message's epoch could open it.
        """
        members = log.members(message.commit_ref) or frozenset()
        for name, client in clients:
            trial = client.try_everything(message.room_id, message.ciphertext)
            if not trial.opened:
                message.sealed[name] = trial.epochs
                self.sealed += 1
            elif name in members:
                self.opened += 1
            else:
                raise DifferenceError(
                    f"{device_text(name)} is not in the epoch of '{message.text}' and can open it with {trial.opened.hex()[:8]}"
                )

    # Afterwards

    def shown(self, message: Message, readers: Iterable[tuple[Name, Party]]) -> None:
        """Note that devices have been shown a message."""
        for name, party in readers:
            if name not in message.outcomes:
                self._unread[message.event_id, name] = party

    def read(self, logs: Mapping[RoomId, EpochLog]) -> list[tuple[Message, list[Name]]]:
        """Let every device read what it has been shown; return the messages with the devices that have an answer now.

        Raises:
            DifferenceError: a member was refused, somebody else was not, or the text is another than was recorded.
        """
        answered: dict[EventId, list[Name]] = {}
        waiting, self._unread = self._unread, {}
        by_party: dict[str, list[tuple[EventId, Name]]] = {}
        parties = {party.name: party for party in waiting.values()}
        for key, party in waiting.items():
            by_party.setdefault(party.name, []).append(key)
        for party_name, keys in by_party.items():
            party = parties[party_name]
            for (event_id, name), result in zip(keys, self._decrypt(party, keys), strict=True):
                message = self.messages[event_id]
                if result.outcome == _PENDING:
                    self._unread[event_id, name] = party
                else:
                    self._judge(message, name, result, logs[message.room_id])
                    answered.setdefault(event_id, []).append(name)
        return [(self.messages[event_id], names) for event_id, names in answered.items()]

    def _decrypt(self, party: Party, keys: Iterable[tuple[EventId, Name]]) -> Iterable[encryption_pb2.DecryptResult]:
        wanted = [
            encryption_pb2.EventToDecrypt(
                room_id=self.messages[event_id].room_id,
                event_id=event_id,
                reader=common_pb2.DeviceRef(user_id=name[0], device_id=name[1]),
            )
            for event_id, name in keys
        ]
        request = encryption_pb2.DecryptEventsRequest(events=wanted)
        return party.call(request, encryption_pb2.DecryptEventsResponse).results

    @staticmethod
    def _judge(message: Message, name: Name, result: encryption_pb2.DecryptResult, log: EpochLog) -> None:
        outcome = encryption_pb2.DecryptOutcome.Name(result.outcome).removeprefix("DECRYPT_OUTCOME_")
        message.outcomes[name] = outcome
        members = log.members(message.commit_ref)
        if members is None:
            raise DifferenceError(f"the epoch of '{message.text}' is not known where it is read")
        if (result.outcome == _OK) != (name in members) and result.outcome not in _EXCUSES:
            kind = "a member" if name in members else "no member"
            raise DifferenceError(f"{device_text(name)} is {kind} of the epoch of '{message.text}', and the answer is {outcome}")
        if result.outcome == _OK:
            _check_plaintext(message, name, result.decrypted)

    def check_all_read(self) -> None:
        """Check that nobody waits for anything.

        Raises:
            DifferenceError: somebody does.
        """
        for event_id, name in self._unread:
            raise DifferenceError(f"{device_text(name)} still waits for the epoch of '{self.messages[event_id].text}'")

    @property
    def is_all_read(self) -> bool:
        """Whether nobody waits for anything."""
        return not self._unread


def _check_plaintext(message: Message, name: Name, decrypted: encryption_pb2.DecryptedEvent) -> None:
    sender = (decrypted.sender.user_id, decrypted.sender.device_id)
    if decrypted.type != "m.room.message" or json.loads(decrypted.content) != message.content:
        raise DifferenceError(f"{device_text(name)} reads something else than '{message.text}'")
    if sender != message.sender:
        raise DifferenceError(f"{device_text(name)} reads '{message.text}' as if {sender[0]} {sender[1]} had sent it")
    if decrypted.pointer.commit_ref != message.commit_ref:
        raise DifferenceError(f"{device_text(name)} reads '{message.text}' in another epoch than it was sent in")
