"""Commits of a member that are valid by what everybody can see, and meant to part those who follow them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dmls.engine.effects import NoticeKind
from dmls.ids import DeviceId
from dmls.matrix.bodies import content_of
from dmls.simulation.attacked import VILLAIN
from dmls.simulation.attackers import forks
from dmls.simulation.attackers.attacker import Attacker
from dmls.simulation.attackers.forging import ForgedCommit, make_twin
from dmls.simulation.attackers.votes import vote
from dmls.simulation.schedule import LogIn
from tests.support.siege import ALICE, BOB, CAROL, Siege

ATTACKS: list[Callable[[Attacker], None]] = [getattr(forks, name) for name in forks.__all__]
EVERYBODY = {ALICE, BOB, CAROL, VILLAIN}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_a_member_can_fork_the_room_and_everybody_comes_together_again(attack: Callable[[Attacker], None]) -> None:
    siege = Siege()
    siege.attack(attack)
    for user in (ALICE, BOB, CAROL):
        siege.say(user)
    assert not siege.heal()
    assert siege.users() == EVERYBODY
    assert all(siege.say(user).event_id for user in (ALICE, BOB, CAROL))


def test_of_twins_none_that_nobody_can_enter_is_below_the_head_of_two_users() -> None:
    siege = Siege()
    siege.attack(forks.send_twins, rest_ms=20_000)
    twins = set(siege.mallory.made)
    genuine = {ref for ref in twins if ref in siege.mallory.hoard.states}
    assert (len(twins), len(genuine)) == (4, 1)
    assert len({siege.alice.state.graph.node(ref).content_hash for ref in twins}) == 1
    siege.say(ALICE)
    siege.say(BOB)
    siege.room.rest(120_000)
    assert twins - genuine - set(siege.alice.state.graph.path_up(siege.head())) == twins - genuine
    assert not siege.heal()


def test_a_twin_that_is_made_later_takes_no_vote_away() -> None:
    siege = Siege()
    parent = siege.head()
    made = _commit(siege)
    siege.attack(lambda mallory: _send(mallory, made))
    assert siege.heads() == {made.ref}
    siege.say(ALICE)
    siege.say(BOB)
    twin = make_twin(made, siege.mallory.own.client, bytes(8), siege.mallory.hints(parent))
    siege.attack(lambda mallory: _send(mallory, twin))
    assert twin.ref in siege.alice.state.entries
    assert made.ref in set(siege.alice.state.graph.path_up(siege.head()))
    assert not siege.heal()


def test_ground_hashes_do_not_move_a_head_that_two_users_vote_for() -> None:
    siege = Siege()
    old = siege.head()
    siege.room.do(LogIn(ALICE, DeviceId("SECOND"), hosted=True))
    siege.room.rest(10_000)
    head = siege.head()
    for user in (BOB, CAROL):
        siege.say(user)
    made = [commit for commit in (siege.mallory.commit(old) for _ in range(30)) if commit is not None]
    best = min(made, key=lambda commit: commit.ref)
    siege.attack(lambda mallory: _send(mallory, best))
    assert best.ref == min(siege.alice.state.graph.children(old))
    siege.mallory.study()
    ballot = vote(siege.mallory, best.ref, siege.mallory.next_seq())
    assert ballot is not None
    siege.mallory.send(content_of(ballot))
    siege.room.rest(1_000)
    assert siege.alice.state.tally.vote(siege.mallory.own.device) == {best.ref}
    assert siege.heads() == {head}
    assert not siege.heal()


def test_a_commit_that_nobody_can_open_is_left_alone_and_reported() -> None:
    siege = Siege()
    old = siege.head()
    siege.attack(forks.break_commit_for_all)
    (broken,) = siege.mallory.made
    assert siege.notices(NoticeKind.COMMIT_FAILED) == 2, "one for each agent"
    assert all(siege.say(user).event_id for user in (ALICE, BOB, CAROL))
    assert broken not in set(siege.alice.state.graph.path_up(siege.head()))
    assert siege.alice.state.graph.is_ancestor(old, siege.head())
    assert not siege.heal()


def _commit(siege: Siege) -> ForgedCommit:
    made = siege.mallory.commit(siege.head())
    assert made is not None
    return made


def _send(mallory: Attacker, made: ForgedCommit) -> None:
    mallory.send_commit(made)
