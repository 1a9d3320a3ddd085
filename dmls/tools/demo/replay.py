"""Plays a recording: it is the homeservers and nothing else; what concerns encryption is done by the services and clients."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from dmls.ids import CommitRef, EventId, RoomId
from dmls.matrix.encoding import parse_json_object
from dmls.matrix.events import ENCRYPTED, Membership, RoomEvent
from dmls.tools.demo.client_device import ClientProcess
from dmls.tools.demo.differences import DifferenceError
from dmls.tools.demo.epochs import EpochLog
from dmls.tools.demo.federation import Federation
from dmls.tools.demo.homeserver import Homeserver, Name
from dmls.tools.demo.link import Agenda, Link
from dmls.tools.demo.log import DeviceAction, EventLine, LogFolder, PartitionLine, StateChange, Step
from dmls.tools.demo.messages import Mailbox, Message
from dmls.tools.demo.names import device_text, user_text
from dmls.tools.demo.parties import Party
from dmls.tools.demo.story import Story
from dmls.tools.demo.views import RoomView
from dmls.v1 import common_pb2, encryption_pb2

__all__ = ["Replay"]

MAX_TRIES = 240
"""How often a message is encrypted anew when the group has to change first.

The services' clocks are real, and the recording is played faster: this is for longer than a device pauses between two rejoins.
"""

_AGAIN = frozenset(
    {
        encryption_pb2.ENCRYPT_REFUSAL_PENDING_COMMIT,
        encryption_pb2.ENCRYPT_REFUSAL_NO_SECRETS,
        encryption_pb2.ENCRYPT_REFUSAL_UNVOUCHED,
        encryption_pb2.ENCRYPT_REFUSAL_ROLLED_BACK,
    }
)
_FINAL = frozenset({encryption_pb2.ENCRYPT_REFUSAL_NOT_JOINED, encryption_pb2.ENCRYPT_REFUSAL_NEEDS_READMISSION})
"""Refusals that the room's state explains."""


class Replay:
    """One run over a recording. `clients` are the devices that keep their own keys; all others are hosted."""

    def __init__(
        self,
        folder: LogFolder,
        homeservers: Mapping[str, Homeserver],
        clients: Mapping[Name, ClientProcess],
        story: Story,
    ) -> None:
        """Make the homeservers' views of the folder's rooms; nothing is played yet."""
        self.folder = folder
        self.homeservers = homeservers
        self.agenda = Agenda()
        self.link = Link(folder)
        self._changed: set[RoomId] = set()
        self.federation = Federation(homeservers, self.agenda, self.link, self._changed.add)
        self.logs = {room.room_id: EpochLog(room.room_id) for room in folder.rooms}
        self.mailbox = Mailbox()
        self.departed: dict[Name, ClientProcess] = {}
        """Clients that have been logged out; their stores are tried all the same."""
        self.everybody: dict[Name, Homeserver] = {}
        """Every device that was ever logged in."""
        self.story = story
        self.cuts = 0
        """How often the homeservers stood on different heads when the link became whole again."""
        self._clients = clients
        for room in folder.rooms:
            views: dict[str, RoomView] = {}
            for name, log in room.servers.items():
                views[name] = homeservers[name].views[room.room_id] = RoomView(room, log, views)

    def play(self, step: Step) -> None:
        """Let one thing of the recording happen, after all that is due before it.

        Raises:
            DifferenceError: something is not as it must be.
            DMLSError: a party refuses what it must not.
        """
        self.run_until(step.ts, early_only=True)
        self.agenda.now = max(self.agenda.now, step.ts)
        self.story.step(self.agenda.now)
        server, what = self.homeservers[step.server], step.what
        if isinstance(what, DeviceAction):
            self._log_in(server, what) if what.action == "login" else self._log_out(server, what)
        elif isinstance(what, PartitionLine):
            self._take_link(step.server, what)
        elif isinstance(what, EventLine):
            self._play_event(server, server.views[what.room_id], what)
        else:
            self._change_state(server, server.views[what.room_id], what.state_change)
        self.settle()

    def run_until(self, ts: int, *, early_only: bool = False) -> None:
        """Let happen what is due until `ts`; see `Agenda.next_due`."""
        while (due := self.agenda.next_due(ts, early_only=early_only)) is not None:
            due()
            self.story.now = max(self.story.now, self.agenda.now)
            self.settle()

    def run_out(self) -> None:
        """Let everything happen that is still on its way."""
        self.run_until(self.agenda.end())

    def settle(self) -> None:
        """Let the parties come to rest, tell of the epochs they made, and let everybody read."""
        self.federation.settle()
        for room_id in sorted(self._changed):
            self._learn(room_id)
        self._changed.clear()
        for message, names in self.mailbox.read(self.logs):
            for server in self.homeservers.values():
                here = {name: message.outcomes[name] for name in names if server.owns(name[0])}
                if here:
                    self.story.read(server.name, message, here)

    def _learn(self, room_id: RoomId) -> None:
        log = self.logs[room_id]
        for server in self.homeservers.values():
            if (server.service.name, room_id) in server.told:
                before = log.heads.get(server.service.name)
                for epoch in log.learn(server.service):
                    self.story.epoch(self.federation.homeserver_of(epoch.author[0]).name, log, epoch)
                after = log.heads[server.service.name]
                if before and not log.is_on_chain(before, after):
                    self.story.switch(server.name, log.epochs[before], log.epochs[after])

    # Devices

    def _log_in(self, server: Homeserver, action: DeviceAction) -> None:
        name: Name = (action.user_id, action.device_id)
        client = self._clients.get(name)
        server.log_in(name, client)
        self.everybody[name] = server
        self.federation.announce(action.user_id)
        custody = "hosted" if client is None else "a client device, in a process of its own"
        self.story.tell(server.name, f"{user_text(name[0])} logs in with {name[1][:4]} ({custody})")

    def _log_out(self, server: Homeserver, action: DeviceAction) -> None:
        name: Name = (action.user_id, action.device_id)
        if name in server.clients:
            self.departed[name] = server.clients[name]
        server.log_out(name)
        self.federation.announce(action.user_id)
        self.story.tell(server.name, f"{user_text(name[0])} logs {name[1][:4]} out")

    def _take_link(self, server: str, line: PartitionLine) -> None:
        was_whole = self.link.is_whole
        self.link.take(line)
        if not was_whole and self.link.is_whole:
            for room_id in self.logs:
                self._show_sides(room_id)
        if was_whole != self.link.is_whole:
            text = "the link is whole again" if self.link.is_whole else f"the link is cut: {', '.join(line.blocked)}"
            self.story.tell("", text, "bold")

    def _show_sides(self, room_id: RoomId) -> None:
        """Show how far the homeservers have come apart, if they have."""
        self._learn(room_id)
        log = self.logs[room_id]
        heads = {server.name: log.heads.get(server.service.name, CommitRef(b"")) for server in self.homeservers.values()}
        if all(heads.values()) and len(set(heads.values())) > 1:
            self.cuts += 1
            self.story.sides(log, heads, [each for each in self.mailbox.messages.values() if each.room_id == room_id])

    # Events

    def _play_event(self, server: Homeserver, view: RoomView, line: EventLine) -> None:
        view.note(line, self.agenda.now)
        if line.state_change or line.state_change_other:
            self._tell_members(server, view, line.state_change, line)
            server.change_state(view, line.state_change, line.state_change_other)
        if line.member_event is not None and line.is_timeline:
            server.tell_member_event(view, line)
        if line.event.type == "m.room.message" and line.is_timeline:
            if server.owns(line.event.sender):
                self._send_message(server, view, line)
            elif line.event_id in self.mailbox.messages:
                self._deliver(server, view, self.mailbox.messages[line.event_id], line)

    def _change_state(self, server: Homeserver, view: RoomView, changes: Sequence[StateChange]) -> None:
        self._tell_members(server, view, changes, None)
        server.change_state(view, changes, ())

    def _tell_members(self, server: Homeserver, view: RoomView, changes: Sequence[StateChange], line: EventLine | None) -> None:
        if not view.members and len(changes) > 1:
            joined = sorted(user_text(change.user_id) for change in changes if change.membership is Membership.JOIN)
            self.story.tell(server.name, f"joins the room: {', '.join(joined)} are in it", "bold")
            return
        for change in changes:
            before = view.membership(change.user_id)
            if change.membership is before:
                continue
            cause = view.room.events.get(change.event_id or EventId(""))
            user, by = user_text(change.user_id), "" if cause is None else user_text(cause.event.sender)
            if line is not None and line.event_id != change.event_id:
                text = f"by state resolution: {user} is now {change.membership or 'nobody to the room'}"
            else:
                text = _membership_text(user, by, before, change.membership)
            self.story.tell(server.name, text, "bold")

    # Messages

    def _send_message(self, server: Homeserver, view: RoomView, line: EventLine) -> None:
        name = self._sender(server, line)
        party = server.owner(name)
        if party is None:
            raise DifferenceError(f"{device_text(name)} sends '{line.event.content.get('body')}' and is not logged in")
        self.federation.is_sending = True
        try:
            encrypted = self._encrypt(server, view, party, name, line)
        finally:
            self.federation.is_sending = False
        if encrypted is None:
            return
        content = parse_json_object(encrypted.content)
        ref = CommitRef(encrypted.pointer.commit_ref)
        message = Message(line.event_id, view.room_id, name, line.event.content, content, ref)
        self.mailbox.messages[line.event_id] = message
        self._learn(view.room_id)
        self._check_members(server, view, message)
        self.story.tell(server.name, f"{device_text(name)} writes '{message.text}' in epoch {ref.hex()[:8]}")
        self._deliver(server, view, message, line)

    @staticmethod
    def _sender(server: Homeserver, line: EventLine) -> Name:
        user = line.event.sender
        if line.device_id is not None:
            return user, line.device_id
        devices = server.devices_of(user)
        if not devices:
            raise DifferenceError(f"{user} sends and has no device")
        return devices[0]

    def _encrypt(
        self, server: Homeserver, view: RoomView, party: Party, name: Name, line: EventLine
    ) -> encryption_pb2.EncryptedEvent | None:
        event = encryption_pb2.EventToEncrypt(
            room_id=view.room_id,
            sender=common_pb2.DeviceRef(user_id=name[0], device_id=name[1]),
            type=line.event.type,
            content=json.dumps(line.event.content).encode(),
        )
        refusal = encryption_pb2.ENCRYPT_REFUSAL_UNSPECIFIED
        for _ in range(MAX_TRIES):
            request = encryption_pb2.EncryptEventsRequest(events=[event])
            result = party.call(request, encryption_pb2.EncryptEventsResponse).results[0]
            self.settle()
            if result.HasField("encrypted"):
                return result.encrypted
            refusal = result.failure.refusal
            if refusal not in _AGAIN:
                break
            self.wait()
        else:
            raise DifferenceError(f"{device_text(name)} cannot send: {encryption_pb2.EncryptRefusal.Name(refusal)} every time")
        reason = encryption_pb2.EncryptRefusal.Name(refusal).removeprefix("ENCRYPT_REFUSAL_")
        if refusal not in _FINAL:
            raise DifferenceError(f"{device_text(name)} cannot send: {reason}")
        self.mailbox.refused[line.event_id] = reason
        self.story.tell(server.name, f"{device_text(name)} cannot send '{line.event.content.get('body')}': {reason}", "yellow")
        return None

    def wait(self) -> None:
        """Wait until a service wants something, for a moment at most, and let all parties look at their clocks."""
        for server in self.homeservers.values():
            server.service.wait_for_work()
        self.settle()

    def _check_members(self, server: Homeserver, view: RoomView, message: Message) -> None:
        """Check that nobody is in the epoch whose removal the sender's homeserver knew."""
        members = self.logs[view.room_id].members(message.commit_ref)
        if members is None:
            raise DifferenceError(f"'{message.text}' is sent before its epoch")
        for name in sorted(members):
            if not view.is_joined(name[0]):
                raise DifferenceError(f"'{message.text}' is sent to {device_text(name)}, who is not in the room")
            if server.owns(name[0]) and server.owner(name) is None:
                raise DifferenceError(f"'{message.text}' is sent to {device_text(name)}, who is logged out")

    def _deliver(self, server: Homeserver, view: RoomView, message: Message, line: EventLine) -> None:
        """Store a message at a homeserver, after every store that its users' clients have was tried on it."""
        clients = {name: client for name, client in self.departed.items() if server.owns(name[0])} | server.clients
        self.mailbox.try_stores(clients.items(), message, self.logs[view.room_id])
        event = RoomEvent(
            message.event_id,
            view.room_id,
            message.sender[0],
            ENCRYPTED,
            None,
            message.ciphertext,
            line.event.origin_server_ts,
            line.soft_failed,
            auth_events=view.room.events[message.event_id].event.auth_events,
        )
        server.store(view, event, self.agenda.now)
        own = [name for name, owner in self.everybody.items() if owner is server]
        readers: list[tuple[Name, Party]] = [(name, server.service) for name in own if name not in clients]
        readers += [(name, client) for name, client in server.clients.items() if view.is_joined(name[0])]
        self.mailbox.shown(message, readers)


def _membership_text(user: str, by: str, before: Membership | None, after: Membership | None) -> str:
    if after is Membership.JOIN:
        return f"{user} joins"
    if after is Membership.INVITE:
        return f"{by} invites {user}"
    if after is Membership.BAN:
        return f"{by} bans {user}"
    if after is Membership.KNOCK:
        return f"{user} knocks"
    if after is None:
        return f"{user} has no membership any more"
    if user == by:
        return f"{user} declines" if before is Membership.INVITE else f"{user} leaves"
    return f"{by} unbans {user}" if before is Membership.BAN else f"{by} removes {user}"
