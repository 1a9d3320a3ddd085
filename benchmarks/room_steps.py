"""What one step of an engine costs, by the size of the room: sending and receiving a message, and passing time.

    python -m benchmarks.room_steps [MEMBERS ...]

Two services, each with one hosted device that talks; all other members are devices of a third server that nobody plays.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from dmls.engine.agent import Agent, OwnDevice, make_client
from dmls.engine.effects import BlobToUpload, Effects, EventToSend
from dmls.engine.inputs import (
    AgentChanged,
    BlobProvided,
    DeviceListChanged,
    EncryptRequested,
    EventReceived,
    Input,
    KeyPackagesProvided,
    OutboxAnswered,
    RoomStateChanged,
    Tick,
)
from dmls.engine.room import RoomEngine
from dmls.forks.graph import Device
from dmls.ids import CommitRef, DeviceId, EventId, KeyPackageRef, RoomId, UserId
from dmls.matrix.bodies import Payload
from dmls.matrix.events import MemberEvent, Membership, RoomEvent
from dmls.matrix.membership import RoomFacts
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.group.leaf import KeyPackageBundle, create_key_package
from dmls.mls.messages.leaf_node import Lifetime
from dmls.mls.messages.message import encode_message

__all__ = ["Crowd", "measure", "show"]

SUITE = cipher_suite(1)
ROOM = RoomId("!room:hs1")


@dataclass
class Service:
    """A service with one hosted device."""

    own: OwnDevice
    engine: RoomEngine
    bundle: KeyPackageBundle
    spent: dict[str, list[float]] = field(default_factory=dict)


class Crowd:
    """A room of many members, of whom two talk."""

    def __init__(self, members: int, seed: int = 1) -> None:
        self.random = random.Random(seed).randbytes
        self.now_ms = 1_700_000_000_000
        self.version = 0
        self.blobs: list[bytes] = []
        owns = [self._device("a", "hs1"), self._device("b", "hs2")]
        others = [self._device(f"u{number}", "hs3") for number in range(members - 2)]
        lists = [own.device for own in [*owns, *others]]
        packages = {own.device: self._bundle(own) for own in [*owns, *others]}
        users = [device.user_id for device in lists]
        state = {user: MemberEvent(EventId(f"${user}"), user, user, Membership.JOIN) for user in users}
        facts = RoomFacts(owns[0].device.user_id, "10", "shared", "org.dmls.v1")
        self.services = []
        for own in owns:
            agent = Agent(own.device.server, True, {own.device: own})
            service = Service(own, RoomEngine.create(ROOM, Agent(own.device.server, True)), packages[own.device])
            self.services.append(service)
            self.step(service, "other", AgentChanged(agent))
            self.step(service, "other", RoomStateChanged(1, facts, state, is_full=True))
            for device in lists:
                is_own = device.server == own.device.server
                self.step(service, "other", DeviceListChanged(device.user_id, 1, self.now_ms, (device,), is_own))
        first, second = self.services
        events = self._commits(self.step(first, "other", Tick()))
        provided = {
            device: encode_message(bundle.key_package) for device, bundle in packages.items() if device != first.own.device
        }
        self.step(first, "other", KeyPackagesProvided(provided))
        self.now_ms += 60_000
        events += self._commits(self.step(first, "commit", Tick()))
        for item, event in events:
            self.step(first, "other", OutboxAnswered(item.commit_ref, event.event_id))
            for service in self.services:
                self.receive(service, event, "commit")
        for service in self.services:
            self.step(service, "tick after commit", Tick())
        assert first.engine.state.head == second.engine.state.head
        assert second.engine.state.head in second.engine.state.epochs
        assert first.engine.state.entries[first.engine.state.head or CommitRef(b"")].group.tree.member_count == members

    def _device(self, name: str, server: str) -> OwnDevice:
        pair = SUITE.generate_signature_key_pair(self.random)
        user, device_id = UserId(f"@{name}:{server}"), DeviceId("D")
        device = Device(user, device_id, pair.public_key)
        return OwnDevice(device, make_client(SUITE, user, device_id, pair.private_key, pair.public_key))

    def _bundle(self, own: OwnDevice) -> KeyPackageBundle:
        now = self.now_ms // 1_000
        return create_key_package(SUITE, own.client, Lifetime(now - 3_600, now + 86_400 * 90), self.random)

    def step(self, service: Service, what: str, happened: Input) -> Effects:
        """Take a step and note how long it took."""
        bundles = {KeyPackageRef(service.bundle.ref): service.bundle}
        began = time.process_time()
        effects = service.engine.step(happened, self.now_ms, self.random, bundles)
        service.spent.setdefault(what, []).append(time.process_time() - began)
        return effects

    def _commits(self, effects: Effects) -> list[tuple[EventToSend, RoomEvent]]:
        found = []
        for item in effects.outbox:
            if isinstance(item, BlobToUpload):
                self.blobs.append(item.data)
            if isinstance(item, EventToSend):
                found.append((item, self._event(item.sender, json.loads(item.content))))
        return found

    def _event(self, sender: UserId, content: dict[str, object]) -> RoomEvent:
        self.version += 1
        return RoomEvent(EventId(f"$event{self.version}"), ROOM, sender, "m.room.encrypted", None, content, self.now_ms)

    def receive(self, service: Service, event: RoomEvent, what: str) -> None:
        """Show an event to a service, with the blobs that it refers to."""
        result = self.step(service, f"receive {what}", EventReceived(event)).result
        assert result is not None
        if result.outcome == "parked":
            self.step(service, "other", BlobProvided(self.blobs[0], tuple(self.blobs[1:])))

    def talk(self, messages: int) -> None:
        """Let both devices say something by turns."""
        for number in range(messages):
            service = self.services[number % 2]
            device = service.own.device
            self.now_ms += 10
            payload = Payload("m.room.message", {"body": "hello"}, ROOM)
            effects = self.step(service, "send message", EncryptRequested(device.user_id, device.device_id, payload))
            assert effects.encrypted is not None
            assert effects.encrypted.outcome == "ok"
            self.step(service, "tick after message", Tick())
            event = self._event(device.user_id, json.loads(effects.encrypted.content))
            for each in self.services:
                self.receive(each, event, "message")
                self.step(each, "tick after message", Tick())


def measure(members: int, messages: int = 20) -> dict[str, float]:
    """Return the median of each kind of step in milliseconds."""
    crowd = Crowd(members)
    crowd.talk(messages)
    spent: dict[str, list[float]] = {}
    for service in crowd.services:
        for what, times in service.spent.items():
            spent.setdefault(what, []).extend(times)
    return {what: 1_000 * sorted(times)[len(times) // 2] for what, times in sorted(spent.items())}


def show(sizes: Sequence[int], found: Sequence[dict[str, float]]) -> None:
    """Print what was measured."""
    for members, medians in zip(sizes, found, strict=True):
        print(f"{members:>6} members, ms: " + ", ".join(f"{what} {value:.3f}" for what, value in medians.items()))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure rooms of the given sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", metavar="MEMBERS", type=int, nargs="*", default=[10, 100, 1000])
    sizes = parser.parse_args(arguments).sizes
    show(sizes, [measure(members) for members in sizes])


if __name__ == "__main__":
    main()
