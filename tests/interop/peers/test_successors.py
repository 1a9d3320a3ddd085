"""Groups that continue others, with members of several implementations: after a ReInit, and as branches."""

from __future__ import annotations

import pytest

from tests.interop.peers.abilities import SUITES, peers_that
from tests.interop.peers.conftest import Peers
from tests.interop.peers.conversation import Conversation, Member, make_member, new_group_id


def _group(peers: Peers, name: str, creator: str) -> tuple[Conversation, list[Member]]:
    """A group of four, two of them ours; who creates it is given."""
    names = ["dmls", name, "dmls", name] if creator == "dmls" else [name, "dmls", name, "dmls"]
    members = [make_member(peers[each]) for each in names]
    room = Conversation(members[0])
    for member in members[1:]:
        room.commit(members[0], room.adding(member))
        room.commit(member)
    return room, members


def _heirs(members: list[Member], suite: int = 1) -> dict[Member, Member]:
    """New clients of the same identities."""
    return {member: make_member(member.peer, suite=suite, identity=member.identity) for member in members}


def _live(room: Conversation) -> None:
    for member in room.members:
        room.commit(member)
        room.say(member, b"here we are again")


@pytest.mark.parametrize("founder", [0, 1], ids=["the creator founds", "another founds"])
@pytest.mark.parametrize("creator", ["dmls", "ts-mls"])
@pytest.mark.parametrize("name", peers_that("branch"))
def test_a_branch_of_some_members(peers: Peers, name: str, creator: str, founder: int) -> None:
    room, members = _group(peers, name, creator)
    some = _heirs([*members[:2], members[3]])
    branch = Conversation.found("branch", some, members[founder], group_id=new_group_id())
    _live(branch)
    _live(room)


@pytest.mark.parametrize("founder", [0, 1], ids=["the closer founds", "another founds"])
@pytest.mark.parametrize("closer", ["dmls", "ts-mls"])
@pytest.mark.parametrize("suite", [1, 3])
@pytest.mark.parametrize("name", peers_that("reinit"))
def test_a_successor_of_a_closed_group(peers: Peers, name: str, suite: int, closer: str, founder: int) -> None:
    assert suite in SUITES[name]
    room, members = _group(peers, name, closer)
    group_id = new_group_id()
    room.commit(members[0], {"type": "reinit", "group_id": group_id, "suite": suite})
    successor = Conversation.found("succeed", _heirs(members, suite), members[founder], suite)
    assert successor.creator.ask("state")["group_id"] == group_id
    _live(successor)


@pytest.mark.parametrize("name", peers_that("reinit"))
def test_a_reinit_that_was_proposed_closes_the_group(peers: Peers, name: str) -> None:
    room, members = _group(peers, name, "dmls")
    room.propose(members[0], {"type": "reinit", "group_id": new_group_id(), "suite": 1})
    room.commit(members[1])
    _live(Conversation.found("succeed", _heirs(members), members[1]))
