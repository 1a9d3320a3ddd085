"""Votes that are not a leaf's own, or not one, or numbered to the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dmls.engine.effects import EncryptOutcome, NoticeKind
from dmls.engine.nodes import find_leaf
from dmls.forks.aad import make_vote, sign_vote
from dmls.forks.graph import Device
from dmls.ids import GroupId
from dmls.matrix.bodies import VoteBody, content_of
from dmls.matrix.encoding import MAX_INTEGER
from dmls.simulation.attackers.votes import (
    equivocate,
    number_votes_to_the_end,
    vote_for_the_unknown,
    vote_in_others_names,
)
from tests.support.siege import ALICE, BOB, CAROL, ONE, TWO, Siege


def test_votes_of_leaves_that_are_not_the_senders_are_refused() -> None:
    siege = Siege()
    head = siege.head()
    for event in siege.attack(vote_in_others_names):
        result = siege.result(siege.alice, event)
        assert result is not None
        assert (result.outcome, result.kind) == ("rejected", "vote")
    assert siege.heads() == {head}


def test_two_votes_with_one_number_both_count_for_nothing() -> None:
    siege = Siege()
    head, device = siege.head(), siege.mallory.own.device
    before = {driver.name: driver.state.tally.vote(device) for driver in siege.room.honest}
    first, second = siege.attack(equivocate)
    shown = [[siege.result(driver, event) is not None for event in (first, second)] for driver in (siege.alice, siege.bob)]
    assert shown == [[True, False], [False, True]]
    siege.room.show(siege.mallory.server, TWO, first)
    siege.room.show(siege.mallory.server, ONE, second)
    siege.room.rest(1_000)
    assert {driver.name: driver.state.tally.vote(device) for driver in siege.room.honest} == before
    assert siege.heads() == {head}


def test_votes_for_what_nobody_made_wait_without_a_rejoin() -> None:
    siege = Siege()
    head = siege.head()
    joins = siege.notices(NoticeKind.JOINED)
    siege.attack(vote_for_the_unknown, rest_ms=120_000)
    assert len(siege.alice.state.parked) == 20
    assert siege.heads() == {head}
    assert siege.notices(NoticeKind.JOINED) == joins
    assert siege.say(ALICE).event_id


def test_numbers_without_end_are_no_more_weight_than_any_others() -> None:
    siege = Siege()
    siege.attack(number_votes_to_the_end)
    for user in (ALICE, BOB, CAROL):
        assert siege.say(user).event_id
    siege.ban()
    assert not siege.heal()
    assert siege.users() == {ALICE, BOB, CAROL}


def test_a_device_whose_numbers_a_thief_has_used_up_takes_a_new_key_and_its_neighbours_go_on() -> None:
    siege = Siege()
    (bob,) = siege.room.directory.devices(BOB).values()
    event = siege.room.homeservers[TWO].send_encrypted(BOB, _stolen_vote(siege, bob, MAX_INTEGER), siege.room.now_ms)
    assert event is not None
    siege.room.publish(TWO, event)
    siege.room.rest(5_000)
    assert siege.notices(NoticeKind.NEEDS_NEW_KEY) == 1
    said = siege.say(CAROL)
    siege.room.rest(120_000)
    assert said.event_id, "carol's device is on the same service"
    said = siege.say(BOB)
    assert (said.event_id, said.last_outcome) == (None, EncryptOutcome.NEEDS_NEW_KEY)
    assert siege.bob.state.vote_seq < 1 << 32, "the numbers of carol's device are its own"


def _stolen_vote(siege: Siege, device: Device, seq: int) -> Mapping[str, Any]:
    own = siege.room.directory.own[device]
    group = siege.bob.state.entries[siege.head()].group
    leaf = find_leaf(group.tree, device)
    assert leaf is not None
    tbs = make_vote(GroupId(group.context.group_id), siege.head(), leaf, seq)
    signature = sign_vote(group.suite, own.client.signature_private_key, tbs)
    return content_of(VoteBody(siege.head(), leaf, seq, signature))
