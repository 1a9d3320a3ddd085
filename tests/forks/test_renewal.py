from __future__ import annotations

import pytest

from dmls.forks.renewal import (
    RenewalRules,
    debt_due_ms,
    eviction_ms,
    is_dormant,
    may_evict,
    message_limit,
    owes_path,
    renewal_due_ms,
    turn_ms,
)
from dmls.ids import RoomId
from tests.support.epoch_graphs import Story, make_device, ref_of

RULES = RenewalRules()
DAY_MS = 86_400_000
HEAD = ref_of("head")
CROWD = [make_device(f"user{number}/1@hs{number % 7}") for number in range(1_000)]


def room() -> Story:
    story = Story("alice@hs1", "bob@hs2").genesis("g", by="alice/1@hs1")
    return story.commit("p", "g", by="alice/1@hs1", adds=["bob/1@hs2", "mallory/1@hs4"]).commit("a", "p", by="alice/1@hs1")


# Who owes a commit with fresh keys


def debtors(story: Story, head: str, *names: str) -> list[str]:
    devices = [make_device(name) for name in names or ("alice/1@hs1", "bob/1@hs2")]
    return [device.user_id for device in devices if owes_path(story.graph, ref_of(head), device)]


def test_without_a_fork_nobody_owes_anything() -> None:
    assert debtors(room(), "a") == []


def test_a_commit_on_a_losing_branch_that_changed_members_is_owed_again() -> None:
    story = room().commit("b", "p", by="bob/1@hs2", adds=["dave/1@hs3"])
    assert debtors(story, "a") == ["@bob:hs2"]
    assert debtors(story, "a", "dave/1@hs3") == []


def test_a_later_own_commit_on_the_heads_chain_pays_the_debt() -> None:
    story = room().commit("b", "p", by="bob/1@hs2", adds=["dave/1@hs3"]).commit("paid", "a", by="bob/1@hs2", resolves=["b"])
    assert debtors(story, "paid") == []


def test_a_commit_of_keys_alone_that_lost_to_its_sibling_leaves_no_debt() -> None:
    assert debtors(room().commit("b", "p", by="bob/1@hs2"), "a") == []


def test_a_debt_is_not_forgotten_because_its_payment_lost_too() -> None:
    story = room().commit("b", "p", by="bob/1@hs2", removes=["mallory/1@hs4"]).commit("c", "a", by="alice/1@hs1")
    story.commit("payment", "a", by="bob/1@hs2", resolves=["b"])
    assert debtors(story, "c") == ["@bob:hs2"]


def test_keys_renewed_deep_on_a_losing_branch_are_owed() -> None:
    story = room().commit("b", "p", by="alice/1@hs1", adds=["dave/1@hs3"]).commit("b2", "b", by="bob/1@hs2")
    assert debtors(story, "a", "bob/1@hs2") == ["@bob:hs2"]


def test_a_leaf_that_the_head_has_from_elsewhere_owes_nothing() -> None:
    story = room().commit("b", "p", by="alice/1@hs1", adds=["dave/1@hs3"]).commit("b2", "b", by="dave/1@hs3")
    story.commit("c", "a", by="alice/1@hs1", adds=["dave/1@hs3"])
    assert debtors(story, "c", "dave/1@hs3") == []


def test_a_device_that_joined_again_owes_only_what_it_renewed_since() -> None:
    story = room().commit("b", "p", by="bob/1@hs2", adds=["dave/1@hs3"])
    story.commit("x", "a", by="bob/1@hs2", is_external=True, adds=["bob/1@hs2"], removes=["bob/1@hs2"])
    assert debtors(story, "x") == []
    assert debtors(story, "a") == ["@bob:hs2"]


# When keys are old


def test_keys_are_renewed_within_seven_days_and_not_all_at_once() -> None:
    due = sorted(renewal_due_ms(RULES, device, HEAD, 1_000, None) - 1_000 for device in CROWD)
    assert due[0] >= 5 * DAY_MS
    assert due[-1] <= 7 * DAY_MS
    # A room that was made by one commit does not come back as one storm.
    assert max(sum(start <= at < start + 600_000 for at in due) for start in due) < 20


@pytest.mark.parametrize(("lifetime", "latest"), [(1, 0.75), (8, 6), (90, 7)])
def test_a_leaf_is_renewed_before_its_lifetime_ends(lifetime: int, latest: float) -> None:
    """In days."""
    due = [renewal_due_ms(RULES, device, HEAD, 1_000, 1_000 + lifetime * DAY_MS) - 1_000 for device in CROWD]
    assert max(due) <= latest * DAY_MS
    assert min(due) >= min(lifetime / 2, 5) * DAY_MS


def test_a_lifetime_that_is_over_already_is_renewed_at_once() -> None:
    assert renewal_due_ms(RULES, CROWD[0], HEAD, 5_000, 4_000) == 5_000


def test_of_many_whose_keys_are_old_few_commit_on_one_head() -> None:
    turns = sorted(turn_ms(HEAD, device, len(CROWD)) for device in CROWD)
    assert turns[-1] < 2_000_000
    assert sum(turn < turns[0] + 2_000 for turn in turns) <= 4
    other = [turn_ms(ref_of("other"), device, len(CROWD)) for device in CROWD]
    assert other.index(min(other)) != [turn_ms(HEAD, device, len(CROWD)) for device in CROWD].index(turns[0])


def test_a_small_room_does_not_wait_long_for_a_turn() -> None:
    assert all(turn_ms(HEAD, device, 3) < 6_000 for device in CROWD)
    assert all(turn_ms(HEAD, device, 100_000) < 3_600_000 for device in CROWD)


def test_a_debt_is_paid_within_ten_minutes_and_not_by_all_at_once() -> None:
    due = sorted(debt_due_ms(RULES, device, HEAD, 1_000, 500, len(CROWD)) - 1_000 for device in CROWD)
    assert due[-1] <= RULES.debt_within_ms
    assert sum(at < due[0] + 1_000 for at in due) < 60


def test_a_payment_that_lost_is_tried_again_on_the_new_head_soon() -> None:
    overdue = debt_due_ms(RULES, CROWD[0], HEAD, 0, 5_000_000, 1_000)
    assert 5_000_000 <= overdue < 5_030_000


def test_the_number_of_messages_under_one_key_is_limited() -> None:
    limits = {message_limit(RULES, device, HEAD) for device in CROWD}
    assert min(limits) >= 750
    assert max(limits) <= 1_000
    assert len(limits) > 100
    assert message_limit(RenewalRules(after_messages=1), CROWD[0], HEAD) == 1


# Who does not renew them any more


def test_stale_leaves_go_once_a_day() -> None:
    room = RoomId("!room:hs1")
    times = {alive_at_ms: eviction_ms(RULES, room, alive_at_ms) for alive_at_ms in range(0, 3 * DAY_MS, DAY_MS // 7)}
    assert all(0 <= at_ms - alive_at_ms - 30 * DAY_MS < DAY_MS for alive_at_ms, at_ms in times.items())
    assert len(set(times.values())) <= 4
    assert {at_ms % DAY_MS for at_ms in times.values()} != {eviction_ms(RULES, RoomId("!other:hs1"), 0) % DAY_MS}


def test_who_has_just_come_or_come_back_removes_nobody() -> None:
    begin, end = may_evict(RULES, 1_000)
    assert begin == 1_000 + DAY_MS
    # One that renews its keys in time is never barred by having waited.
    assert end >= max(renewal_due_ms(RULES, device, HEAD, 1_000, None) for device in CROWD)


def test_a_device_removed_as_stale_sleeps_until_it_makes_a_node() -> None:
    story = room().commit("e", "a", by="alice/1@hs1", removes=["bob/1@hs2"], evicts=True)
    story.commit("s", "p", by="bob/1@hs2")
    seen = {ref_of(name): at_ms for at_ms, name in enumerate(("g", "p", "a", "s", "e", "x"))}
    bob = make_device("bob/1@hs2")
    assert is_dormant(story.graph, ref_of("e"), bob, seen.__getitem__)
    assert not is_dormant(story.graph, ref_of("a"), bob, seen.__getitem__)
    assert not is_dormant(story.graph, ref_of("e"), make_device("mallory/1@hs4"), seen.__getitem__)
    # Also one that has lost: it lives.
    story.commit("x", "a", by="bob/1@hs2", is_external=True, adds=["bob/1@hs2"])
    assert not is_dormant(story.graph, ref_of("e"), bob, seen.__getitem__)


def test_a_device_that_was_removed_for_another_reason_does_not_sleep() -> None:
    story = room().commit("r", "a", by="alice/1@hs1", removes=["bob/1@hs2"])
    assert not is_dormant(story.graph, ref_of("r"), make_device("bob/1@hs2"), lambda _ref: 0)
