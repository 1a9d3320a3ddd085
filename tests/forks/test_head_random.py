"""The head rule against a second implementation and against what must never matter, on random graphs."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from dmls.forks.count import is_author_in_standing
from dmls.forks.graph import VIRTUAL_ROOT, Device, EpochGraph, Node, Vote
from dmls.forks.tally import Tally
from dmls.ids import CommitRef, DeviceId, EventId, UserId
from tests.support.epoch_graphs import Story, arrive, compute_head, make_device, naive_room, random_room, ref_of

seeds = st.integers(0, 2**64 - 1)


def rooms(rng: random.Random, number: int, size: int) -> Iterator[tuple[list[Node], list[Vote], set[UserId]]]:
    for _ in range(number):
        yield random_room(rng, rng.randint(1, size))


def test_both_implementations_agree(rng: random.Random) -> None:
    heads = set()
    for nodes, votes, joined in rooms(rng, 4_000, 9):
        naive = naive_room(nodes, votes, joined)
        head = compute_head(arrive(nodes), votes, joined)
        assert head == naive.head()
        heads.add(head)
    assert len(heads) > 3_000


def test_both_implementations_agree_on_larger_graphs(rng: random.Random) -> None:
    for nodes, votes, joined in rooms(rng, 150, 30):
        assert compute_head(arrive(nodes), votes, joined) == naive_room(nodes, votes, joined).head()


def test_both_implementations_agree_on_supporters_and_on_what_counts(rng: random.Random) -> None:
    for nodes, votes, joined in rooms(rng, 500, 9):
        naive, tally = naive_room(nodes, votes, joined), Tally.build(arrive(nodes), votes, joined)
        for ref, fact in naive.facts.items():
            assert tally.supporters(CommitRef(ref)) == naive.supporters(fact)
            assert tally.support(CommitRef(ref)) == len(naive.supporters(fact))
            assert tally.counts(CommitRef(ref)) == naive.counts(fact)


@given(seed=seeds, size=st.integers(1, 5))
def test_every_order_of_arrival_gives_one_head(seed: int, size: int) -> None:
    rng = random.Random(seed)
    nodes, votes, joined = random_room(rng, size)
    heads = set()
    for order in permutations(nodes):
        shuffled = rng.sample(votes, len(votes))
        heads.add(compute_head(arrive(order), shuffled, joined))
    assert len(heads) == 1


@given(seed=seeds, size=st.integers(6, 25))
def test_many_orders_of_arrival_give_one_head(seed: int, size: int) -> None:
    rng = random.Random(seed)
    nodes, votes, joined = random_room(rng, size)
    orders = [rng.sample(nodes, len(nodes)) for _ in range(20)]
    assert len({compute_head(arrive(order), rng.sample(votes, len(votes)), joined) for order in orders}) == 1


@given(seed=seeds, size=st.integers(1, 20))
def test_renaming_devices_and_events_and_renumbering_epochs_changes_nothing(seed: int, size: int) -> None:
    rng = random.Random(seed)
    nodes, votes, joined = random_room(rng, size)
    names: dict[DeviceId, DeviceId] = {}

    def renamed(device: Device) -> Device:
        name = names.setdefault(device.device_id, DeviceId(f"{rng.randrange(1000)}.{len(names)}"))
        return replace(device, device_id=name)

    other_nodes = [
        replace(
            node,
            author=renamed(node.author),
            adds=tuple(map(renamed, node.adds)),
            removes=tuple(map(renamed, node.removes)),
            event_id=EventId(f"${rng.random()}"),
            epoch=rng.randrange(100),
        )
        for node in nodes
    ]
    other_votes = [replace(vote, device=renamed(vote.device)) for vote in votes]
    assert compute_head(arrive(other_nodes), other_votes, joined) == compute_head(arrive(nodes), votes, joined)


@given(seed=seeds, size=st.integers(1, 20))
def test_what_nobody_joined_stands_behind_may_be_seen_or_not(seed: int, size: int) -> None:
    nodes, votes, joined = random_room(random.Random(seed), size)
    graph = arrive(nodes)
    voted = {vote.commit_ref for vote in votes if vote.device.user_id in joined}

    def is_backed(ref: CommitRef) -> bool:
        return any(below in voted or is_author_in_standing(graph.node(below), joined) for below in graph.subtree(ref))

    backed = [node for node in nodes if is_backed(node.commit_ref)]
    kept = {node.commit_ref for node in backed}
    # A twin that only some see is an attack by its author's server, not by an outsider.
    if {graph.node(ref).content_hash for ref in graph if ref not in kept}.isdisjoint(node.content_hash for node in backed):
        seen_votes = [vote for vote in votes if vote.commit_ref in kept]
        assert compute_head(arrive(backed), seen_votes, joined) == compute_head(graph, votes, joined)


@given(seed=seeds, size=st.integers(1, 15))
def test_the_head_is_reached_over_nodes_that_count_and_has_no_child_that_does(seed: int, size: int) -> None:
    nodes, votes, joined = random_room(random.Random(seed), size)
    tally, graph = Tally.build(arrive(nodes), votes, joined), arrive(nodes)
    head = tally.head()
    chain = graph.chain(head if head is not None else VIRTUAL_ROOT)
    assert all(tally.counts(ref) for ref in chain)
    assert not any(tally.counts(ref) for ref in graph.children(head if head is not None else VIRTUAL_ROOT))


def test_a_long_room_is_no_problem() -> None:
    story = Story("alice@hs1", "bob@hs2").genesis("g", by="alice/1@hs1")
    parent = story.graph.node(ref_of("g"))
    nodes = [parent]
    authors = [make_device("alice/1@hs1"), make_device("bob/1@hs2")]
    for number in range(5_000):
        author = authors[number % 2]
        parent = replace(
            parent,
            commit_ref=ref_of(str(number)),
            content_hash=ref_of(str(number)),
            parent_ref=parent.commit_ref,
            author=author,
            sender=author.user_id,
            vote_seq=number + 1,
            is_genesis=False,
        )
        nodes.append(parent)
    assert compute_head(EpochGraph.build(reversed(nodes)), (), story.joined) == ref_of("4999")
