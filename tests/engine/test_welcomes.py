"""Welcomes that get lost, come twice, come early, or are for a branch that nobody has published."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace

import pytest

from dmls.engine.agent import Agent, OwnDevice, make_client
from dmls.engine.effects import BackfillWanted, EventToSend, IngestOutcome, NoticeKind, ToDeviceToSend
from dmls.engine.inputs import AgentChanged, RoomStateChanged, ToDeviceReceived
from dmls.engine.nodes import find_leaf
from dmls.forks.aad import EpochPointer, commit_ref, make_commit_aad, make_node_ref
from dmls.forks.graph import Device
from dmls.ids import CommitRef, DeviceId, EventId, UserId
from dmls.matrix.bodies import CommitBody, Inline, WelcomeBody, content_of
from dmls.matrix.events import RoomEvent
from dmls.mls.group.commit import CommitOptions, create_commit
from dmls.mls.group.leaf import KeyPackageBundle, create_key_package
from dmls.mls.messages.leaf_node import Lifetime
from dmls.mls.messages.message import encode_message
from dmls.mls.messages.proposal import Add
from dmls.tools.demo.log_reader import read_log_folder
from tests.support.lies import member, vote_for
from tests.support.newcomers import Newcomer
from tests.support.room_logs import FIGURE_1
from tests.support.world import SUITE, Party, World

CLIENTS = frozenset({"@carol", "@dan"})
DAY_MS = 86_400_000


class WelcomesGetLost(World):
    def _to_device(self, party: Party, item: ToDeviceToSend) -> None:
        pass


class WelcomesHurry(World):
    """Welcomes overtake the events of their commits, and come twice."""

    early = 0

    def _to_device(self, party: Party, item: ToDeviceToSend) -> None:
        owner = self.owner(item.user_id, item.device_id)
        if owner is not None:
            for copy in range(2):
                name = hashlib.sha256(item.content + bytes([copy])).hexdigest()
                result = self.step(
                    owner, ToDeviceReceived(name, item.sender, item.user_id, item.device_id, json.loads(item.content))
                ).result
                self.early += result is not None and result.outcome == IngestOutcome.PARKED


def check(world: World, parties: Iterable[Party]) -> None:
    for message in world.messages.values():
        for party in parties:
            for device in party.agent.devices:
                outcome, body = world.read(party, device, message.event_id)
                assert (outcome == "ok") == (device in message.readers)
                assert body == (message.body if outcome == "ok" else "")


def joined_by_welcome(world: World) -> int:
    return sum(notice.kind == NoticeKind.JOINED for party in world.parties if not party.is_service for notice in party.notices)


@pytest.mark.parametrize("kind", [WelcomesGetLost, WelcomesHurry])
def test_whether_and_when_the_to_device_message_comes_makes_no_difference(kind: type[World], seed: int) -> None:
    world = kind(read_log_folder(FIGURE_1[0]), clients=CLIENTS, seed=seed)
    world.run()
    check(world, world.parties)
    assert joined_by_welcome(world)
    assert not any(party.engine.state.parked for party in world.parties)
    if isinstance(world, WelcomesHurry):
        assert world.early


@dataclass
class Invited:
    """A client with a new device, and the commit on a node that adds it."""

    client: Newcomer
    commit: RoomEvent
    ref: CommitRef
    to_device: ToDeviceReceived
    bundle: KeyPackageBundle


def invite(world: World, parent: CommitRef) -> Invited:
    """Let a joined user's new client be added by a commit on a node, which nobody has been sent yet."""
    service = world.service("hs1")
    state = service.engine.state
    maker, _ = member(world, next(user for user in sorted(state.membership.joined()) if user.startswith("@alice")))
    pair = SUITE.generate_signature_key_pair(service.random)
    device = Device(UserId(maker.device.user_id), DeviceId("NEW"), pair.public_key)
    own = OwnDevice(device, make_client(SUITE, device.user_id, device.device_id, pair.private_key, pair.public_key))
    now = world.now // 1_000
    bundle = create_key_package(SUITE, own.client, Lifetime(now - 3_600, now + 86_400), service.random)
    group = state.epochs[parent].state
    leaf = find_leaf(group.public.tree, maker.device)
    assert leaf is not None
    options = CommitOptions(
        authenticated_data=make_commit_aad(EpochPointer(parent, b""), 1_000_000),
        force_path=True,
        welcome_with_tree=False,
        group_info_extensions=lambda content: (make_node_ref(commit_ref(SUITE, content)),),
    )
    staged = create_commit(group, maker.client, leaf, [Add(bundle.key_package)], service.random, options)
    assert staged.welcome is not None
    assert staged.group_info is not None
    ref = commit_ref(SUITE, staged.content)
    welcome = Inline(encode_message(staged.welcome))
    body = CommitBody(
        SUITE.id,
        Inline(staged.message),
        Inline(encode_message(staged.group_info)),
        Inline(staged.state.public.tree.encode()),
        welcome,
        parent_event=state.entries[parent].node.event_id,
        commit_ref=ref,
    )
    change = world.members["hs1"][maker.device.user_id]
    assert change.event_id is not None
    name, room = EventId("$invitation"), world.room.room_id
    commit = RoomEvent(
        name, room, device.user_id, "m.room.encrypted", None, content_of(body), world.now, auth_events=(change.event_id,)
    )
    content = content_of(WelcomeBody(room, welcome, ref, name))
    told = ToDeviceReceived("invitation", device.user_id, device.user_id, device.device_id, content)
    timeline = [world._seen_by("hs1", event) for event in world.timelines["hs1"].values()]
    client = Newcomer.beside(state, timeline, now=world.now, answers=False, bundles={bundle.ref: bundle})
    client.step(AgentChanged(Agent(state.agent.server_name, is_service=False, devices={device: own})))
    client.see(*timeline)
    return Invited(client, commit, ref, told, bundle)


def head_of(world: World) -> CommitRef:
    head = world.service("hs1").engine.state.head
    assert head is not None
    return head


def test_a_welcome_before_its_commit_is_kept_and_the_commit_asked_for(seed: int) -> None:
    world = World(read_log_folder(FIGURE_1[0]), clients=frozenset(), seed=seed)
    world.run()
    invited = invite(world, head_of(world))
    client = invited.client
    client.step(invited.to_device)
    assert client.asked == [BackfillWanted((invited.commit.event_id,), (invited.ref,))]
    # The event without its Welcome, as somebody would send it who wants to keep the device out.
    bare = {key: value for key, value in invited.commit.content.items() if key != "welcome"}
    client.reload()
    client.see(replace(invited.commit, content=bare))
    assert invited.ref in client.state.epochs
    assert client.state.head == invited.ref
    assert not client.state.parked


def test_the_commits_event_carries_the_welcome_too(seed: int) -> None:
    world = World(read_log_folder(FIGURE_1[0]), clients=frozenset(), seed=seed)
    world.run()
    invited = invite(world, head_of(world))
    invited.client.see(invited.commit)
    assert invited.ref in invited.client.state.epochs
    invited.client.step(invited.to_device)
    assert not invited.client.state.parked


def test_a_welcome_for_a_branch_that_nobody_published_waits_and_is_no_reason_to_join(seed: int) -> None:
    world = World(read_log_folder(FIGURE_1[0]), clients=frozenset(), seed=seed)
    world.run()
    invited = invite(world, head_of(world))
    client = invited.client
    client.step(invited.to_device)
    client.wait(client.now + DAY_MS)
    assert client.state.parked
    assert len(client.asked) < 40
    assert invited.ref not in client.state.epochs
    assert client.state.head == head_of(world)
    assert not [item for item in client.sent if isinstance(item, EventToSend)]
    client.wait(client.now + 7 * DAY_MS)
    assert not client.state.parked


def test_a_welcome_for_a_losing_branch_opens_that_branch_and_moves_nothing(seed: int) -> None:
    world = World(read_log_folder(FIGURE_1[0]), clients=frozenset(), seed=seed)
    world.run()
    state = world.service("hs1").engine.state
    chain = state.graph.chain(head_of(world))
    parent = next(ref for ref in reversed(chain[:-1]) if ref in state.epochs and _may_lose(world, ref))
    invited = invite(world, parent)
    client = invited.client
    client.step(invited.to_device)
    users = sorted(state.membership.joined() - {invited.commit.sender})
    tree = state.entries[head_of(world)].group.tree
    for user in users:
        client.see(vote_for(world, user, head_of(world), tree))
    client.see(invited.commit)
    assert invited.ref in client.state.epochs
    assert client.state.head == head_of(world)
    assert head_of(world) not in client.state.epochs


def _may_lose(world: World, ref: CommitRef) -> bool:
    """Tell whether alice has a leaf in an epoch whose secrets are held."""
    maker, _ = member(world, next(user for user in world.devices if user.startswith("@alice")))
    state = world.service("hs1").engine.state
    return find_leaf(state.entries[ref].group.tree, maker.device) in state.epochs[ref].state.own_leaves


def test_a_welcome_for_a_user_who_has_left_lets_nobody_in(seed: int) -> None:
    world = World(read_log_folder(FIGURE_1[0]), clients=frozenset(), seed=seed)
    world.run()
    invited = invite(world, head_of(world))
    client = invited.client
    client.step(RoomStateChanged(2, None, {invited.commit.sender: None}))
    client.step(invited.to_device)
    client.see(invited.commit)
    # The node of somebody who has left and whom nobody supports does not count: the head stays, and none of its secrets are held.
    assert client.state.head == head_of(world)
    assert head_of(world) not in client.state.epochs
    assert not [item for item in client.sent if isinstance(item, EventToSend)]
