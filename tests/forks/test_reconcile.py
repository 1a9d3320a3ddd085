from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from dmls.forks.graph import Device
from dmls.forks.reconcile import (
    VOUCH_TIMEOUT_MS,
    DeviceList,
    HeadLeaf,
    RemovalReason,
    Situation,
    desired_devices,
    devices_to_add,
    finally_gone,
    leaves_to_remove,
    lists_wanted,
    next_judgement_ms,
    removed_last_ms,
    unvouched_leaves,
)
from dmls.ids import CommitRef, LeafIndex, UserId
from tests.support.epoch_graphs import Story, make_device, ref_of

ALICE, ALICE_2, BOB, BOB_2 = (make_device(name) for name in ("alice/1@hs1", "alice/2@hs1", "bob/1@hs2", "bob/2@hs2"))
BOB_NEW_KEY = make_device("bob/1'@hs2")
NOW = 1_000_000


def leaf(device: Device, index: int, since_ms: int = 1_000, *, vouched: bool = True, passes_policy: bool = True) -> HeadLeaf:
    return HeadLeaf(LeafIndex(index), device, since_ms, vouched, passes_policy)


def listed(
    *devices: Device, user: Device = BOB, taken_at_ms: int = 2_000, fresh: bool = True, is_own: bool = False
) -> DeviceList:
    return DeviceList(user.user_id, frozenset(devices), 1, taken_at_ms, fresh, is_own)


def situation(
    *leaves: HeadLeaf,
    lists: tuple[DeviceList, ...] = (),
    joined: tuple[Device, ...] = (ALICE, BOB),
    invited: tuple[Device, ...] = (),
    gone: tuple[Device, ...] = (),
    removed_at_ms: dict[Device, int] | None = None,
    asked_at_ms: dict[UserId, int] | None = None,
    now_ms: int = NOW,
) -> Situation:
    return Situation(
        leaves=leaves,
        joined=frozenset(device.user_id for device in joined),
        invited=frozenset(device.user_id for device in invited),
        lists={held.user_id: held for held in lists},
        gone=frozenset(gone),
        removed_at_ms=removed_at_ms or {},
        asked_at_ms=asked_at_ms or {},
        now_ms=now_ms,
    )


def reasons(state: Situation, committer: int | None = None) -> dict[Device, RemovalReason]:
    own = None if committer is None else LeafIndex(committer)
    return {removal.leaf.device: removal.reason for removal in leaves_to_remove(state, own)}


OWN_LIST = listed(ALICE, ALICE_2, user=ALICE, is_own=True)


# D


def test_all_listed_devices_of_joined_users_are_wanted() -> None:
    state = situation(leaf(ALICE, 0), lists=(OWN_LIST, listed(BOB, BOB_2)))
    assert desired_devices(state) == {ALICE, ALICE_2, BOB, BOB_2}
    assert devices_to_add(state) == tuple(sorted([ALICE_2, BOB, BOB_2]))


def test_users_without_a_list_wait() -> None:
    state = situation(leaf(ALICE, 0), lists=(OWN_LIST,))
    assert desired_devices(state) == {ALICE, ALICE_2}
    assert lists_wanted(state) == {BOB.user_id}


def test_users_outside_the_room_are_not_wanted() -> None:
    assert desired_devices(situation(lists=(OWN_LIST, listed(BOB)), joined=(ALICE,))) == {ALICE, ALICE_2}


def test_invited_users_are_wanted_where_the_room_says_so() -> None:
    state = situation(leaf(BOB, 1), lists=(OWN_LIST, listed(BOB, BOB_2)), joined=(ALICE,), invited=(BOB,))
    assert BOB_2 in devices_to_add(state)
    assert reasons(state) == {}


def test_a_list_cannot_name_devices_of_other_users() -> None:
    assert desired_devices(situation(lists=(listed(BOB, ALICE),))) == {BOB}


def test_devices_gone_for_good_are_not_wanted_but_the_same_device_with_another_key_is() -> None:
    state = situation(lists=(listed(BOB, BOB_NEW_KEY),), gone=(BOB,))
    assert desired_devices(state) == {BOB_NEW_KEY}


# R


def test_leaves_that_all_agree_on_stay() -> None:
    assert reasons(situation(leaf(ALICE, 0), leaf(BOB, 1), lists=(OWN_LIST, listed(BOB)))) == {}


def test_leaves_of_users_who_left_go() -> None:
    state = situation(leaf(ALICE, 0), leaf(BOB, 1), lists=(OWN_LIST, listed(BOB)), joined=(ALICE,))
    assert reasons(state) == {BOB: RemovalReason.NOT_IN_ROOM}


def test_leaves_gone_for_good_go() -> None:
    assert reasons(situation(leaf(BOB, 1), lists=(listed(BOB),), gone=(BOB,))) == {BOB: RemovalReason.FINALLY_GONE}


def test_a_leaf_with_another_key_than_listed_goes_and_the_new_one_comes() -> None:
    state = situation(leaf(BOB, 1), lists=(listed(BOB_NEW_KEY),))
    assert reasons(state) == {BOB: RemovalReason.NOT_LISTED}
    assert devices_to_add(state) == (BOB_NEW_KEY,)


@pytest.mark.parametrize(
    ("held", "goes"),
    [
        (listed(BOB_2, taken_at_ms=1_000), True),
        (listed(BOB_2, taken_at_ms=999), False),
        (listed(BOB_2, taken_at_ms=2_000, fresh=False), False),
        (listed(BOB_2, taken_at_ms=0, fresh=False, is_own=True), True),
    ],
    ids=["fresh", "asked before the leaf came", "from a cache", "own server"],
)
def test_only_a_fresh_list_removes_what_it_does_not_name(held: DeviceList, goes: bool) -> None:
    state = situation(leaf(BOB, 1, since_ms=1_000), lists=(held,))
    assert reasons(state) == ({BOB: RemovalReason.NOT_LISTED} if goes else {})


def test_a_leaf_that_fails_the_policy_goes() -> None:
    state = situation(leaf(BOB, 1, passes_policy=False), lists=(listed(BOB),))
    assert reasons(state) == {BOB: RemovalReason.CREDENTIAL}


def test_the_committers_own_leaf_is_left_out() -> None:
    state = situation(leaf(ALICE, 0), leaf(BOB, 1), joined=())
    assert reasons(state, committer=0) == {BOB: RemovalReason.NOT_IN_ROOM}
    assert set(reasons(state)) == {ALICE, BOB}


@pytest.mark.parametrize(
    ("held", "is_out"),
    [
        (None, True),
        (listed(BOB, taken_at_ms=4_000), True),
        (listed(BOB, taken_at_ms=5_000), True),
        (listed(BOB, taken_at_ms=5_001), False),
        (listed(BOB, taken_at_ms=0, is_own=True), False),
    ],
    ids=["no list", "earlier list", "list of that moment", "later list", "own server"],
)
def test_a_removed_device_is_out_until_a_later_list_names_it(held: DeviceList | None, is_out: bool) -> None:
    state = situation(leaf(BOB, 1), lists=(held,) if held else (), removed_at_ms={BOB: 5_000})
    assert (BOB in reasons(state)) is is_out
    assert (BOB in desired_devices(state)) is (held is not None and not is_out)


def test_a_later_list_that_does_not_name_a_removed_device_keeps_it_out() -> None:
    state = situation(leaf(BOB, 1, since_ms=9_000), lists=(listed(BOB_2, taken_at_ms=6_000),), removed_at_ms={BOB: 5_000})
    assert reasons(state) == {BOB: RemovalReason.REMOVED}


# Vouching


def test_a_leaf_nobody_vouches_for_blocks_until_its_list_is_known() -> None:
    waiting = situation(leaf(BOB, 1, since_ms=3_000, vouched=False), asked_at_ms={BOB.user_id: 3_000}, now_ms=4_000)
    assert [blocked.device for blocked in unvouched_leaves(waiting)] == [BOB]
    assert reasons(waiting) == {}


@pytest.mark.parametrize("taken_at_ms", [2_000, 4_000])
def test_any_list_that_names_a_leaf_vouches_for_it(taken_at_ms: int) -> None:
    state = situation(leaf(BOB, 1, since_ms=3_000, vouched=False), lists=(listed(BOB, taken_at_ms=taken_at_ms),))
    assert unvouched_leaves(state) == ()
    assert reasons(state) == {}


def test_a_leaf_absent_from_the_answer_goes() -> None:
    state = situation(leaf(BOB, 1, since_ms=3_000, vouched=False), lists=(listed(BOB_2, taken_at_ms=3_000),))
    assert reasons(state) == {BOB: RemovalReason.NOT_LISTED}
    assert unvouched_leaves(state) == ()


@pytest.mark.parametrize(("waited", "goes"), [(VOUCH_TIMEOUT_MS - 1, False), (VOUCH_TIMEOUT_MS, True)])
def test_without_an_answer_the_leaf_goes_after_ten_seconds(waited: int, goes: bool) -> None:
    state = situation(leaf(BOB, 1, since_ms=3_000, vouched=False), asked_at_ms={BOB.user_id: 5_000}, now_ms=5_000 + waited)
    assert (reasons(state) == {BOB: RemovalReason.UNVOUCHED}) is goes
    assert bool(unvouched_leaves(state)) is not goes


def test_a_question_older_than_the_leaf_does_not_run_out() -> None:
    state = situation(leaf(BOB, 1, since_ms=3_000, vouched=False), asked_at_ms={BOB.user_id: 2_999})
    assert reasons(state) == {}
    assert lists_wanted(state) == {ALICE.user_id, BOB.user_id}


def test_time_changes_the_judgement_when_an_answer_is_overdue() -> None:
    waiting = situation(
        leaf(ALICE, 0, vouched=False),
        leaf(BOB, 1, since_ms=3_000, vouched=False),
        asked_at_ms={ALICE.user_id: 7_000, BOB.user_id: 5_000},
        now_ms=8_000,
    )
    assert next_judgement_ms(waiting) == 5_000 + VOUCH_TIMEOUT_MS
    assert next_judgement_ms(replace(waiting, asked_at_ms={BOB.user_id: 2_999})) is None
    assert next_judgement_ms(replace(waiting, now_ms=5_000 + VOUCH_TIMEOUT_MS)) == 7_000 + VOUCH_TIMEOUT_MS


# Which lists to ask for


def test_nothing_is_asked_while_all_is_known() -> None:
    assert lists_wanted(situation(leaf(ALICE, 0), leaf(BOB, 1), lists=(OWN_LIST, listed(BOB)))) == frozenset()


def test_what_is_asked_already_is_not_asked_again() -> None:
    state = situation(leaf(BOB, 1, since_ms=3_000, vouched=False), lists=(OWN_LIST,), asked_at_ms={BOB.user_id: 3_000})
    assert lists_wanted(state) == frozenset()


@pytest.mark.parametrize(
    ("taken_at_ms", "asked_at_ms", "wanted"),
    [(4_000, None, True), (4_000, 5_000, True), (4_000, 5_001, False), (5_001, None, False)],
)
def test_a_removal_asks_for_a_later_list(taken_at_ms: int, asked_at_ms: int | None, wanted: bool) -> None:
    asked = {} if asked_at_ms is None else {BOB.user_id: asked_at_ms}
    held = (OWN_LIST, listed(BOB, taken_at_ms=taken_at_ms))
    state = situation(lists=held, removed_at_ms={BOB: 5_000}, asked_at_ms=asked)
    assert lists_wanted(state) == ({BOB.user_id} if wanted else frozenset())
    assert lists_wanted(replace(state, gone=frozenset([BOB]))) == frozenset()


# What the graph says


def grown(*joined: str) -> Story:
    story = Story(*(joined or ("alice@hs1", "carol@hs1", "bob@hs2"))).genesis("g", by="alice/1@hs1")
    return story.commit("p", "g", by="alice/1@hs1", adds=["alice/2@hs1", "carol/1@hs1", "bob/1@hs2", "bob/2@hs2"])


def removal_marks(story: Story, seen_at_ms: Callable[[CommitRef], int | None]) -> dict[Device, int]:
    marks = {device: removed_last_ms(story.graph, device, story.joined, seen_at_ms) for device in story.graph.removals()}
    return {device: last for device, last in marks.items() if last is not None}


def test_a_device_is_gone_for_good_by_its_own_users_word_only() -> None:
    story = grown()
    story.commit("own", "p", by="bob/1@hs2", removes=["bob/2@hs2", "alice/1@hs1"], logout=True)
    story.commit("neighbour", "p", by="carol/1@hs1", removes=["alice/2@hs1"], logout=True)
    story.commit("plain", "p", by="alice/1@hs1", removes=["carol/1@hs1"])
    assert finally_gone(story.graph) == {BOB_2}


def test_removals_by_joined_authors_are_marked_with_the_last_sight_of_them() -> None:
    story = grown("alice@hs1", "bob@hs2")
    story.commit("first", "p", by="alice/1@hs1", removes=["bob/2@hs2"])
    story.commit("again", "p", by="bob/1@hs2", removes=["bob/2@hs2"])
    story.commit("outsider", "p", by="carol/1@hs1", removes=["alice/1@hs1"])
    story.commit("spent", "p", by="bob/1@hs2", removes=["alice/2@hs1"], is_spent=True)
    story.commit("own", "p", by="bob/1@hs2", is_external=True, removes=["bob/1@hs2"])
    seen = {ref_of(name): number for number, name in enumerate(["first", "again", "outsider", "spent", "own", "unknown"])}
    assert removal_marks(story, seen.get) == {BOB_2: 1}
    assert removal_marks(story, lambda _: None) == {}


# The races of the protocol's text, as far as they are decided here


def test_race_a_device_nobody_has_listed_yet_waits_for_its_list_and_is_then_added() -> None:
    before = situation(leaf(ALICE, 0), lists=(OWN_LIST, listed(BOB)))
    assert BOB_2 not in devices_to_add(before)
    assert BOB_2 in devices_to_add(situation(leaf(ALICE, 0), lists=(OWN_LIST, listed(BOB, BOB_2, taken_at_ms=3_000))))


def test_race_a_device_added_on_two_forks_is_wanted_once_and_never_twice() -> None:
    assert devices_to_add(situation(leaf(ALICE, 0), leaf(ALICE_2, 2), leaf(BOB, 1), lists=(OWN_LIST, listed(BOB)))) == ()


@pytest.mark.parametrize("winner", ["removal", "commit"])
def test_race_whoever_was_removed_on_one_fork_is_out_whichever_fork_wins(winner: str) -> None:
    story = grown().commit("removal", "p", by="alice/1@hs1", removes=["bob/2@hs2"]).commit("commit", "p", by="bob/2@hs2")
    marks = removal_marks(story, {ref_of("removal"): 5_000, ref_of("commit"): 6_000}.get)
    others = [leaf(ALICE, 0), leaf(BOB, 3)]
    leaves = others if winner == "removal" else [*others, leaf(BOB_2, 4)]
    state = situation(*leaves, lists=(OWN_LIST, listed(BOB, BOB_2, taken_at_ms=4_000)), removed_at_ms=marks)
    assert reasons(state) == ({} if winner == "removal" else {BOB_2: RemovalReason.REMOVED})
    assert BOB_2 not in devices_to_add(state)


@pytest.mark.parametrize(("kept", "out"), [(ALICE, BOB), (BOB, ALICE)])
def test_race_of_two_who_remove_each_other_the_one_that_state_resolution_keeps_stays(kept: Device, out: Device) -> None:
    state = situation(
        leaf(ALICE, 0),
        leaf(BOB, 1),
        lists=(listed(ALICE, user=ALICE, taken_at_ms=9_000), listed(BOB, taken_at_ms=9_000)),
        joined=(kept,),
    )
    assert reasons(state) == {out: RemovalReason.NOT_IN_ROOM}
    absent = replace(state, leaves=tuple(held for held in state.leaves if held.device == out))
    assert devices_to_add(absent) == (kept,)


def test_race_a_user_who_left_and_came_back_gets_a_new_leaf_after_a_new_list() -> None:
    """bob's leaf was removed when he left; the list from before does not bring it back, the next one does."""
    story = grown().commit("removal", "p", by="alice/1@hs1", removes=["bob/1@hs2"])
    marks = removal_marks(story, {ref_of("removal"): 5_000}.get)
    old = situation(leaf(ALICE, 0), lists=(OWN_LIST, listed(BOB, taken_at_ms=4_000)), removed_at_ms=marks)
    assert BOB not in devices_to_add(old)
    assert lists_wanted(old) == {BOB.user_id}
    new = situation(leaf(ALICE, 0), lists=(OWN_LIST, listed(BOB, taken_at_ms=6_000)), removed_at_ms=marks)
    assert BOB in devices_to_add(new)


def test_race_a_commit_before_the_member_event_that_justifies_it_is_repaired_by_the_next_one() -> None:
    added_too_early = situation(leaf(ALICE, 0), leaf(BOB, 1), lists=(OWN_LIST, listed(BOB)), joined=(ALICE,))
    assert reasons(added_too_early) == {BOB: RemovalReason.NOT_IN_ROOM}
    event_came = situation(leaf(ALICE, 0), leaf(BOB, 1), lists=(OWN_LIST, listed(BOB)))
    assert reasons(event_came) == {}


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (situation(leaf(BOB_2, 2), lists=(listed(BOB),)), RemovalReason.NOT_LISTED),
        (situation(leaf(BOB_2, 2), lists=(listed(BOB_2),), joined=(ALICE,)), RemovalReason.NOT_IN_ROOM),
        (situation(leaf(BOB_2, 2), lists=(listed(BOB_2),), gone=(BOB_2,)), RemovalReason.FINALLY_GONE),
    ],
)
def test_race_an_external_join_by_a_device_that_may_not_is_removed_before_anything_is_sent(
    state: Situation, reason: RemovalReason
) -> None:
    assert reasons(state) == {BOB_2: reason}


def test_a_list_older_than_a_leaf_that_does_not_name_it_is_asked_for_again() -> None:
    old = listed(BOB_2, taken_at_ms=999)
    members = leaf(ALICE, 0), leaf(BOB, 1)
    assert lists_wanted(situation(*members, lists=(OWN_LIST, old))) == {BOB.user_id}
    assert lists_wanted(situation(*members, lists=(OWN_LIST, old), asked_at_ms={BOB.user_id: 1_000})) == frozenset()
    assert lists_wanted(situation(*members, lists=(OWN_LIST, replace(old, taken_at_ms=1_000)))) == frozenset()
