"""What homeservers do with what their parties want: send events and to-device messages, claim, fetch, and tell the answers.

Nothing crosses a cut link: what cannot be done now waits, unacknowledged, until the link is joined again.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from dmls.errors import InternalError
from dmls.ids import DeviceId, EventId, RoomId, UserId
from dmls.matrix.bodies import ALGORITHM
from dmls.matrix.encoding import decode_base64, encode_canonical_json, parse_json_object
from dmls.matrix.events import RoomEvent
from dmls.tools.demo.homeserver import Homeserver
from dmls.tools.demo.link import Agenda, Link, first_join
from dmls.tools.demo.parties import Party, acknowledge
from dmls.v1 import key_package_pb2, room_pb2

__all__ = ["Federation", "Tally"]

_MAX_ROUNDS = 200


@dataclass
class Tally:
    """What was generated during the replay."""

    events: int = 0
    to_device: int = 0
    claims: int = 0
    lists: int = 0
    backfilled: int = 0
    blobs: int = 0


@dataclass
class Federation:
    """The homeservers, and what goes on between them.

    `on_room_event` is told the room of every event of a party, when it is sent and when it arrives.
    """

    homeservers: Mapping[str, Homeserver]
    agenda: Agenda
    link: Link
    on_room_event: Callable[[RoomId], None]
    tally: Tally = field(default_factory=Tally)
    is_sending: bool = False
    """A message is being encrypted: what is sent now comes before it."""
    _contents: dict[tuple[str, bytes], int] = field(default_factory=dict)
    _commit_events: dict[tuple[RoomId, bytes], EventId] = field(default_factory=dict)

    def homeserver_of(self, user: UserId) -> Homeserver:
        """Return the homeserver of a user."""
        return next(server for server in self.homeservers.values() if server.owns(user))

    # The outboxes

    def settle(self) -> None:
        """Do what the parties want until they want nothing more that can be done now.

        Raises:
            InternalError: they do not come to rest.
        """
        for _ in range(_MAX_ROUNDS):
            if not self._round():
                return
        raise InternalError(f"the parties do not come to rest: {_MAX_ROUNDS} rounds of outbox items")

    def _round(self) -> bool:
        did = False
        for server in self.homeservers.values():
            for party in list(server.parties()):
                for item in party.pending():
                    did = self._handle(server, party, item) or did
        while (due := self.agenda.next_due(self.agenda.now)) is not None:
            due()
            did = True
        return did

    def _handle(self, server: Homeserver, party: Party, item: room_pb2.OutboxItem) -> bool:
        """Do one item and acknowledge it; return False if that has to wait for the link."""
        ack = room_pb2.OutboxAck(sequence=item.sequence)
        action = item.WhichOneof("action")
        after: Callable[[], None] | None = None
        if action == "room_event":
            event = self._make_event(server, party, item)
            ack.sent.event_id = event.event_id
            after = partial(self.publish, server, event)
            self.on_room_event(event.room_id)
        elif action == "to_device":
            self._send_to_device(server, party, item)
            ack.sent.SetInParent()
        elif action == "blob":
            self._store_blob(server, party, item)
            ack.sent.SetInParent()
        elif action == "claim_wanted":
            return self._claim(server, party, item)
        elif action == "backfill_wanted":
            after = partial(self._backfill, server, party, item)
            ack.sent.SetInParent()
        elif action == "device_list_wanted":
            lists = self._fetch_lists(server, party, item.device_list_wanted.user_ids)
            if lists is None:
                return False
            after = partial(self._tell_lists, party, lists)
            ack.sent.SetInParent()
        else:
            raise InternalError(f"{party.name} wants something unknown")
        self._acknowledge(party, ack)
        if after is not None:
            after()
        return True

    @staticmethod
    def _acknowledge(party: Party, ack: room_pb2.OutboxAck) -> None:
        result = acknowledge(party, ack)
        if result.outcome not in (room_pb2.ACK_OUTCOME_ACCEPTED, room_pb2.ACK_OUTCOME_DUPLICATE):
            outcome = room_pb2.AckOutcome.Name(result.outcome)
            raise InternalError(f"{party.name} answered {outcome} to the acknowledgement of item {ack.sequence}")

    # Events

    def _make_event(self, server: Homeserver, party: Party, item: room_pb2.OutboxItem) -> RoomEvent:
        """Return the event of an item; its id is made of what it says, as the ids of real events are."""
        wanted = item.room_event
        content_key = (item.room_id, wanted.content)
        if self._contents.setdefault(content_key, item.sequence) != item.sequence:
            raise InternalError(
                f"{party.name} sends the same event twice, as items {self._contents[content_key]} and {item.sequence}"
            )
        content = parse_json_object(wanted.content)
        sender = UserId(wanted.sender)
        hashed = encode_canonical_json({"room_id": item.room_id, "sender": sender, "type": wanted.type, "content": content})
        event_id = EventId("$" + base64.urlsafe_b64encode(hashlib.sha256(hashed).digest()).decode().rstrip("="))
        room_id = RoomId(item.room_id)
        if content.get("algorithm") == ALGORITHM and content.get("kind") == "commit":
            self._commit_events[room_id, decode_base64(content["commit_ref"])] = event_id
        auth = server.views[room_id].auth_events(sender)
        self.tally.events += 1
        return RoomEvent(event_id, room_id, sender, wanted.type, None, content, self.agenda.now, auth_events=auth)

    def publish(self, server: Homeserver, event: RoomEvent) -> None:
        """Put an event into its room at its sender's homeserver, and send it to the others."""
        view = server.views[event.room_id]
        server.store(view, event, self.agenda.now)
        for name, other in self.homeservers.items():
            if other is not server and name in view.siblings:
                arrival = self.link.arrival(view.room, server.name, name, self.agenda.now)
                # At its join a homeserver gets what there is along with the state.
                is_early = self.is_sending or self.agenda.now < first_join(view.room, name)
                self.agenda.at(arrival, partial(self._arrive, other, event), is_early=is_early)

    def _arrive(self, server: Homeserver, event: RoomEvent) -> None:
        server.store(server.views[event.room_id], event, self.agenda.now)
        self.on_room_event(event.room_id)

    def _backfill(self, server: Homeserver, party: Party, item: room_pb2.OutboxItem) -> None:
        """Tell events that the homeserver has. Those that are still on their way come by themselves."""
        wanted, room_id = item.backfill_wanted, RoomId(item.room_id)
        view = server.views[room_id]
        ids = [EventId(event_id) for event_id in wanted.event_ids]
        ids += [self._commit_events[room_id, ref] for ref in wanted.commit_refs if (room_id, ref) in self._commit_events]
        events = [view.seen(view.timeline[event_id]) for event_id in dict.fromkeys(ids) if event_id in view.timeline]
        server.ingest(party, events)
        self.tally.backfilled += len(events)
        for blob in wanted.blobs:
            data = next((other.media[blob.sha256] for other in self.homeservers.values() if blob.sha256 in other.media), None)
            if data is not None:
                party.put_blob(room_id, data)

    def _store_blob(self, server: Homeserver, party: Party, item: room_pb2.OutboxItem) -> None:
        blob = item.blob.blob
        server.media[blob.sha256] = blob.data or party.get_blob(item.room_id, blob.sha256)
        self.tally.blobs += 1

    # To-device messages

    def _send_to_device(self, server: Homeserver, party: Party, item: room_pb2.OutboxItem) -> None:
        wanted = item.to_device
        target = self.homeserver_of(UserId(wanted.user_id))
        message = room_pb2.ToDeviceMessage(
            message_id=hashlib.sha256(f"{party.name} {item.sequence}".encode()).hexdigest(),
            sender=wanted.sender,
            user_id=wanted.user_id,
            device_id=wanted.device_id,
            type=wanted.type,
            content=wanted.content,
        )
        self.tally.to_device += 1
        now = self.agenda.now
        room = server.views[RoomId(item.room_id)].room
        ts = now if target is server else self.link.arrival(room, server.name, target.name, now)
        self.agenda.at(ts, partial(self._deliver, target, message), is_early=self.is_sending)

    @staticmethod
    def _deliver(server: Homeserver, message: room_pb2.ToDeviceMessage) -> None:
        owner = server.owner((UserId(message.user_id), DeviceId(message.device_id)))
        if owner is not None:
            owner.call(room_pb2.IngestToDeviceRequest(messages=[message]), room_pb2.IngestToDeviceResponse)

    # Key packages

    def _claim(self, server: Homeserver, party: Party, item: room_pb2.OutboxItem) -> bool:
        """Claim at the homeservers of the wanted users and tell what they gave; False if one of them is out of reach."""
        wanted = item.claim_wanted
        targets: dict[str, list[key_package_pb2.ClaimTarget]] = {}
        for target in wanted.targets:
            targets.setdefault(self.homeserver_of(UserId(target.user_id)).name, []).append(target)
        if not all(name == server.name or self.link.is_open(server.name, name) for name in targets):
            return False
        provided: list[key_package_pb2.UserClaim] = []
        for name, of_server in targets.items():
            request = key_package_pb2.ClaimKeyPackagesRequest(
                request_id=hashlib.sha256(f"{party.name} {item.sequence} {name}".encode()).hexdigest(),
                targets=of_server,
                cipher_suites=wanted.cipher_suites,
                room_id=item.room_id,
                requester=server.server_name,
            )
            if wanted.HasField("required_capabilities"):
                request.required_capabilities.CopyFrom(wanted.required_capabilities)
            service = self.homeservers[name].service
            provided += service.call(request, key_package_pb2.ClaimKeyPackagesResponse).users
        answer = room_pb2.ProvideKeyPackagesRequest(claim_id=wanted.claim_id, users=provided)
        party.call(answer, room_pb2.ProvideKeyPackagesResponse)
        self.tally.claims += 1
        return True

    # Device lists

    def _fetch_lists(self, server: Homeserver, party: Party, users: Sequence[str]) -> list[room_pb2.DeviceList] | None:
        owners = {UserId(user): self.homeserver_of(UserId(user)) for user in users}
        if not all(owner is server or self.link.is_open(server.name, owner.name) for owner in owners.values()):
            return None
        server.watched.setdefault(party.name, set()).update(owners)
        return [owner.device_list(user) for user, owner in owners.items()]

    def _tell_lists(self, party: Party, lists: Sequence[room_pb2.DeviceList]) -> None:
        request = room_pb2.UpdateDeviceListsRequest(lists=lists)
        answer = party.call(request, room_pb2.UpdateDeviceListsResponse)
        for told, result in zip(lists, answer.results, strict=True):
            if result.outcome == room_pb2.DEVICE_LIST_OUTCOME_REJECTED:
                raise InternalError(f"{party.name} refuses the device list of {told.user_id}: {result.failure.message}")
        self.tally.lists += len(lists)

    def announce(self, user: UserId) -> None:
        """Tell everybody who has asked for a user's device list that it has changed."""
        owner = self.homeserver_of(user)
        for client in owner.clients.values():
            client.lists_changed([user])
        for server in self.homeservers.values():
            if server is not owner:
                at = self.link.opens(owner.name, server.name, self.agenda.now)
                self.agenda.at(at, partial(self._announce_at, server, owner, user))

    def _announce_at(self, server: Homeserver, owner: Homeserver, user: UserId) -> None:
        told = owner.device_list(user)
        for party in list(server.parties()):
            if user in server.watched.get(party.name, ()):
                self._tell_lists(party, [told])
