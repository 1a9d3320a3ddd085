"""Each clause of the head rule as a story. Server hs1 has alice and carol, hs2 has bob, hs3 has dave, hs4 has mallory."""

from __future__ import annotations

from hashlib import sha256

import pytest

from dmls.forks.tally import Tally
from dmls.ids import UserId
from tests.support.epoch_graphs import Story, make_device, ref_of

ALL = ("alice@hs1", "carol@hs1", "bob@hs2", "dave@hs3", "mallory@hs4")


def room(*joined: str) -> Story:
    """alice's genesis `g` and her commit `p`, which adds everybody; forks begin at `p`."""
    story = Story(*(joined or ALL)).genesis("g", by="alice/1@hs1")
    return story.commit(
        "p", "g", by="alice/1@hs1", adds=["alice/2@hs1", "carol/1@hs1", "bob/1@hs2", "dave/1@hs3", "mallory/1@hs4"]
    )


def tie_winner(story: Story, *names: str) -> str:
    """Return which of some siblings the tie hash prefers."""

    def tie(name: str) -> bytes:
        node = story.graph.node(ref_of(name))
        return sha256(b"DMLS 1.0 tie" + node.parent_ref + node.author.user_id.encode() + node.author.signature_key).digest()

    return min(names, key=tie)


def test_a_room_without_a_group_has_no_head() -> None:
    assert Story("alice@hs1").head is None


def test_a_room_where_nobody_counts_has_no_head() -> None:
    assert Story().genesis("g", by="alice/1@hs1").head is None


def test_without_forks_the_head_is_the_last_commit() -> None:
    assert room().commit("a", "p", by="alice/1@hs1").commit("b", "a", by="bob/1@hs2").head == "b"


# Most supporters


def test_the_branch_with_more_users_wins() -> None:
    story = room().commit("a", "p", by="alice/1@hs1").commit("b", "p", by="bob/1@hs2").commit("c", "b", by="dave/1@hs3")
    assert story.supporters("a") == {"alice"}
    assert story.supporters("b") == {"bob", "dave"}
    assert story.head == "c"


def test_depth_has_no_weight() -> None:
    story = room().commit("a", "p", by="alice/1@hs1").vote("carol/1@hs1", "a").commit("b0", "p", by="bob/1@hs2")
    for number in range(10):
        story.commit(f"b{number + 1}", f"b{number}", by="bob/1@hs2")
    assert story.head == "a"


def test_a_user_with_two_devices_is_one_supporter() -> None:
    story = room().commit("a", "p", by="alice/1@hs1").vote("alice/2@hs1", "a")
    story.commit("b", "p", by="bob/1@hs2").vote("dave/1@hs3", "b")
    assert story.supporters("a") == {"alice"}
    assert story.head == "b"


def test_devices_of_one_user_may_support_two_branches() -> None:
    story = room().commit("a", "p", by="alice/1@hs1").commit("b", "p", by="bob/1@hs2").vote("alice/2@hs1", "b")
    assert (story.supporters("a"), story.supporters("b")) == ({"alice"}, {"alice", "bob"})
    assert story.head == "b"


def test_the_count_starts_anew_at_each_fork() -> None:
    story = room().commit("a", "p", by="alice/1@hs1").commit("b", "p", by="bob/1@hs2")
    story.commit("a1", "a", by="alice/1@hs1").commit("a2", "a", by="carol/1@hs1").vote("dave/1@hs3", "a2")
    assert story.supporters("a") == {"alice", "carol", "dave"}
    assert story.head == "a2"


def test_minted_devices_move_nothing_where_two_others_vote() -> None:
    story = room().commit("a", "p", by="alice/1@hs1").vote("bob/1@hs2", "a").commit("m", "p", by="mallory/1@hs4")
    for number in range(2, 40):
        story.commit(
            f"m{number}", "m" if number == 2 else f"m{number - 1}", by=f"mallory/{number}@hs4", adds=[f"mallory/{number + 1}@hs4"]
        )
        story.vote(f"mallory/{number}@hs4", f"m{number}")
    assert story.supporters("m") == {"mallory"}
    assert story.head == "a"


# Which vote is a device's


def test_the_vote_of_the_greatest_seq_counts() -> None:
    story = room().commit("a", "p", by="alice/1@hs1").commit("b", "p", by="bob/1@hs2")
    story.vote("dave/1@hs3", "a", seq=7).vote("dave/1@hs3", "b", seq=3)
    assert story.supporters("a") == {"alice", "dave"}
    assert story.head == "a"


def test_a_commit_is_a_vote_for_its_own_epoch() -> None:
    story = room().commit("a", "p", by="alice/1@hs1").commit("b", "p", by="bob/1@hs2").vote("alice/1@hs1", "b")
    assert story.supporters("a") == set()
    story.commit("a2", "a", by="alice/1@hs1")
    assert story.supporters("a") == {"alice"}
    assert story.supporters("b") == {"bob"}


def test_the_genesis_is_a_vote_of_its_author() -> None:
    assert Story("alice@hs1").genesis("g", by="alice/1@hs1").supporters("g") == {"alice"}


def test_an_external_commit_is_no_vote() -> None:
    story = room().commit("x", "p", by="dave/2@hs3", is_external=True)
    assert story.supporters("x") == set()
    assert story.head == "x"


def test_of_two_different_votes_with_one_seq_neither_counts_and_the_one_below_does() -> None:
    story = room().commit("a", "p", by="alice/1@hs1").commit("b", "p", by="bob/1@hs2")
    story.vote("dave/1@hs3", "a", seq=4).vote("dave/1@hs3", "a", seq=9).vote("dave/1@hs3", "b", seq=9)
    assert story.supporters("a") == {"alice", "dave"}
    assert story.supporters("b") == {"bob"}


def test_a_commit_and_a_vote_with_one_seq_are_dropped_too() -> None:
    story = room().commit("a", "p", by="alice/1@hs1", vote_seq=5).commit("b", "p", by="bob/1@hs2").vote("alice/1@hs1", "b", seq=5)
    assert story.supporters("a") == set()
    assert story.supporters("b") == {"bob"}
    assert story.tally.votes[make_device("alice/1@hs1")] == {ref_of("p")}


def test_one_vote_seen_twice_is_one_vote() -> None:
    story = room().commit("a", "p", by="alice/1@hs1").commit("b", "p", by="bob/1@hs2")
    story.vote("dave/1@hs3", "b", seq=4).vote("dave/1@hs3", "b", seq=4)
    assert story.supporters("b") == {"bob", "dave"}


def test_a_vote_for_an_unknown_node_waits() -> None:
    story = room().vote("bob/1@hs2", "p", seq=1).vote("bob/1@hs2", "unknown", seq=2)
    assert story.supporters("p") == {"alice", "bob"}


# Who counts


def test_votes_of_users_who_are_not_joined_never_count() -> None:
    story = room("alice@hs1", "bob@hs2")
    story.commit("a", "p", by="alice/1@hs1").commit("m", "p", by="mallory/1@hs4").vote("dave/1@hs3", "m").vote("carol/1@hs1", "m")
    assert story.supporters("m") == set()
    assert story.head == "a"


def test_the_only_child_does_not_count_when_its_author_is_banned() -> None:
    story = room("alice@hs1").commit("m", "p", by="mallory/1@hs4").commit("m2", "m", by="mallory/1@hs4")
    assert story.head == "p"


def test_a_banned_authors_commit_counts_once_a_joined_user_votes_for_it() -> None:
    story = room("alice@hs1").commit("m", "p", by="mallory/1@hs4").commit("a", "m", by="alice/1@hs1")
    assert story.head == "a"


def test_a_commit_that_precedes_its_authors_leave_counts() -> None:
    story = room("alice@hs1").commit("m", "p", by="mallory/1@hs4")
    assert story.head == "p"
    assert story.correct("m", before_departure=True).head == "m"


def test_authorship_under_a_spent_join_does_not_count_though_the_user_is_back() -> None:
    story = room().commit("b", "p", by="bob/1@hs2", is_spent=True)
    assert story.supporters("b") == set()
    assert story.head == "p"
    assert story.correct("b", before_departure=True).head == "b"


def test_votes_under_a_spent_join_do_not_count_and_do_not_hide_earlier_ones() -> None:
    story = room().commit("a", "p", by="alice/1@hs1").commit("b", "p", by="bob/1@hs2")
    story.vote("dave/1@hs3", "a").vote("dave/1@hs3", "b", is_spent=True)
    assert story.supporters("a") == {"alice", "dave"}


# Removals


def test_a_device_removed_by_its_user_does_not_count() -> None:
    story = room().commit("a", "p", by="alice/1@hs1").commit("r", "p", by="alice/2@hs1", removes=["alice/1@hs1"])
    assert story.supporters("a") == set()


@pytest.mark.parametrize("remover", ["carol/1@hs1", "bob/1@hs2"])
@pytest.mark.parametrize("logout", [False, True])
def test_a_device_removed_by_another_user_counts(remover: str, logout: bool) -> None:
    story = room().commit("a", "p", by="alice/1@hs1").commit("r", "p", by=remover, removes=["alice/1@hs1"], logout=logout)
    assert story.supporters("a") == {"alice"}


def test_nobody_moves_the_head_by_removing_the_others_of_one_server() -> None:
    story = Story("alice@hs1", "carol@hs1", "mallory@hs1").genesis("g", by="alice/1@hs1")
    story.commit("p", "g", by="alice/1@hs1", adds=["carol/1@hs1", "mallory/1@hs1"])
    story.commit("a", "p", by="alice/1@hs1").vote("carol/1@hs1", "a")
    story.commit("m", "p", by="mallory/1@hs1", removes=["alice/1@hs1", "carol/1@hs1"], logout=True)
    assert story.head == "a"


def test_replacing_ones_own_leaf_is_no_removal() -> None:
    story = (
        room().commit("x", "p", by="alice/1@hs1", is_external=True, removes=["alice/1@hs1"]).commit("a", "x", by="alice/1@hs1")
    )
    assert story.supporters("a") == {"alice"}


def test_a_device_with_a_new_key_ends_the_votes_of_the_old_key() -> None:
    story = room().commit("b", "p", by="bob/1@hs2").vote("alice/1@hs1", "b", seq=2**63 - 1)
    story.commit("x", "p", by="alice/1'@hs1", is_external=True, removes=["alice/1@hs1"]).commit("a", "x", by="alice/1'@hs1")
    assert story.supporters("b") == {"bob"}
    assert story.supporters("x") == {"alice"}


def test_a_device_that_was_removed_and_added_again_counts_in_its_new_leaf_only() -> None:
    story = room().commit("old", "p", by="dave/1@hs3").vote("alice/1@hs1", "old")
    story.commit("r", "p", by="alice/2@hs1", removes=["alice/1@hs1"]).vote("alice/2@hs1", "p")
    assert "alice" not in story.supporters("old")
    story.commit("again", "r", by="carol/1@hs1", adds=["alice/1@hs1"]).vote("alice/1@hs1", "again")
    assert story.supporters("again") == {"alice", "carol"}


def test_a_device_logged_out_for_good_counts_in_no_leaf() -> None:
    story = room().commit("r", "p", by="alice/2@hs1", removes=["alice/1@hs1"], logout=True).vote("alice/2@hs1", "p")
    story.commit("again", "r", by="carol/1@hs1", adds=["alice/1@hs1"]).vote("alice/1@hs1", "again")
    assert story.supporters("again") == {"carol"}


def test_a_removal_by_a_node_that_only_outsiders_know_has_no_effect() -> None:
    story = room().commit("a", "p", by="alice/1@hs1")
    story.commit("r", "p", by="alice/2@hs1", removes=["alice/1@hs1"], is_spent=True)
    assert story.supporters("a") == {"alice"}
    story.vote("bob/1@hs2", "r")
    assert story.supporters("a") == set()


# Twins


def twins(*joined: str) -> Story:
    story = room(*joined).commit("t", "p", by="alice/1@hs1")
    return story.commit("t'", "p", by="alice/1@hs1", twin_of="t")


def test_twins_are_one_vote() -> None:
    story = twins()
    assert story.supporters("t") == story.supporters("t'") == story.supporters("p") == {"alice"}
    assert story.tally.votes[make_device("alice/1@hs1")] == {ref_of("t"), ref_of("t'")}
    assert ref_of(str(story.head)) == min(ref_of("t"), ref_of("t'"))


@pytest.mark.parametrize("real", ["t", "t'"])
def test_of_twins_only_the_one_that_another_user_committed_on_counts(real: str) -> None:
    story = twins().commit("next", real, by="bob/1@hs2").vote("bob/1@hs2", "p").vote("alice/1@hs1", "p")
    tally = story.tally
    assert tally.counts(ref_of(real))
    assert not tally.counts(ref_of("t" if real == "t'" else "t'"))
    assert story.head == "next"


def test_a_twins_own_author_cannot_confirm_it() -> None:
    story = twins().commit("next", "t'", by="alice/2@hs1").vote("alice/2@hs1", "p", seq=9)
    assert story.supporters("t") == {"alice"}


def test_an_outsider_cannot_confirm_a_twin() -> None:
    story = twins("alice@hs1", "bob@hs2").commit("next", "t'", by="mallory/1@hs4")
    assert story.supporters("t") == {"alice"}


def test_votes_of_others_keep_a_twin_that_nobody_has_committed_on() -> None:
    story = (
        twins().commit("next", "t'", by="mallory/1@hs4").vote("bob/1@hs2", "t").vote("dave/1@hs3", "t").vote("carol/1@hs1", "t")
    )
    assert story.supporters("t") == {"bob", "carol", "dave"}
    assert story.supporters("t'") == {"alice", "mallory"}
    assert story.head == "t"


# Ties


def test_regular_goes_before_external() -> None:
    story = room().commit("x", "p", by="dave/2@hs3", is_external=True).commit("a", "p", by="alice/1@hs1").vote("alice/1@hs1", "p")
    assert story.supporters("a") == story.supporters("x") == set()
    assert story.head == "a"


def test_supporters_go_before_regular() -> None:
    story = room().commit("x", "p", by="dave/2@hs3", is_external=True).vote("bob/1@hs2", "x").vote("carol/1@hs1", "x")
    assert story.commit("a", "p", by="alice/1@hs1").head == "x"


@pytest.mark.parametrize(("winner", "loser"), [("alice/1@hs1", "bob/1@hs2"), ("bob/1@hs2", "alice/1@hs1")])
def test_on_a_tie_whoever_is_removed_by_a_sibling_loses(winner: str, loser: str) -> None:
    story = room().commit("w", "p", by=winner, removes=[loser]).commit("l", "p", by=loser)
    assert story.head == "w"


def test_when_siblings_remove_each_other_the_tie_hash_decides() -> None:
    story = (
        room().commit("a", "p", by="alice/1@hs1", removes=["bob/1@hs2"]).commit("b", "p", by="bob/1@hs2", removes=["alice/1@hs1"])
    )
    assert story.head == tie_winner(story, "a", "b")


def test_a_removal_by_a_sibling_that_does_not_count_is_ignored() -> None:
    users = ("alice@hs1", "bob@hs2")
    story = room(*users).commit("a", "p", by="alice/1@hs1").commit("b", "p", by="bob/1@hs2")
    winner = tie_winner(story, "a", "b")
    victim = "alice/1@hs1" if winner == "a" else "bob/1@hs2"
    assert story.commit("m", "p", by="mallory/1@hs4", removes=[victim]).head == winner


@pytest.mark.parametrize("attempt", range(6))
def test_the_tie_hash_depends_on_parent_and_author_only(attempt: int) -> None:
    first, second = f"a{attempt}", f"b{attempt}"
    story = room().commit(first, "p", by="alice/1@hs1").commit(second, "p", by="bob/1@hs2")
    plain = room().commit("a", "p", by="alice/1@hs1").commit("b", "p", by="bob/1@hs2")
    assert str(story.head)[0] == plain.head == tie_winner(plain, "a", "b")


def test_between_two_commits_of_one_author_the_smaller_reference_decides() -> None:
    story = room().commit("a1", "p", by="alice/1@hs1", vote_seq=5).commit("a2", "p", by="alice/1@hs1", vote_seq=5)
    assert ref_of(str(story.head)) == min(ref_of("a1"), ref_of("a2"))


def test_a_removal_by_a_sibling_ends_when_that_does_not_count_any_more() -> None:
    story = room("alice@hs1", "carol@hs1", "bob@hs2", "dave@hs3", "erin@hs5").vote("carol/1@hs1", "p").vote("dave/1@hs3", "p")
    story.commit("a", "p", by="alice/1@hs1").vote("carol/1@hs1", "a")
    story.commit("b", "p", by="bob/1@hs2").vote("dave/1@hs3", "b")
    winner, loser = sorted("ab", key=lambda name: name != tie_winner(story, "a", "b"))
    victim = {"a": "alice/1@hs1", "b": "bob/1@hs2"}[winner]
    story.commit("m", "p", by="mallory/1@hs4", removes=[victim]).vote("erin/1@hs5", "m")
    before = story.tally
    assert before.head() == ref_of(loser)
    story.vote("erin/1@hs5", "p")
    assert before.cast(story.votes[-1]).head() == story.tally.head() == ref_of(winner)


# Two beginnings


def test_the_genesis_by_the_creates_sender_goes_first_whatever_its_support() -> None:
    story = Story("alice@hs1", "bob@hs2", "dave@hs3").genesis("created", by="alice/1@hs1", by_create_sender=True)
    story.genesis("other", by="bob/1@hs2").commit("b", "other", by="bob/1@hs2", adds=["dave/1@hs3"]).vote("dave/1@hs3", "b")
    assert story.head == "created"


def test_without_one_the_genesis_with_more_supporters_goes_first() -> None:
    story = Story("alice@hs1", "bob@hs2", "dave@hs3").genesis("lonely", by="alice/1@hs1")
    story.genesis("other", by="bob/1@hs2").commit("b", "other", by="bob/1@hs2", adds=["dave/1@hs3"]).vote("dave/1@hs3", "b")
    assert story.head == "b"


# What else the module offers


def test_failed_nodes_are_left_out_on_request() -> None:
    story = room().commit("a", "p", by="alice/1@hs1").vote("carol/1@hs1", "a").commit("b", "p", by="bob/1@hs2")
    assert story.head == "a"
    assert story.tally.head(without=[ref_of("a")]) == ref_of("b")
    assert story.tally.head(without=[ref_of("a"), ref_of("b")]) == ref_of("p")


def test_supporters_are_told() -> None:
    story = room().commit("a", "p", by="alice/1@hs1").vote("bob/1@hs2", "a")
    assert story.tally.supporters(ref_of("a")) == {"@alice:hs1", "@bob:hs2"}
    tally = Tally.build(story.graph, story.votes, [UserId("@bob:hs2")])
    assert tally.support(ref_of("a")) == tally.support(ref_of("g")) == 1
    assert tally.support(ref_of("unknown")) == 0
