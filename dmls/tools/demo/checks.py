"""What must be true when a replay is over: both sides agree, the right devices are in, and nobody reads what they should not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dmls.ids import CommitRef, DeviceId, RoomId, UserId
from dmls.tools.demo.differences import DifferenceError
from dmls.tools.demo.homeserver import Homeserver, Name
from dmls.tools.demo.log import LogFolder, PartitionLine, RoomLog
from dmls.tools.demo.messages import Message
from dmls.tools.demo.names import device_text, devices_text, user_text
from dmls.tools.demo.parties import Party
from dmls.tools.demo.replay import Replay
from dmls.v1 import room_pb2

__all__ = ["Head", "check_messages", "check_recording", "check_room", "find_difference", "heads", "try_whole_stores"]


@dataclass(frozen=True, slots=True)
class Head:
    """Where a party stands in a room."""

    party: str
    """For people."""
    device: Name | None
    """None for a service."""
    commit_ref: CommitRef
    epoch: int
    epoch_id: bytes
    """Empty for a party that is not a member."""
    members: frozenset[Name]


def heads(replay: Replay, room: RoomLog) -> list[Head]:
    """Return where the services and the clients of joined users stand."""
    found = []
    for server in replay.homeservers.values():
        if (server.service.name, room.room_id) in server.told:
            found.append(_head(server.service, None, room.room_id))
        view = server.views.get(room.room_id)
        if view is not None:
            found += [_head(client, name, room.room_id) for name, client in server.clients.items() if view.is_joined(name[0])]
    return found


def _room(party: Party, room_id: RoomId) -> room_pb2.GetRoomResponse:
    return party.call(room_pb2.GetRoomRequest(room_id=room_id, page_size=10_000), room_pb2.GetRoomResponse)


def _head(party: Party, device: Name | None, room_id: RoomId) -> Head:
    answer = _room(party, room_id)
    head = answer.room.head
    members = frozenset((UserId(member.device.user_id), DeviceId(member.device.device_id)) for member in answer.members)
    label = party.name if device is None else device_text(device)
    return Head(label, device, CommitRef(head.pointer.commit_ref), head.epoch, head.pointer.epoch_id, members)


def find_difference(replay: Replay, room: RoomLog) -> str | None:
    """Return what still keeps the room from being as it must be at the end, None if nothing does."""
    found = heads(replay, room)
    first = found[0]
    for head in found:
        if head.commit_ref != first.commit_ref:
            return f"{head.party} stands on epoch {head.commit_ref.hex()[:8]}, {first.party} on {first.commit_ref.hex()[:8]}"
    with_id = [head for head in found if head.epoch_id]
    for head in with_id:
        if head.epoch_id != with_id[0].epoch_id:
            return f"{head.party} and {with_id[0].party} have different epoch ids for the same commit"
    if first.members != (members := replay.logs[room.room_id].members(first.commit_ref)):
        return f"{first.party} counts {devices_text(first.members)} as members, the commits say {devices_text(members or ())}"
    for server in replay.homeservers.values():
        problem = _membership_problem(replay, room, server, first)
        if problem is not None:
            return problem
    return _client_problem(replay, room, found)


def _membership_problem(replay: Replay, room: RoomLog, server: Homeserver, head: Head) -> str | None:
    log = room.servers.get(server.name)
    if log is None or (server.service.name, room.room_id) not in server.told:
        return None
    answer = _room(server.service, room.room_id)
    joined = log.final_joined() - set(map(UserId, answer.readmission_wanted_user_ids))
    wanted = {name for name, home in replay.everybody.items() if home.owner(name) is not None and name[0] in joined}
    if head.members != wanted:
        extra, missing = head.members - wanted, wanted - head.members
        return (
            f"in the group and not in {server.name}'s room: {devices_text(extra)}; the other way round: {devices_text(missing)}"
        )
    if answer.room.parked_count:
        return f"{server.service.name} has {answer.room.parked_count} events parked"
    return None


def _client_problem(replay: Replay, room: RoomLog, found: list[Head]) -> str | None:
    for server in replay.homeservers.values():
        for name in server.clients:
            head = next((head for head in found if head.device == name), None)
            if head is not None and name in head.members and not head.epoch_id:
                return f"{device_text(name)} is a member of the head and does not hold its secrets"
    return None


def check_room(replay: Replay, room: RoomLog) -> list[Head]:
    """Check a room at the end and return where everybody stands.

    Raises:
        DifferenceError: it is not as it must be.
    """
    problem = find_difference(replay, room)
    if problem is not None:
        raise DifferenceError(problem)
    return heads(replay, room)


def check_recording(folder: LogFolder) -> None:
    """Check that a recording agrees with itself: its lines lead to the membership that its homeservers told at the end.

    Raises:
        DifferenceError: they do not.
    """
    for room in folder.rooms:
        for name, log in room.servers.items():
            changes = [change for line in log.lines if not isinstance(line, PartitionLine) for change in line.state_change]
            played = {change.user_id: change.membership for change in changes}
            told = {user: change.membership for user, change in log.final_members.items()}
            users = sorted(user_text(user) for user in told.keys() | played.keys() if told.get(user) != played.get(user))
            if users:
                raise DifferenceError(f"members-final.json says otherwise of {', '.join(users)} than the lines of {name}")


def check_messages(replay: Replay, heads_by_room: Mapping[RoomId, Sequence[Head]]) -> None:
    """Check that every message of the recording was sent, and read by whom it was for.

    Messages of branches that lost may have come too late to be read.

    Raises:
        DifferenceError: one was not.
    """
    replay.mailbox.check_all_read()
    for room in replay.folder.rooms:
        for event_id, line in room.events.items():
            known = event_id in replay.mailbox.messages or event_id in replay.mailbox.refused
            if line.event.type == "m.room.message" and not known:
                raise DifferenceError(f"'{line.event.content.get('body')}' was never sent")
    for message in replay.mailbox.messages.values():
        _check_readers(replay, message, heads_by_room[message.room_id][0].commit_ref)
    if not replay.mailbox.opened and any(message.outcomes.get(name) == "OK" for message, name in _read_by_clients(replay)):
        raise DifferenceError("no store opened any message, not even those of its own device: the trial tries nothing")


def _read_by_clients(replay: Replay) -> Iterator[tuple[Message, Name]]:
    """Give the messages with the clients that did not send them."""
    clients = [name for server in replay.homeservers.values() for name in server.clients]
    return ((message, name) for message in replay.mailbox.messages.values() for name in clients if name != message.sender)


def _check_readers(replay: Replay, message: Message, head: CommitRef) -> None:
    log = replay.logs[message.room_id]
    members = log.members(message.commit_ref) or frozenset()
    excuses = {"OK", "UNKNOWN_DEVICE"} if log.is_on_chain(message.commit_ref, head) else {"OK", "UNKNOWN_DEVICE", "EXPIRED"}
    for name, outcome in message.outcomes.items():
        if name in members and outcome not in excuses:
            raise DifferenceError(f"{device_text(name)} cannot read '{message.text}': {outcome}")
        if name not in members and outcome == "OK":
            raise DifferenceError(f"{device_text(name)} reads '{message.text}' and is not in its epoch")


def try_whole_stores(replay: Replay) -> None:
    """Give every client whatever its homeserver has, and try its whole store on each message that is not for it.

    Asked in the ordinary way, too, the client must refuse.

    Raises:
        DifferenceError: one of them opened.
    """
    clients = [(name, client, replay.everybody[name]) for name, client in replay.departed.items()]
    clients += [(name, client, server) for server in replay.homeservers.values() for name, client in server.clients.items()]
    for name, client, server in clients:
        for view in server.views.values():
            if not view.is_joined(name[0]) or name in replay.departed:
                server.ingest(client, (view.seen(event) for event in view.timeline.values()))
        for message in replay.mailbox.messages.values():
            log = replay.logs[message.room_id]
            if name not in (log.members(message.commit_ref) or ()):
                replay.mailbox.try_stores([(name, client)], message, log)
                replay.mailbox.shown(message, [(name, client)])
    replay.mailbox.read(replay.logs)
