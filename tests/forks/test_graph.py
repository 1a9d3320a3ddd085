from __future__ import annotations

import random
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmls.errors import CodecError, InvalidCommitError, NotFoundError, UsageError
from dmls.forks.graph import EMPTY_GRAPH, VIRTUAL_ROOT, EpochGraph, Node, Vote
from dmls.ids import CommitRef, DeviceId, EventId, UserId
from tests.support.epoch_graphs import Story, arrive, make_device, random_room, ref_of


def forked() -> Story:
    """A genesis with two branches, a1-a2-a3 and b1-b2; another branch, c, leaves a1."""
    story = Story("alice@hs1").genesis("g", by="alice/1@hs1")
    for name, parent in [("a1", "g"), ("a2", "a1"), ("a3", "a2"), ("b1", "g"), ("b2", "b1"), ("c", "a1")]:
        story.commit(name, parent, by="alice/1@hs1")
    return story


def sorted_refs(*names: str) -> tuple[CommitRef, ...]:
    return tuple(sorted(map(ref_of, names)))


def test_server_of_a_device_is_all_after_the_first_colon() -> None:
    assert replace(make_device("alice/1@hs1"), user_id=UserId("@alice:[::1]:8448")).server == "[::1]:8448"


def test_chain_goes_from_the_genesis_down() -> None:
    story = forked()
    assert story.names(story.graph.chain(ref_of("a3"))) == ["g", "a1", "a2", "a3"]
    assert story.names(story.graph.path_up(ref_of("b2"))) == ["b2", "b1", "g"]
    assert story.graph.chain(VIRTUAL_ROOT) == ()


@pytest.mark.parametrize(
    ("ancestor", "name", "expected"), [("a1", "a3", True), ("a1", "a1", True), ("a3", "a1", False), ("b1", "a3", False)]
)
def test_ancestry(ancestor: str, name: str, expected: bool) -> None:
    assert forked().graph.is_ancestor(ref_of(ancestor), ref_of(name)) is expected
    assert forked().graph.is_ancestor(VIRTUAL_ROOT, ref_of(name))


def test_side_heads_are_the_leaves_beside_the_head() -> None:
    graph = forked().graph
    assert graph.leaves() == sorted_refs("a3", "b2", "c")
    assert graph.side_heads(ref_of("a3")) == sorted_refs("b2", "c")
    assert graph.side_heads(ref_of("a2")) == sorted_refs("a3", "b2", "c")
    assert graph.fork_points() == sorted_refs("g", "a1")


def test_branch_ends_where_the_heads_chain_begins() -> None:
    story = forked()
    assert story.names(story.graph.branch(ref_of("a3"), ref_of("b2"))) == ["b1", "b2"]
    assert story.names(story.graph.branch(ref_of("a3"), ref_of("c"))) == ["c"]


def test_subtree_is_a_node_and_all_below() -> None:
    graph = forked().graph
    assert sorted(graph.subtree(ref_of("a1"))) == list(sorted_refs("a1", "a2", "a3", "c"))
    assert set(graph) == set(graph.subtree(ref_of("g"))) == set(map(ref_of, ["g", "a1", "a2", "a3", "b1", "b2", "c"]))
    assert len(graph) == 7
    assert repr(graph) == "EpochGraph(7 nodes)"


def test_a_node_with_an_unknown_parent_does_not_enter() -> None:
    graph = forked().graph
    orphan = replace(graph.node(ref_of("a2")), commit_ref=ref_of("x"), parent_ref=ref_of("nowhere"))
    with pytest.raises(UsageError):
        graph.add(orphan)
    with pytest.raises(UsageError):
        EpochGraph.build([orphan])


@pytest.mark.parametrize("is_genesis", [True, False])
def test_only_a_genesis_has_no_parent(is_genesis: bool) -> None:
    graph = forked().graph
    node = replace(
        graph.node(ref_of("a2")),
        commit_ref=ref_of("x"),
        is_genesis=is_genesis,
        parent_ref=ref_of("a1") if is_genesis else VIRTUAL_ROOT,
    )
    with pytest.raises(UsageError):
        graph.add(node)


def test_a_commit_sent_by_another_user_is_invalid() -> None:
    graph = forked().graph
    minted = replace(graph.node(ref_of("a2")), commit_ref=ref_of("x"), sender=UserId("@mallory:hs1"))
    with pytest.raises(InvalidCommitError):
        graph.add(minted)


def test_unknown_nodes_are_not_found() -> None:
    graph = forked().graph
    for ask in (graph.node, graph.parent, graph.chain, graph.side_heads):
        with pytest.raises(NotFoundError):
            ask(ref_of("nowhere"))
    assert ref_of("nowhere") not in graph
    assert graph.children(ref_of("nowhere")) == ()


def test_adding_a_node_again_changes_nothing() -> None:
    graph = forked().graph
    assert graph.add(graph.node(ref_of("a2"))) is graph


def test_adding_returns_another_graph() -> None:
    before = forked().graph
    after = before.add(replace(before.node(ref_of("a2")), commit_ref=ref_of("x")))
    assert ref_of("x") in after
    assert ref_of("x") not in before
    assert before.children(ref_of("a1")) == sorted_refs("a2", "c")


def test_flags_are_corrected_and_nothing_else() -> None:
    graph = forked().graph
    node = graph.node(ref_of("a2"))
    corrected = replace(node, event_id=EventId("$other"), before_departure=True, is_spent=True)
    assert graph.replace(corrected).node(ref_of("a2")) == corrected
    with pytest.raises(UsageError):
        graph.replace(replace(node, vote_seq=99))
    with pytest.raises(NotFoundError):
        graph.replace(replace(node, commit_ref=ref_of("nowhere")))


@given(seed=st.integers(0, 2**32), data=st.data())
def test_order_of_arrival_makes_no_difference(seed: int, data: st.DataObject) -> None:
    nodes, _, _ = random_room(random.Random(seed), 8)
    graph = arrive(nodes)
    shuffled = data.draw(st.permutations(nodes))
    assert arrive(shuffled) == graph == EpochGraph.build(shuffled)
    order = list(graph)
    assert sorted(order) == sorted(node.commit_ref for node in nodes)
    assert all(order.index(graph.parent(ref)) < order.index(ref) for ref in order if graph.parent(ref) != VIRTUAL_ROOT)


def test_a_leaf_is_known_by_the_node_that_added_it() -> None:
    story = Story("alice@hs1", "bob@hs2").genesis("g", by="alice/1@hs1")
    story.commit("add", "g", by="alice/1@hs1", adds=["bob/1@hs2"])
    story.commit("keep", "add", by="bob/1@hs2")
    story.commit("remove", "keep", by="alice/1@hs1", removes=["bob/1@hs2"])
    story.commit("again", "remove", by="bob/1@hs2", is_external=True)
    story.commit("renew", "again", by="bob/1@hs2", is_external=True, removes=["bob/1@hs2"])
    story.commit("beside", "add", by="alice/1@hs1")
    bob = make_device("bob/1@hs2")
    origins = {
        name: story.graph.leaf_origin(ref_of(name), bob) for name in ("g", "add", "keep", "remove", "again", "renew", "beside")
    }
    assert origins == {
        "g": None,
        "add": ref_of("add"),
        "keep": ref_of("add"),
        "remove": None,
        "again": ref_of("again"),
        "renew": ref_of("renew"),
        "beside": ref_of("add"),
    }
    assert story.graph.leaf_origin(ref_of("remove"), make_device("alice/1@hs1")) == ref_of("g")


def test_an_anchor_stands_without_its_parent_and_is_hung_up_when_the_parent_comes() -> None:
    story = forked()
    graph = story.graph
    anchor = replace(graph.node(ref_of("a2")), is_anchor=True)
    anchored = EMPTY_GRAPH.add(anchor).add(graph.node(ref_of("a3")))
    assert anchored.children(VIRTUAL_ROOT) == (ref_of("a2"),)
    assert anchored.parent(ref_of("a2")) == VIRTUAL_ROOT
    assert story.names(anchored.chain(ref_of("a3"))) == ["a2", "a3"]
    assert anchored.leaf_origin(ref_of("a3"), make_device("alice/1@hs1")) is None
    assert EpochGraph.build([graph.node(ref_of("a3")), anchor]) == anchored
    genesis, parent = graph.node(ref_of("g")), graph.node(ref_of("a1"))
    whole = anchored.add(genesis).add(parent)
    assert story.names(whole.chain(ref_of("a3"))) == ["g", "a1", "a2", "a3"]
    assert whole.children(VIRTUAL_ROOT) == (ref_of("g"),)
    assert whole.leaf_origin(ref_of("a3"), make_device("alice/1@hs1")) == ref_of("g")


@given(seed=st.integers(0, 2**32))
def test_records_are_read_back(seed: int) -> None:
    rng = random.Random(seed)
    nodes, votes, _ = random_room(rng, 6)
    for node in nodes:
        full = replace(node, resolves=(ref_of("x"),), rejects=(ref_of("y"), ref_of("z")), is_anchor=rng.random() < 0.5)
        assert Node.decode(full.encode()) == full
    for vote in votes:
        assert Vote.decode(vote.encode()) == vote


def test_every_flag_of_a_node_has_its_own_bit() -> None:
    node = forked().graph.node(ref_of("a2"))
    flags = [field.name for field in fields(Node) if field.type == "bool"]
    assert len(flags) == 8
    records = {replace(node, **{flag: True}).encode() for flag in flags}  # type: ignore[arg-type]
    assert len(records | {node.encode()}) == len(flags) + 1


@given(data=st.binary(max_size=80), cut=st.integers(0, 400), position=st.integers(0, 400), value=st.integers(0, 255))
def test_damaged_records_raise_a_codec_error_or_are_other_records(data: bytes, cut: int, position: int, value: int) -> None:
    node, vote = forked().graph.node(ref_of("a2")), Vote(make_device("alice/1@hs1"), ref_of("a2"), 3)
    for kind, good in ((Node, node.encode()), (Vote, vote.encode())):
        altered = bytearray(good)
        altered[position % len(altered)] = value
        for damaged in (data, good[:cut], bytes(altered), good + data):
            try:
                assert kind.decode(damaged).encode() == damaged
            except CodecError:
                continue


def test_authors_removals_and_tips_are_indexed_whatever_the_order(rng: random.Random) -> None:
    nodes, _, _ = random_room(rng, 12)
    known = {node.commit_ref: node for node in nodes}
    for _ in range(5):
        rng.shuffle(nodes)
        graph = arrive(nodes)
        present = [known[ref] for ref in graph]
        for author in {node.author for node in present}:
            authored = [(node.vote_seq, node.commit_ref) for node in present if node.author == author]
            assert graph.authored(author) == tuple(ref for _, ref in sorted(authored))
        removed = {device for node in present for device in node.removes_others}
        assert dict(graph.removals()) == {
            device: tuple(sorted(node.commit_ref for node in present if device in node.removes_others)) for device in removed
        }
        assert graph.leaves() == tuple(sorted(ref for ref in graph if not graph.children(ref)))


@given(seed=st.integers(0, 2**32), size=st.integers(1, 20))
def test_far_relatives_are_those_that_a_walk_finds(seed: int, size: int) -> None:
    rng = random.Random(seed)
    nodes, _, _ = random_room(rng, size)
    nodes = [replace(node, is_anchor=not node.is_genesis and rng.random() < 0.2) for node in rng.sample(nodes, len(nodes))]
    graph = arrive(nodes[: rng.randint(1, len(nodes))])
    paths = {ref: list(graph.path_up(ref)) for ref in graph}
    for ref, path in paths.items():
        below = [other for other in paths if ref in paths[other]]
        assert graph.depth(ref) == len(path)
        assert graph.top(ref) == path[-1]
        assert graph.twins(ref) == tuple(
            sorted(
                other
                for other in graph.children(graph.parent(ref))
                if graph.node(other).content_hash == graph.node(ref).content_hash
            )
        )
        deepest = max(len(paths[other]) for other in below) - len(path)
        assert [levels for levels in range(len(paths) + 1) if graph.reaches(ref, levels)] == list(range(deepest + 1))
        for other, its in paths.items():
            assert graph.is_ancestor(ref, other) == (ref in its)
            assert graph.joint(ref, other) == next((above for above in path if above in its), VIRTUAL_ROOT)
            assert graph.branch(ref, other) == tuple(above for above in its if above not in path)[::-1]


def test_what_resolves_and_removes_is_known_by_what_it_does_it_to() -> None:
    story = (
        Story("alice@hs1", "bob@hs2").genesis("g", by="alice/1@hs1").commit("a", "g", by="alice/1@hs1", resolves=["late", "b"])
    )
    assert story.graph.resolvers(ref_of("late")) == (ref_of("a"),)
    story.commit("b", "g", by="alice/1@hs1", removes=["bob/1@hs2", "bob/1'@hs2"], resolves=["late"])
    bob = make_device("bob/1@hs2")
    assert story.graph.resolvers(ref_of("late")) == sorted_refs("a", "b")
    assert story.graph.removers(bob.user_id, bob.device_id) == (ref_of("b"),)
    assert story.graph.removers(bob.user_id, DeviceId("2")) == ()


def test_a_node_is_dropped_as_if_it_had_never_come(rng: random.Random) -> None:
    for _ in range(50):
        nodes, _, _ = random_room(rng, 9)
        graph = arrive(nodes)
        dropped = rng.choice(graph.leaves())
        rest = [graph.node(ref) for ref in graph if ref != dropped]
        assert graph.drop(dropped) == EpochGraph.build(rest)
        for ref in graph:
            if graph.children(ref):
                with pytest.raises(UsageError):
                    graph.drop(ref)
        with pytest.raises(NotFoundError):
            graph.drop(ref_of("nowhere"))
