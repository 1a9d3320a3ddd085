from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmls.forks.retention import MAX_RIVAL_HEADS, Expiry, RetainedEpoch, expired_epochs
from dmls.ids import UserId
from tests.support.epoch_graphs import Story, make_device, ref_of

HOUR = 3_600_000
RETAIN_SECONDS = 259_200
USERS = ("alice/1@hs1", "bob/1@hs2", "dave/1@hs3")


def room() -> Story:
    """A genesis and `p`, which has all three users; `p` is followed by `a1`, and that by `a2`."""
    story = Story("alice@hs1", "bob@hs2", "dave@hs3").genesis("g", by="alice/1@hs1")
    story.commit("p", "g", by="alice/1@hs1", adds=USERS[1:])
    return story.commit("a1", "p", by="alice/1@hs1").commit("a2", "a1", by="alice/1@hs1")


def look(
    story: Story,
    head: str,
    succeeded_at_ms: dict[str, int],
    now_ms: int = 0,
    *,
    members: tuple[str, ...] = USERS,
    retain_epochs: int = 16,
    received_at_ms: int = 0,
    without: tuple[str, ...] = (),
) -> Expiry:
    retained = [
        RetainedEpoch(ref_of(name), since, name not in without, name not in without) for name, since in succeeded_at_ms.items()
    ]
    return expired_epochs(
        story.tally,
        ref_of(head),
        [make_device(member) for member in members],
        retained,
        lambda _: received_at_ms,
        retain_seconds=RETAIN_SECONDS,
        retain_epochs=retain_epochs,
        now_ms=now_ms,
    )


def expired(story: Story, found: Expiry) -> set[str]:
    return set(story.names(found.epochs))


def test_the_head_stays_for_ever() -> None:
    found = look(room(), "a2", {"a2": 0}, 10**15)
    assert found == Expiry((), (), (), None)


@pytest.mark.breaks("ST-12")
def test_an_epoch_goes_after_the_groups_time() -> None:
    story = room()
    assert look(story, "a2", {"p": 5}, 5 + 1_000 * RETAIN_SECONDS - 1, received_at_ms=10**15).epochs == ()
    assert expired(story, look(story, "a2", {"p": 5}, 5 + 1_000 * RETAIN_SECONDS)) == {"p"}


@pytest.mark.breaks("ST-12")
@pytest.mark.parametrize(("now_ms", "goes"), [(HOUR - 1, False), (HOUR, True)])
def test_an_epoch_with_enough_newer_ones_goes_after_an_hour(now_ms: int, goes: bool) -> None:
    story = room()
    found = look(story, "a2", {"g": 0, "p": 0, "a1": 0}, now_ms, retain_epochs=2)
    assert expired(story, found) == ({"g", "p"} if goes else set())


def test_an_epoch_goes_once_every_device_of_the_head_has_voted_below_its_child() -> None:
    story = room().vote("bob/1@hs2", "a2")
    assert look(story, "a2", {"p": 0}).epochs == ()
    story.vote("dave/1@hs3", "a1")
    assert look(story, "a2", {"p": 0}).epochs == ()
    story.vote("dave/1@hs3", "a2")
    assert expired(story, look(story, "a2", {"g": 0, "p": 0, "a1": 0, "a2": 0})) == {"g", "p"}


@pytest.mark.parametrize(("now_ms", "goes"), [(HOUR - 1, False), (HOUR, True)])
def test_what_somebody_sent_before_they_knew_of_their_removal_is_waited_for_an_hour(now_ms: int, goes: bool) -> None:
    story = (
        room().commit("without dave", "a2", by="alice/1@hs1", removes=["dave/1@hs3"]).commit("a4", "without dave", by="bob/1@hs2")
    )
    story.commit("a5", "a4", by="bob/1@hs2").vote("alice/1@hs1", "a5")
    story.joined.discard(UserId("@dave:hs3"))
    members = ("alice/1@hs1", "bob/1@hs2")
    found = look(story, "a5", {"p": 0, "a2": 0, "without dave": 0}, now_ms, members=members)
    assert expired(story, found) == ({"p", "a2", "without dave"} if goes else {"without dave"})
    if not goes:
        assert found.look_again_ms == HOUR


@pytest.mark.parametrize(("now_ms", "goes"), [(HOUR - 1, False), (HOUR, True)])
def test_who_may_be_joining_on_an_older_epoch_is_waited_for_an_hour(now_ms: int, goes: bool) -> None:
    story = room().vote("bob/1@hs2", "a2").vote("dave/1@hs3", "a2")
    story.joined.add(UserId("@erin:hs3"))
    found = look(story, "a2", {"p": 0}, now_ms)
    assert expired(story, found) == ({"p"} if goes else set())


def test_a_vote_on_a_branch_is_a_vote_below_the_fork() -> None:
    story = room().commit("b", "a1", by="bob/1@hs2").vote("dave/1@hs3", "a2")
    assert expired(story, look(story, "a2", {"g": 0, "p": 0, "a1": 0})) == {"g", "p"}


def test_a_device_that_has_not_voted_keeps_all() -> None:
    story = room().vote("bob/1@hs2", "a2").vote("dave/1@hs3", "a2")
    assert look(story, "a2", {"p": 0}, members=(*USERS, "dave/2@hs3")).epochs == ()


def test_the_next_look_is_at_the_first_deadline() -> None:
    story = room()
    assert look(story, "a2", {"p": 50}, 100, received_at_ms=70).look_again_ms == 70 + HOUR
    late = look(story, "a2", {"p": 50}, 100, without=("p",))
    assert late.look_again_ms == 50 + 1_000 * RETAIN_SECONDS
    assert look(story, "a2", {"p": 50}, 100, without=("p",), retain_epochs=2).look_again_ms == 50 + HOUR


@pytest.mark.parametrize(("now_ms", "goes"), [(HOUR - 1, False), (HOUR, True)])
def test_the_external_key_goes_an_hour_after_the_first_regular_child(now_ms: int, goes: bool) -> None:
    story = room()
    found = look(story, "a2", {"p": 0, "a2": 0}, now_ms)
    assert found.external_keys == ((ref_of("p"),) if goes else ())
    assert look(story, "a2", {"p": 0, "a2": 0}, now_ms, without=("p",)).external_keys == ()


def test_external_children_end_the_external_key_only_where_the_head_went_on_to_them() -> None:
    story = room().commit("x", "a2", by="dave/2@hs3", is_external=True)
    assert look(story, "a2", {"a2": 0}, HOUR).external_keys == ()
    assert look(story, "x", {"a2": 0}, HOUR - 1).external_keys == ()
    assert look(story, "x", {"a2": 0}, HOUR).external_keys == (ref_of("a2"),)
    assert look(story.commit("y", "a2", by="bob/1@hs2"), "a2", {"a2": 0}, HOUR).external_keys == (ref_of("a2"),)


# Losing branches


def losing() -> Story:
    """`b1` and `b2` are a branch that left the chain at `p`."""
    return room().commit("b1", "p", by="bob/1@hs2").commit("b2", "b1", by="bob/1@hs2")


@pytest.mark.parametrize(("now_ms", "goes"), [(HOUR - 1, False), (HOUR, True)])
def test_message_secrets_of_a_losing_branch_go_after_an_hour(now_ms: int, goes: bool) -> None:
    story = losing()
    found = look(story, "a2", {"p": 0, "b1": 0, "b2": 0}, now_ms)
    assert set(story.names(found.message_secrets)) == ({"b1", "b2"} if goes else set())
    assert found.epochs == ()
    assert look(story, "a2", {"b1": 0}, now_ms, without=("b1",)).message_secrets == ()


def test_a_losing_branch_goes_once_two_users_stand_behind_what_resolves_it() -> None:
    story = losing().commit("merge", "a2", by="alice/1@hs1", resolves=["b2"])
    epochs = {"p": 0, "b1": 0, "b2": 0}
    assert look(story, "merge", epochs, HOUR).epochs == ()
    story.vote("alice/2@hs1", "merge")
    assert look(story, "merge", epochs, HOUR).epochs == ()
    story.vote("dave/1@hs3", "merge")
    assert look(story, "merge", epochs, HOUR - 1).epochs == ()
    assert expired(story, look(story, "merge", epochs, HOUR)) == {"b1", "b2"}


def test_what_came_after_the_resolved_node_stays() -> None:
    story = losing().commit("merge", "a2", by="alice/1@hs1", resolves=["b1"]).vote("dave/1@hs3", "merge")
    assert expired(story, look(story, "merge", {"b1": 0, "b2": 0}, HOUR)) == {"b1"}


def test_what_a_losing_branch_has_in_common_with_the_node_that_resolves_another_stays() -> None:
    story = losing().commit("c", "b1", by="dave/1@hs3", resolves=["b2"]).vote("bob/1@hs2", "c")
    assert expired(story, look(story, "a2", {"b1": 0, "b2": 0, "c": 0}, HOUR)) == {"b2"}


def test_resolving_an_unknown_node_ends_nothing() -> None:
    story = losing().commit("merge", "a2", by="alice/1@hs1", resolves=["unknown"]).vote("dave/1@hs3", "merge")
    assert look(story, "merge", {"b1": 0, "b2": 0}).epochs == ()


def test_a_losing_branch_goes_after_the_groups_time() -> None:
    story = losing()
    assert expired(story, look(story, "a2", {"b1": 5, "b2": 6}, 5 + 1_000 * RETAIN_SECONDS)) == {"b1"}


def test_a_losing_branch_goes_with_the_epoch_where_it_began() -> None:
    story = losing()
    found = look(story, "a2", {"p": 0, "b1": 0, "b2": 0}, HOUR, retain_epochs=2)
    assert expired(story, found) == {"p", "b1", "b2"}


def test_a_long_losing_branch_is_held_at_its_end_only() -> None:
    story = losing()
    for number in range(2, 6):
        story.commit(f"b{number + 1}", f"b{number}", by="bob/1@hs2")
    epochs = {f"b{number}": 0 for number in range(1, 7)}
    assert expired(story, look(story, "a2", epochs, HOUR, retain_epochs=3)) == {"b1", "b2", "b3"}


def test_only_so_many_losing_branches_are_held() -> None:
    story = room().commit("b", "p", by="bob/1@hs2")
    names = [f"c{number}" for number in range(MAX_RIVAL_HEADS + 2)]
    for name in names:
        story.commit(name, "b", by="bob/1@hs2")
    epochs = {name: number for number, name in enumerate(names)} | {"b": 0}
    assert expired(story, look(story, "a2", epochs)) == {"c0", "c1"}


def test_a_losing_branch_under_another_beginning_is_retained_like_any_other() -> None:
    story = room().genesis("other", by="bob/1@hs2")
    assert look(story, "a2", {"other": 0}, HOUR - 1).epochs == ()
    assert expired(story, look(story, "a2", {"other": 0}, 1_000 * RETAIN_SECONDS)) == {"other"}
    story.commit("merge", "a2", by="alice/1@hs1", resolves=["other"]).vote("dave/1@hs3", "merge")
    assert expired(story, look(story, "merge", {"other": 0}, HOUR)) == {"other"}


@given(
    now_ms=st.integers(0, 2_000 * RETAIN_SECONDS),
    since=st.lists(st.integers(0, 1_000 * RETAIN_SECONDS), min_size=6, max_size=6),
    retain_epochs=st.integers(1, 5),
)
def test_nothing_changes_before_the_next_look(now_ms: int, since: list[int], retain_epochs: int) -> None:
    story = losing()
    epochs = dict(zip(["g", "p", "a1", "a2", "b1", "b2"], since, strict=True))
    found = look(story, "a2", epochs, now_ms, retain_epochs=retain_epochs)
    assert ref_of("a2") not in found.epochs
    if found.look_again_ms is not None:
        assert found.look_again_ms > now_ms
        before = look(story, "a2", epochs, found.look_again_ms - 1, retain_epochs=retain_epochs)
        assert (before.epochs, before.message_secrets, before.external_keys) == (
            found.epochs,
            found.message_secrets,
            found.external_keys,
        )
