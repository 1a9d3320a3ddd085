"""Client devices against real services: their stock of key packages, ways into a group, messages, crashes."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devicestore import StoreError
from dmls.client.channel import ServiceChannel
from dmls.client.device import ClientDevice
from dmls.engine.agent import devices_of
from dmls.engine.effects import DecryptOutcome, EncryptOutcome, EventToSend
from dmls.engine.inputs import EventReceived
from dmls.errors import CodecError, NotFoundError, StateError
from dmls.ids import DeviceId, EventId, UserId
from dmls.matrix.encoding import parse_json_object
from dmls.matrix.events import Membership
from dmls.rooms.answers import AnswerOutcome
from dmls.v1 import key_package_pb2
from tests.client.scene import Scene, running_services

Open = Callable[[UserId, str], ClientDevice]


@pytest.fixture(scope="module")
def channels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, ServiceChannel]]:
    with running_services(tmp_path_factory.mktemp("s"), "hs1", "hs2") as running, contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(ServiceChannel(process.listen)) for name, process in running.items()}


@pytest.fixture
def open_client(channels: dict[str, ServiceChannel], tmp_path: Path) -> Iterator[Open]:
    """Opens a client device; opened again, it comes back on the store that it left."""
    with contextlib.ExitStack() as stack:

        def open_it(user: UserId, device_id: str) -> ClientDevice:
            folder = tmp_path / f"{user[1:].replace(':', '-')}-{device_id}"
            channel = channels[user.partition(":")[2]]
            return stack.enter_context(ClientDevice(folder, user, DeviceId(device_id), channel))

        yield open_it


@pytest.fixture
def scene(channels: dict[str, ServiceChannel], tmp_path: Path) -> Scene:
    return Scene(channels, tmp_path.name.replace("_", "-"))


def _status(scene: Scene, client: ClientDevice) -> key_package_pb2.SuiteStatus:
    request = key_package_pb2.GetKeyPackageStatusRequest(user_id=client.device.user_id, device_id=client.device.device_id)
    status = scene.channels["hs1"].call(request, key_package_pb2.GetKeyPackageStatusResponse).status
    return status.suites[0]


def _claim(scene: Scene, client: ClientDevice) -> key_package_pb2.DeviceClaim:
    request = key_package_pb2.ClaimKeyPackagesRequest(
        targets=[key_package_pb2.ClaimTarget(user_id=client.device.user_id)], cipher_suites=[1]
    )
    return scene.channels["hs1"].call(request, key_package_pb2.ClaimKeyPackagesResponse).users[0].devices[0]


def _body(scene: Scene, client: ClientDevice, event_id: EventId) -> str | DecryptOutcome:
    result = client.decrypt(scene.room, event_id)
    return json.loads(result.payload)["content"]["body"] if result.outcome is DecryptOutcome.OK else result.outcome


def _is_inside(scene: Scene, client: ClientDevice) -> bool:
    """Tell whether a client holds the head, and is a member of it."""
    state = client.room(scene.room)
    if state is None or state.head is None:
        return False
    return state.head in state.epochs and client.device in devices_of(state.entries[state.head].group.tree).values()


def _start(scene: Scene) -> None:
    """Let alice, whose device the service holds, make the room."""
    scene.host(scene.alice, "A1")
    scene.change(scene.alice, Membership.JOIN)
    scene.settle()


# Key packages


def test_a_device_keeps_its_stock_of_key_packages(scene: Scene, open_client: Open) -> None:
    carol = open_client(scene.carol, "C1")
    scene.add(carol)
    assert (_status(scene, carol).available, _status(scene, carol).has_last_resort) == (3, True)
    assert carol.stock(3) == 0
    given = {_claim(scene, carol).ref for _ in range(2)}
    assert len(given) == 2
    assert carol.stock(5) == 4
    assert _status(scene, carol).available == 5


def test_a_last_resort_that_was_given_out_is_replaced(scene: Scene, open_client: Open) -> None:
    carol = open_client(scene.carol, "C1")
    scene.add(carol)
    claims = [_claim(scene, carol) for _ in range(5)]
    assert [claim.last_resort for claim in claims] == [False, False, False, True, True]
    assert claims[3].ref == claims[4].ref
    assert carol.stock(2) == 3
    assert not _status(scene, carol).last_resort_used


def test_a_device_of_a_store_stays_the_same_and_is_nobody_elses(scene: Scene, open_client: Open, tmp_path: Path) -> None:
    carol = open_client(scene.carol, "C1")
    with pytest.raises(StoreError):
        open_client(scene.carol, "C1")
    carol.close()
    assert open_client(scene.carol, "C1").device == carol.device
    folder = tmp_path / f"{scene.dan[1:].replace(':', '-')}-D1"
    open_client(scene.dan, "D1").close()
    with pytest.raises(StateError):
        ClientDevice(folder, scene.carol, DeviceId("D1"), scene.channels["hs1"])


# Ways into a group


def test_a_device_joins_by_the_welcome_of_its_service(scene: Scene, open_client: Open) -> None:
    _start(scene)
    carol = open_client(scene.carol, "C1")
    scene.add(carol)
    scene.change(scene.carol, Membership.JOIN)
    assert not _is_inside(scene, carol)
    scene.settle()
    assert _is_inside(scene, carol)
    # One was used for the Welcome, and replaced at once.
    assert _status(scene, carol).available == 3
    hello = scene.service_sends(scene.alice, "A1", "hello carol")
    assert _body(scene, carol, hello) == "hello carol"
    answer = scene.client_sends(carol, "hello alice")
    assert scene.service_reads(scene.alice, "A1", answer) == "hello alice"
    assert _body(scene, carol, answer) == "hello alice"


def test_a_device_whose_server_has_no_other_joins_by_external_commit(scene: Scene, open_client: Open) -> None:
    _start(scene)
    dan = open_client(scene.dan, "D1")
    scene.add(dan)
    scene.change(scene.dan, Membership.JOIN)
    scene.settle()
    assert _is_inside(scene, dan)
    state = dan.room(scene.room)
    assert state is not None
    joins = [entry.node for entry in state.entries.values() if entry.node.author == dan.device]
    assert [node.is_external for node in joins] == [True]
    hello = scene.client_sends(dan, "hello from afar")
    assert scene.service_reads(scene.alice, "A1", hello) == "hello from afar"


def test_a_device_adds_its_sisters_with_key_packages_claimed_from_its_own_service(scene: Scene, open_client: Open) -> None:
    _start(scene)
    first, second = open_client(scene.dan, "D1"), open_client(scene.dan, "D2")
    scene.add(first)
    scene.change(scene.dan, Membership.JOIN)
    scene.settle()
    scene.add(second)
    first.refresh_device_lists([scene.dan])
    scene.show(second)
    scene.settle()
    assert _is_inside(scene, second)
    hello = scene.client_sends(first, "to my other device")
    assert _body(scene, second, hello) == "to my other device"


def test_a_device_that_has_left_reads_and_sends_no_more(scene: Scene, open_client: Open) -> None:
    _start(scene)
    carol = open_client(scene.carol, "C1")
    scene.add(carol)
    scene.change(scene.carol, Membership.JOIN)
    scene.settle()
    scene.change(scene.carol, Membership.LEAVE)
    scene.settle()
    secret = scene.service_sends(scene.alice, "A1", "carol has gone")
    assert carol.encrypt(scene.room, "m.room.message", {"body": "may I?"}).result.outcome is EncryptOutcome.NOT_JOINED
    # Even where the homeserver gives away what it must not.
    carol.receive_events(scene.room, [EventReceived(event) for event in scene.timeline.values()])
    assert _body(scene, carol, secret) is DecryptOutcome.NOT_MEMBER_THEN


# Crashes


def test_what_a_device_wants_sent_is_the_same_bytes_until_it_is_answered(scene: Scene, open_client: Open) -> None:
    _start(scene)
    dan = open_client(scene.dan, "D1")
    scene.add(dan)
    scene.change(scene.dan, Membership.JOIN)
    while not (events := [item for item in dan.pending() if isinstance(item.action, EventToSend)]):
        for item in dan.pending():
            scene.do(dan, item)
    dan.close()
    scene.clients.remove(dan)
    dan = open_client(scene.dan, "D1")
    assert [item for item in dan.pending() if isinstance(item.action, EventToSend)] == events
    action = events[0].action
    assert isinstance(action, EventToSend)
    event_id = scene.publish(scene.dan, parse_json_object(action.content))
    assert dan.answer(events[0].seq, event_id).outcome is AnswerOutcome.ACCEPTED
    assert dan.answer(events[0].seq, event_id).outcome is AnswerOutcome.DUPLICATE
    assert dan.answer(events[0].seq, EventId("$another")).outcome is AnswerOutcome.CONFLICT
    assert events[0] not in dan.pending()


def test_a_message_waits_for_a_device_that_was_closed(scene: Scene, open_client: Open) -> None:
    _start(scene)
    carol = open_client(scene.carol, "C1")
    scene.add(carol)
    scene.change(scene.carol, Membership.JOIN)
    scene.settle()
    read = scene.service_sends(scene.alice, "A1", "told before the end")
    carol.close()
    scene.clients.remove(carol)
    missed = scene.service_sends(scene.alice, "A1", "told meanwhile")
    carol = open_client(scene.carol, "C1")
    assert _body(scene, carol, read) == "told before the end"
    assert _body(scene, carol, missed) is DecryptOutcome.UNKNOWN_EVENT
    scene.clients.append(carol)
    scene.show(carol)
    assert _body(scene, carol, missed) == "told meanwhile"
    assert scene.service_reads(scene.alice, "A1", scene.client_sends(carol, "back again")) == "back again"


# What makes no sense


def test_a_blob_is_found_by_its_hash(scene: Scene, open_client: Open) -> None:
    carol = open_client(scene.carol, "C1")
    data = b"a ratchet tree"
    digest = hashlib.sha256(data).digest()
    with pytest.raises(NotFoundError):
        carol.blob(digest)
    carol.receive_blob(scene.room, data)
    assert carol.blob(digest) == data


def test_content_that_cannot_be_sent_is_refused_and_nothing_happens(scene: Scene, open_client: Open) -> None:
    _start(scene)
    carol = open_client(scene.carol, "C1")
    scene.add(carol)
    scene.change(scene.carol, Membership.JOIN)
    scene.settle()
    with pytest.raises(CodecError):
        carol.encrypt(scene.room, "m.room.message", {"body": {1, 2}})
    assert carol.pending() == []
    assert scene.service_reads(scene.alice, "A1", scene.client_sends(carol, "in words")) == "in words"
