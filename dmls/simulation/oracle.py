"""What must hold once everything is whole again: one head, the right members, every message read by those it was for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dmls.engine.agent import devices_of
from dmls.engine.effects import DecryptOutcome
from dmls.engine.inputs import DecryptRequested
from dmls.engine.nodes import epoch_id
from dmls.forks.committer import needs_merge, unresolved_side_heads
from dmls.forks.graph import Device
from dmls.ids import CommitRef, ServerName, UserId
from dmls.matrix.events import Membership
from dmls.simulation.directory import server_of
from dmls.simulation.driver import Driver
from dmls.simulation.world import SentMessage, World

__all__ = ["check_convergence", "check_messages", "count_commits", "is_in_room"]


def present_servers(world: World) -> frozenset[ServerName]:
    """Return the homeservers that are in the room, as those that are in it see it."""
    views = {name: homeserver.joined_servers() for name, homeserver in world.homeservers.items()}
    inside = [view for name, view in views.items() if name in view]
    # One that has not heard that its last user was put out is not told anything any more, and believes itself in the room.
    return frozenset.intersection(*inside) if inside else frozenset()


def is_in_room(world: World, driver: Driver) -> bool:
    """Tell whether an agent has to be where everybody is: a service in the room, a client whose user is joined."""
    if driver.server not in present_servers(world):
        return False
    homeserver = world.homeservers[driver.server]
    users = {device.user_id for device in driver.agent.devices}
    return driver.is_service or any(homeserver.membership(user) is Membership.JOIN for user in users)


def entitled(world: World) -> frozenset[Device]:
    """Return the devices that should be in the group."""
    server = min(present_servers(world))
    state = world.services[server].state
    joined = _joined(world, server) - state.membership.needs_readmission()
    return frozenset(device for user in joined for device in world.directory.devices(user).values())


def _joined(world: World, server: ServerName) -> set[UserId]:
    homeserver = world.homeservers[server]
    return {user for user in homeserver.state if homeserver.membership(user) is Membership.JOIN}


def check_convergence(world: World, drivers: Sequence[Driver] = ()) -> Iterator[str]:
    """Say what is not as it must be among some agents, or all: heads, members, secrets, branches left open."""
    present = [driver for driver in drivers or world.drivers if is_in_room(world, driver)]
    if not present:
        return
    # A leave and a kick at one time are two events for one outcome, and neither homeserver need take the other's for its state.
    if len({frozenset(_joined(world, driver.server)) for driver in present}) > 1:
        yield "the homeservers do not agree on the members"
        return
    wanted = entitled(world)
    if not wanted:
        # Nobody is left who could change anything, nor anybody whom it would serve.
        return
    members_of_room = [driver for driver in present if wanted & driver.agent.devices.keys()]
    others = [driver for driver in present if driver not in members_of_room and driver.is_service]
    # What was withheld from all who have a leaf they can neither follow nor resolve.
    known = frozenset().union(*(driver.state.entries for driver in members_of_room))
    active = members_of_room + [driver for driver in others if driver.state.head is None or driver.state.head in known]
    if len({driver.state.membership.joined() for driver in active}) > 1:
        yield "agents do not agree on who is joined under a join that is not spent"
        return
    heads = {driver.name: driver.state.head for driver in active}
    if len(set(heads.values())) > 1:
        yield f"heads differ: { {name: ref.hex()[:8] if ref else None for name, ref in heads.items()} }"
        return
    epoch_ids = set()
    for driver in active:
        state = driver.state
        if state.head is None:
            yield f"{driver.name} knows no head"
            continue
        entry, held = state.entries[state.head], state.epochs.get(state.head)
        members = frozenset(devices_of(entry.group.tree).values())
        if members != wanted:
            yield f"{driver.name}: {_names(members - wanted)} too many, {_names(wanted - members)} missing"
        if held is not None:
            epoch_ids.add(epoch_id(held.state))
        inside = frozenset() if held is None else _own_members(driver, held.state.own_leaves)
        if inside != wanted & driver.agent.devices.keys():
            yield f"{driver.name} holds the head for {_names(inside)}"
        if not known.isdisjoint(_open_side_heads(driver)):
            yield f"{driver.name} sees a branch that nobody has resolved"
    if len(epoch_ids) > 1:
        yield "members of the head have different secrets"
    (head,) = set(heads.values())
    for driver in (*world.drivers, *world.departed):
        if head in driver.state.epochs and not wanted & driver.agent.devices.keys():
            yield f"{driver.name} holds the head's secrets for nobody"


def _open_side_heads(driver: Driver) -> tuple[CommitRef, ...]:
    tally, head = driver.state.tally, driver.state.head
    return unresolved_side_heads(tally, head) if head is not None and needs_merge(tally, head) else ()


def _own_members(driver: Driver, own_leaves: frozenset[int]) -> frozenset[Device]:
    state = driver.state
    if state.head is None:
        return frozenset()
    members = devices_of(state.entries[state.head].group.tree)
    return frozenset(device for index, device in members.items() if index in own_leaves)


def _names(devices: frozenset[Device]) -> str:
    return ", ".join(sorted(f"{device.user_id}/{device.device_id}" for device in devices)) or "nobody"


def check_messages(world: World) -> Iterator[str]:
    """Say which message is not read by whom it was for, or is by somebody else."""
    for message in world.messages:
        if message.event_id is not None:
            for driver in world.drivers:
                for device in driver.agent.devices:
                    yield from _check_reader(world, message, driver, device)


def _check_reader(world: World, message: SentMessage, driver: Driver, device: Device) -> Iterator[str]:
    effects = driver.ask(DecryptRequested(device.user_id, device.device_id, message.event_id or ""))  # type: ignore[arg-type]
    outcome = None if effects is None or effects.decrypted is None else effects.decrypted.outcome
    name = f"message {message.number} by {message.sender.user_id}"
    if device not in message.readers:
        if outcome is DecryptOutcome.OK:
            yield f"{name} is read by {device.user_id}/{device.device_id}, no member of its epoch"
    elif outcome is not DecryptOutcome.OK and _must_read(world, message, device):
        yield f"{name} is {outcome} for {device.user_id}/{device.device_id}"


def _must_read(world: World, message: SentMessage, device: Device) -> bool:
    """Tell whether a member of a message's epoch is there to read it, and was sent it."""
    homeserver = world.homeservers[server_of(device.user_id)]
    driver = world.directory.owner(device)
    return (
        is_in_room(world, driver)
        and message.event_id in homeserver
        and homeserver.membership(device.user_id) is Membership.JOIN
        and device in driver.agent.devices
    )


def count_commits(world: World) -> int:
    """Return how many commits were sent."""
    return len(world.requests.commit_events)
