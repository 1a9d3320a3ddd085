"""Events by the hundred, made-up parents, copies and rubbish: they cost bounded work and change nothing."""

from __future__ import annotations

from dmls.engine.effects import NoticeKind
from dmls.engine.entering import MAX_CHILDREN_OF_AUTHOR, TOO_MANY_COMMITS
from dmls.simulation.attacked import VILLAIN
from dmls.simulation.attackers.attacker import Attacker
from dmls.simulation.attackers.comebacks import begin_another_group
from dmls.simulation.attackers.floods import (
    flood_with_commits,
    flood_with_made_up_parents,
    replay_others_events,
    replay_own_events,
    send_rubbish,
)
from tests.support.siege import ALICE, BOB, CAROL, Siege


def test_made_up_parents_cause_no_rejoin_and_a_bounded_number_of_requests() -> None:
    siege = Siege()
    head, commits = siege.head(), len(siege.room.requests.commit_events)
    events = siege.attack(flood_with_made_up_parents, rest_ms=600_000)
    for driver in siege.room.honest:
        assert {event.encode() for event in events} == set(driver.state.parked)
    assert siege.heads() == {head}
    assert len(siege.room.requests.commit_events) == commits
    assert all(siege.say(user).event_id for user in (ALICE, BOB, CAROL))


def test_a_flood_of_parked_events_pushes_out_its_own_servers_only() -> None:
    siege = Siege()

    def flood(mallory: Attacker) -> None:
        for _ in range(13):
            flood_with_made_up_parents(mallory)

    events = siege.attack(flood)
    assert len(events) == 520
    assert len(siege.alice.state.parked) == 500
    assert siege.say(BOB).event_id
    assert not siege.heal()


def test_many_commits_on_one_head_end_in_one_commit_on_top() -> None:
    siege = Siege()
    siege.attack(flood_with_commits)
    commits = len(siege.room.requests.commit_events)
    assert all(siege.say(user).event_id for user in (ALICE, BOB, CAROL))
    assert not siege.heal()
    assert len(siege.room.requests.commit_events) - commits < 10


def test_of_many_commits_of_one_device_on_one_parent_few_leave_a_mark_in_its_key() -> None:
    siege = Siege()
    parent = siege.head()

    def flood(mallory: Attacker) -> None:
        for _ in range(3 * MAX_CHILDREN_OF_AUTHOR):
            mallory.send_commit(mallory.commit(parent))

    events = siege.attack(flood, rest_ms=500)
    for driver in siege.room.honest:
        state = driver.state
        made = [ref for ref in state.graph.children(parent) if state.graph.node(ref).author.user_id == VILLAIN]
        assert len(made) == 3 * MAX_CHILDREN_OF_AUTHOR
        assert sum(ref in state.epochs or ref in state.expired for ref in made) == MAX_CHILDREN_OF_AUTHOR
        results = [result for event in events if (result := siege.result(driver, event)) is not None]
        assert sum(result.reason == TOO_MANY_COMMITS for result in results) == 2 * MAX_CHILDREN_OF_AUTHOR
    assert not siege.heal()
    assert all(siege.say(user).event_id for user in (ALICE, BOB, CAROL))


def test_copies_of_own_events_under_other_ids_change_nothing() -> None:
    siege = Siege()
    head, nodes = siege.head(), len(siege.alice.state.entries)
    siege.attack(replay_own_events)
    assert (siege.head(), len(siege.alice.state.entries)) == (head, nodes)
    assert siege.notices(NoticeKind.ROLLED_BACK) == 0
    assert not siege.heal()


def test_copies_of_others_events_are_refused_and_use_no_key_up() -> None:
    siege = Siege()
    head = siege.head()
    for event in siege.attack(replay_others_events):
        result = siege.result(siege.bob, event)
        assert result is not None
        assert result.outcome == "rejected", result
    assert siege.heads() == {head}
    assert all(siege.say(user).event_id for user in (ALICE, BOB, CAROL))
    assert not siege.heal()


def test_rubbish_has_typed_outcomes() -> None:
    siege = Siege()
    for _ in range(5):
        for event in siege.attack(send_rubbish):
            result = siege.result(siege.alice, event)
            assert result is not None or event.encode() in siege.alice.state.parked
            assert result is None or result.outcome != "rejected" or result.reason
    assert not siege.heal()


def test_a_second_beginning_by_who_did_not_make_the_room_is_a_dead_branch() -> None:
    siege = Siege()
    head = siege.head()
    siege.attack(begin_another_group)
    genesis = siege.mallory.made[-1]
    assert siege.alice.state.graph.node(genesis).is_genesis
    assert siege.alice.state.graph.is_ancestor(head, siege.head())
    siege.attack(_build_on)
    assert siege.alice.state.graph.is_ancestor(head, siege.head())
    assert not siege.heal()
    assert siege.users() == {ALICE, BOB, CAROL, VILLAIN}


def _build_on(mallory: Attacker) -> None:
    for _ in range(5):
        mallory.study()
        mallory.send_commit(mallory.commit(mallory.made[-1]))
