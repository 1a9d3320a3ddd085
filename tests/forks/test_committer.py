from __future__ import annotations

from hashlib import sha256

import pytest

from dmls.forks.committer import (
    able_servers,
    commit_delay_ms,
    needs_merge,
    readd_delay_ms,
    responsible_servers,
    times_removed,
    unresolved_side_heads,
)
from dmls.forks.reconcile import DeviceList, HeadLeaf, LeafRemoval, RemovalReason, Situation
from dmls.ids import LeafIndex, ServerName, UserId
from tests.support.epoch_graphs import Story, make_device, ref_of

HS1, HS2, HS3 = ServerName("hs1"), ServerName("hs2"), ServerName("hs3")
HEAD = ref_of("head")


def room() -> Story:
    story = Story("alice@hs1", "bob@hs2").genesis("g", by="alice/1@hs1")
    return story.commit("p", "g", by="alice/1@hs1", adds=["bob/1@hs2", "mallory/1@hs4"]).commit("a", "p", by="alice/1@hs1")


def unresolved(story: Story, head: str) -> list[str]:
    return story.names(unresolved_side_heads(story.tally, ref_of(head)))


def is_merge_due(story: Story, head: str) -> bool:
    return needs_merge(story.tally, ref_of(head))


# Side branches


def test_a_side_head_is_unresolved_until_the_heads_chain_resolves_it() -> None:
    story = room().commit("b", "p", by="bob/1@hs2").commit("b2", "b", by="bob/1@hs2")
    assert unresolved(story, "a") == ["b2"]
    story.commit("merge", "a", by="alice/1@hs1", resolves=["b2"])
    assert unresolved(story, "merge") == []
    assert unresolved(story, "a") == sorted(["b2", "merge"], key=ref_of)
    story.commit("later", "merge", by="alice/1@hs1")
    assert unresolved(story, "later") == []


def test_what_comes_after_a_resolved_node_is_unresolved() -> None:
    story = room().commit("b", "p", by="bob/1@hs2").commit("merge", "a", by="alice/1@hs1", resolves=["b"])
    assert unresolved(story.commit("b2", "b", by="bob/1@hs2"), "merge") == ["b2"]


def test_a_resolving_node_on_another_branch_resolves_nothing_here() -> None:
    story = room().commit("b", "p", by="bob/1@hs2").commit("merge", "p", by="bob/1@hs2", resolves=["b"])
    assert unresolved(story, "a") == sorted(["b", "merge"], key=ref_of)


def test_branches_of_outsiders_need_no_resolving() -> None:
    story = room().commit("m", "p", by="mallory/1@hs4").commit("s", "p", by="bob/1@hs2", is_spent=True)
    assert unresolved(story, "a") == []
    assert unresolved(story.commit("m2", "m", by="bob/1@hs2"), "a") == ["m2"]


def test_two_beginnings_are_two_branches() -> None:
    story = room().genesis("other", by="bob/1@hs2")
    assert unresolved(story, "a") == ["other"]
    assert is_merge_due(story, "a")


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, False),
        ({"resolves": ["a"]}, False),
        ({"adds": ["dave/1@hs3"]}, True),
        ({"removes": ["mallory/1@hs4"]}, True),
        ({"is_external": True}, True),
        ({"is_spent": True, "adds": ["dave/1@hs3"]}, False),
    ],
)
def test_a_branch_is_worth_a_merge_only_if_it_changes_members(facts: dict[str, object], expected: bool) -> None:
    assert is_merge_due(room().commit("b", "p", by="bob/1@hs2", **facts), "a") is expected


def test_one_commit_worth_a_merge_on_a_branch_is_enough() -> None:
    story = room().commit("b", "p", by="bob/1@hs2", adds=["dave/1@hs3"]).commit("b2", "b", by="bob/1@hs2")
    assert is_merge_due(story, "a")
    assert not is_merge_due(story.commit("merge", "a", by="alice/1@hs1", resolves=["b2"]), "merge")


def test_a_twin_of_a_commit_on_the_chain_is_not_worth_a_merge() -> None:
    story = room().commit("add", "a", by="alice/1@hs1", adds=["dave/1@hs3"])
    story.commit("twin", "a", by="alice/1@hs1", adds=["dave/1@hs3"], twin_of="add")
    assert unresolved(story, "add") == ["twin"]
    assert not is_merge_due(story, "add")


# Who commits


def removal(name: str, reason: RemovalReason) -> LeafRemoval:
    return LeafRemoval(HeadLeaf(LeafIndex(1), make_device(name), 0, vouched=True), reason)


def test_adds_are_for_the_server_of_the_added() -> None:
    assert responsible_servers([make_device("bob/1@hs2"), make_device("dave/1@hs3")], (), {}, [HS1]) == {HS2, HS3}


@pytest.mark.parametrize(
    ("reason", "able", "expected"),
    [
        (RemovalReason.NOT_IN_ROOM, [HS1, HS2], {HS1}),
        (RemovalReason.NOT_IN_ROOM, [HS2, HS3], set()),
        (RemovalReason.FINALLY_GONE, [HS1, HS2], {HS2}),
        (RemovalReason.NOT_LISTED, [HS1, HS2], {HS2}),
        (RemovalReason.NOT_LISTED, [HS1], set()),
        (RemovalReason.REMOVED, [HS1, HS2], set()),
        (RemovalReason.CREDENTIAL, [HS1, HS2], set()),
        (RemovalReason.UNVOUCHED, [HS1, HS2], set()),
    ],
)
def test_removals_are_for_whoever_caused_them_if_able(
    reason: RemovalReason, able: list[ServerName], expected: set[ServerName]
) -> None:
    assert responsible_servers((), [removal("bob/1@hs2", reason)], {UserId("@bob:hs2"): HS1}, able) == expected


def test_a_leave_nobody_is_known_to_have_caused_is_for_nobody_in_particular() -> None:
    assert responsible_servers((), [removal("bob/1@hs2", RemovalReason.NOT_IN_ROOM)], {}, [HS1, HS2]) == frozenset()


def test_servers_are_able_with_a_joined_leaf_that_stays() -> None:
    devices = [make_device(name) for name in ("alice/1@hs1", "bob/1@hs2", "dave/1@hs3", "erin/1@hs5")]
    alice, _, dave, erin = devices
    state = Situation(
        leaves=tuple(HeadLeaf(LeafIndex(index), device, 0, vouched=True) for index, device in enumerate(devices)),
        joined=frozenset([alice.user_id, dave.user_id]),
        invited=frozenset([erin.user_id]),
        lists={dave.user_id: DeviceList(dave.user_id, frozenset(), 1, 1, fresh=True)},
        removed_at_ms={},
        asked_at_ms={},
        now_ms=0,
    )
    assert able_servers(state) == {HS1}


# When


def order(*servers: str) -> list[str]:
    return sorted(servers, key=lambda server: sha256(HEAD + server.encode()).digest())


def test_the_responsible_server_does_not_wait() -> None:
    assert commit_delay_ms(HEAD, HS1, [HS2], is_responsible=True) == 0


def test_others_wait_by_rank() -> None:
    servers = [ServerName(f"hs{number}") for number in range(12)]
    ranked = order(*servers)
    delays = [commit_delay_ms(HEAD, ServerName(server), servers, is_responsible=False) for server in ranked]
    assert delays == [2_000 + min(rank, 8) * 3_000 for rank in range(12)]


def test_the_rank_depends_on_the_head() -> None:
    servers = [ServerName(f"hs{number}") for number in range(6)]
    firsts = {
        min(servers, key=lambda server: commit_delay_ms(ref_of(str(head)), server, servers, is_responsible=False))
        for head in range(40)
    }
    assert len(firsts) > 2


def test_a_server_that_is_not_able_goes_last() -> None:
    assert commit_delay_ms(HEAD, HS3, [HS1, HS2], is_responsible=False) == 2_000 + 2 * 3_000


@pytest.mark.parametrize(("position", "is_responsible", "expected"), [(1, True, 5_000), (20, True, 26_000), (1, False, 5_000)])
def test_further_agents_of_one_server_wait_longer(position: int, is_responsible: bool, expected: int) -> None:
    assert commit_delay_ms(HEAD, HS1, [HS1], is_responsible=is_responsible, position=position) == expected


@pytest.mark.parametrize(("jitter", "expected"), [(0.0, 2_000), (0.5, 2_500), (0.999, 2_999)])
def test_jitter_stays_below_the_distance_of_two_ranks(jitter: float, expected: int) -> None:
    assert commit_delay_ms(HEAD, HS1, [HS1], is_responsible=False, jitter=jitter) == expected


def test_removals_by_regular_commits_of_other_servers_on_the_chain_are_counted() -> None:
    story = room()
    story.commit("r1", "a", by="alice/1@hs1", removes=["bob/1@hs2"]).commit("a1", "r1", by="alice/1@hs1", adds=["bob/1'@hs2"])
    story.commit("r2", "a1", by="alice/1@hs1", removes=["bob/1'@hs2"])
    story.commit("own", "r2", by="bob/2@hs2", removes=["bob/1@hs2"])
    story.commit("x", "own", by="bob/1@hs2", is_external=True, removes=["bob/1@hs2"])
    story.commit("beside", "a", by="alice/1@hs1", removes=["bob/1@hs2"])
    assert times_removed(story.graph, ref_of("x"), make_device("bob/1@hs2"), HS2) == 2
    assert times_removed(story.graph, ref_of("a"), make_device("bob/1@hs2"), HS2) == 0


@pytest.mark.parametrize(
    ("times", "delay"), [(0, 0), (1, 240_000), (2, 960_000), (5, 61_440_000), (6, 86_400_000), (10**9, 86_400_000)]
)
def test_readding_waits_four_times_longer_each_time(times: int, delay: int) -> None:
    assert readd_delay_ms(times) == delay
