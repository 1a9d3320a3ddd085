"""Events that members of a played room make beside the protocol: with their own keys, and no rule but the one they keep."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from dmls.engine.agent import OwnDevice
from dmls.engine.nodes import find_leaf
from dmls.forks.aad import EpochPointer, commit_ref, make_commit_aad, make_node_ref, make_vote, sign_vote
from dmls.forks.graph import Device
from dmls.ids import CommitRef, EventId, GroupId, LeafIndex, UserId
from dmls.matrix.bodies import CommitBody, Inline, VoteBody, content_of
from dmls.matrix.events import RoomEvent
from dmls.mls.group.commit import CommitOptions, StagedCommit, create_commit
from dmls.mls.group.welcome import make_group_info
from dmls.mls.messages.message import encode_message
from dmls.mls.tree.ratchet_tree import RatchetTree
from tests.support.world import World

__all__ = ["Lie", "lie", "member", "vote_for"]


@dataclass(frozen=True)
class Lie:
    """A commit that was made on the head, whatever it says its parent is."""

    event: RoomEvent
    ref: CommitRef
    own: OwnDevice
    leaf: LeafIndex
    staged: StagedCommit
    body: CommitBody

    def with_body(self, **fields: Any) -> RoomEvent:
        """The event with other fields."""
        return replace(self.event, content=content_of(replace(self.body, **fields)))

    def group_info(self, own: OwnDevice, leaf: LeafIndex, names: CommitRef) -> Inline:
        """A GroupInfo of the commit's epoch, signed by a device at a leaf, that names a node."""
        return Inline(encode_message(make_group_info(self.staged.state, own.client, leaf, extensions=(make_node_ref(names),))))


def member(world: World, user: UserId) -> tuple[OwnDevice, LeafIndex]:
    """Return a device of a user that is a member of the head."""
    for party in world.parties:
        state = party.engine.state
        assert state.head is not None
        for device, own in party.agent.devices.items():
            index = find_leaf(state.entries[state.head].group.tree, device)
            if device.user_id == user and index is not None:
                return own, index
    raise AssertionError(f"{user} is not in the group")


def _event(world: World, sender: UserId, content: dict[str, Any]) -> RoomEvent:
    name = EventId("$" + sha256(repr(content).encode()).hexdigest()[:43])
    server = world._local(sender)
    change = world.members[server][sender]
    assert change.event_id is not None
    return RoomEvent(
        name, world.room.room_id, sender, "m.room.encrypted", None, content, world.now, auth_events=(change.event_id,)
    )


def _last_seq(world: World, device: Device) -> int:
    return world.parties[0].engine.state.tally.last_seq(device)


def lie(world: World, user: UserId, parent: CommitRef) -> Lie:
    """Make a commit on the head with a keyframe, of which a user says that its parent is another one."""
    own, leaf = member(world, user)
    party = next(party for party in world.parties if own.device in party.agent.devices)
    state = party.engine.state
    assert state.head is not None
    held = state.epochs[state.head].state
    suite = held.public.suite
    options = CommitOptions(
        authenticated_data=make_commit_aad(EpochPointer(parent, b""), _last_seq(world, own.device) + 1),
        force_path=True,
    )
    staged = create_commit(held, own.client, leaf, [], party.random, options)
    ref = commit_ref(suite, staged.content)
    info = make_group_info(staged.state, own.client, leaf, extensions=(make_node_ref(ref),))
    body = CommitBody(
        suite.id,
        Inline(staged.message),
        Inline(encode_message(info)),
        Inline(staged.state.public.tree.encode()),
        commit_ref=ref,
    )
    return Lie(_event(world, user, content_of(body)), ref, own, leaf, staged, body)


def vote_for(world: World, user: UserId, ref: CommitRef, tree: RatchetTree, *, seq: int = 0) -> RoomEvent:
    """Make a vote of a user for an epoch of which they have a leaf; after their last one unless `seq` is given."""
    own, _ = member(world, user)
    leaf = find_leaf(tree, own.device)
    assert leaf is not None
    state = world.parties[0].engine.state
    assert state.head is not None
    group = state.entries[state.head].group
    vote = make_vote(GroupId(group.context.group_id), ref, leaf, seq or _last_seq(world, own.device) + 2)
    signature = sign_vote(group.suite, own.client.signature_private_key, vote)
    return _event(world, user, content_of(VoteBody(ref, leaf, vote.vote_seq, signature)))
