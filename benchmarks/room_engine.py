"""What one step of the room engine costs in a large room: a message, a commit, a member event.

One engine hosts all members but one and fills the ratchet tree; the other hosts the one device that is measured. Nothing is stored
and nothing sent: the time is that of `RoomEngine.step` alone, the least of several runs.

    python -m benchmarks.room_engine [members] [--profile STEP]
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import random
import time
from collections.abc import Callable
from hashlib import sha256

from dmls.engine.agent import Agent, OwnDevice, make_client
from dmls.engine.effects import BlobToUpload, BlobWanted, ClaimWanted, Effects, EventToSend
from dmls.engine.inputs import (
    BlobProvided,
    DeviceListChanged,
    EncryptRequested,
    EventReceived,
    KeyPackagesProvided,
    MemberEventReceived,
    OutboxAnswered,
    RoomStateChanged,
    Tick,
)
from dmls.engine.committing import send_commit
from dmls.engine.planning import make_plan
from dmls.engine.room import RoomEngine
from dmls.forks.graph import Device
from dmls.ids import DeviceId, EventId, KeyPackageRef, RoomId, ServerName, UserId
from dmls.matrix.bodies import Payload
from dmls.matrix.events import MemberEvent, Membership, RoomEvent
from dmls.matrix.membership import RoomFacts
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.group.leaf import KeyPackageBundle, create_key_package
from dmls.mls.messages.leaf_node import Lifetime
from dmls.mls.messages.message import encode_message

ROOM = RoomId("!big:hs0")
SUITE = cipher_suite(1)


class Room:
    """Two engines, and the events between them."""

    def __init__(self, members: int) -> None:
        rng = random.Random(1)
        self.random: Callable[[int], bytes] = rng.randbytes
        self.now = 1_700_000_000_000
        self.owns = [self._own(f"@user{number}:hs{int(number > 0)}") for number in range(members)]
        self.one = RoomEngine.create(ROOM, Agent(ServerName("hs0"), True, {self.owns[0].device: self.owns[0]}))
        self.rest = RoomEngine.create(ROOM, Agent(ServerName("hs1"), True, {own.device: own for own in self.owns[1:]}))
        self.bundles: dict[KeyPackageRef, KeyPackageBundle] = {}
        self.blobs: dict[bytes, bytes] = {}
        self.count = 0
        facts = RoomFacts(self.owns[1].device.user_id, "12", "shared", "org.dmls.v1")
        joins = {own.device.user_id: self.join_event(own.device.user_id) for own in self.owns}
        for engine in (self.rest, self.one):
            engine.step(RoomStateChanged(1, facts, joins, is_full=True), self.now, self.random)
            for own in self.owns:
                device = own.device
                is_own = device.server == engine.state.agent.server_name
                engine.step(DeviceListChanged(device.user_id, 1, self.now, (device,), is_own), self.now, self.random)
        self._fill()

    def _own(self, user: str) -> OwnDevice:
        pair = SUITE.generate_signature_key_pair(self.random)
        device = Device(UserId(user), DeviceId("D"), pair.public_key)
        return OwnDevice(device, make_client(SUITE, device.user_id, device.device_id, pair.private_key, pair.public_key))

    def join_event(self, user: UserId, note: str = "") -> MemberEvent:
        return MemberEvent(EventId(f"$join{note}-{user}"), user, user, Membership.JOIN)

    def _fill(self) -> None:
        """Add everybody, then let every second leaf commit, so that all parents of the tree are filled."""
        self.settle(self.rest)
        for index in range(0, len(self.owns), 2):
            draft = self.rest._draft(self.now, self.random, {})
            plan = make_plan(draft.state, self.now)
            assert plan is not None
            committer = next((item for item in plan.committers if item[0] == index), None)
            if committer is not None:
                send_commit(draft, plan, committer)
                self.rest._state = draft.state
                self.pass_on(self.rest, draft.finish(None))

    def settle(self, engine: RoomEngine) -> None:
        for _ in range(10):
            effects = engine.step(Tick(), self.now, self.random)
            self.pass_on(engine, effects)
            if not effects.outbox:
                break

    def pass_on(self, engine: RoomEngine, effects: Effects) -> list[RoomEvent]:
        """Do what the engine wants done, and give its events to the other."""
        other = self.one if engine is self.rest else self.rest
        events = []
        for item in effects.outbox:
            if isinstance(item, ClaimWanted):
                self._provide(engine, item)
            elif isinstance(item, EventToSend):
                event = self.event(item.sender, item.content)
                engine.step(OutboxAnswered(item.commit_ref, event.event_id), self.now, self.random)
                self.give(other, event)
                events.append(event)
            elif isinstance(item, BlobToUpload):
                self.blobs[item.sha256] = item.data
        return events

    def give(self, engine: RoomEngine, event: RoomEvent) -> None:
        effects = engine.step(EventReceived(event), self.now, self.random, self.bundles)
        while wanted := [item for item in effects.outbox if isinstance(item, BlobWanted)]:
            effects = engine.step(BlobProvided(self.blobs[wanted[0].sha256], tuple(self.blobs.values())), self.now, self.random, self.bundles)

    def event(self, sender: UserId, content: bytes) -> RoomEvent:
        event_id = EventId("$" + sha256(content).hexdigest())
        return RoomEvent(event_id, ROOM, sender, "m.room.encrypted", None, json.loads(content), self.now)

    def _provide(self, engine: RoomEngine, item: ClaimWanted) -> None:
        owns = {own.device: own for own in self.owns}
        provided = {}
        for device in item.devices:
            bundle = create_key_package(
                SUITE, owns[device].client, Lifetime(self.now // 1000 - 60, self.now // 1000 + 86_400), self.random
            )
            self.bundles[bundle.ref] = bundle
            provided[device] = encode_message(bundle.key_package)
        engine.step(KeyPackagesProvided(provided), self.now, self.random)

    # What is measured

    def encrypt(self, engine: RoomEngine, own: OwnDevice) -> Effects:
        payload = Payload("m.room.message", {"body": "hello"}, ROOM)
        return engine.step(EncryptRequested(own.device.user_id, own.device.device_id, payload), self.now, self.random)

    def message_from(self, engine: RoomEngine, own: OwnDevice) -> RoomEvent:
        effects = self.encrypt(engine, own)
        assert effects.encrypted is not None and effects.encrypted.content, effects.encrypted
        return self.event(own.device.user_id, effects.encrypted.content)

    def commit_from_rest(self) -> RoomEvent:
        draft = self.rest._draft(self.now, self.random, {})
        plan = make_plan(draft.state, self.now)
        assert plan is not None
        send_commit(draft, plan, plan.committers[7])
        self.rest._state = draft.state
        item = next(item for item in draft.outbox if isinstance(item, EventToSend))
        event = self.event(item.sender, item.content)
        self.rest.step(OutboxAnswered(item.commit_ref, event.event_id), self.now, self.random)
        return event


def measure(room: Room, runs: int) -> dict[str, Callable[[], float]]:
    """Return the measured steps by name; each returns seconds."""

    def timed(prepare: Callable[[], object], step: Callable[[object], Effects]) -> Callable[[], float]:
        def run() -> float:
            best = float("inf")
            for _ in range(runs):
                room.now += 1
                given = prepare()
                start = time.perf_counter()
                step(given)
                best = min(best, time.perf_counter() - start)
            return best

        return run

    one, rest = room.one, room.rest

    def receive(event: object) -> Effects:
        return one.step(EventReceived(event), room.now, room.random)  # type: ignore[arg-type]

    def tick(_: object) -> Effects:
        return one.step(Tick(), room.now, room.random)

    def kick(number: object) -> Effects:
        assert isinstance(number, int)
        user = room.owns[-number].device.user_id
        leave = MemberEvent(EventId(f"$leave-{user}"), user, user, Membership.LEAVE, (EventId(f"$join-{user}"),))
        return one.step(RoomStateChanged(number + 1, None, {user: leave}), room.now, room.random)

    def number() -> int:
        room.count += 1
        return room.count

    def note(number: object) -> Effects:
        user = room.owns[1].device.user_id
        return one.step(MemberEventReceived(room.join_event(user, str(number))), room.now, room.random)

    return {
        "send a message": timed(lambda: None, lambda _: room.encrypt(one, room.owns[0])),
        "receive a message with a vote": timed(lambda: room.message_from(rest, room.owns[5 + number()]), receive),
        "receive a message": timed(lambda: room.message_from(rest, room.owns[5]), receive),
        "receive a commit": timed(room.commit_from_rest, receive),
        "tick": timed(lambda: None, tick),
        "note a member event": timed(number, note),
        "a user leaves": timed(number, kick),
        "send after that (a commit)": timed(lambda: kick(number()), lambda _: room.encrypt(one, room.owns[0])),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("members", type=int, nargs="?", default=1000)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--profile")
    arguments = parser.parse_args()
    start = time.perf_counter()
    room = Room(arguments.members)
    assert room.one.state.head is not None and room.one.state.head in room.one.state.epochs
    print(f"a room of {arguments.members} members, built in {time.perf_counter() - start:.1f} s")
    for name, run in measure(room, arguments.runs).items():
        if arguments.profile == name:
            profile = cProfile.Profile()
            profile.enable()
            run()
            profile.disable()
            pstats.Stats(profile).sort_stats("cumulative").print_stats(45)
        else:
            print(f"{name:32} {1000 * run():9.2f} ms")


if __name__ == "__main__":
    main()
