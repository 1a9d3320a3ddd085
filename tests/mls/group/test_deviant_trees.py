"""Peers that change or hash the tree in another way than RFC 9420 says come to epochs that nobody else is in.

What they send is signed, tagged and sealed as by anybody; only their tree is another.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from dmls.ids import LeafIndex, NodeIndex
from dmls.mls.codec import Lazy, encode, encode_opaque
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.group.applied import AppliedProposals
from dmls.mls.messages.commit import HPKECiphertext, UpdatePath, UpdatePathNode
from dmls.mls.messages.leaf_node import CommitSource
from dmls.mls.messages.proposal import Add, Remove
from dmls.mls.tree.nodes import Blank, Parent, ParentNode
from dmls.mls.tree.ratchet_tree import RatchetTree
from dmls.mls.tree.treekem import StagedPath
from tests.support.forge import TreeNode, forge_commit, forge_welcome, nodes_of, tree_of
from tests.support.groups import Party, Room, fresh_update, refusing, room_of
from tests.support.refusals import refuse_commit
from tests.support.tree_model import TreeModel

SUITE = cipher_suite(1)
Change = Callable[[AppliedProposals], AppliedProposals]


def full_room(rng: random.Random, names: str = "abcdefgh") -> Room:
    """A room whose members have all committed: all parents hold keys."""
    room, members = room_of(rng, names)
    for party in members:
        room.commit(party)
    return room


@pytest.fixture
def room(rng: random.Random) -> Room:
    return full_room(rng)


@pytest.fixture
def holed(room: Room) -> Room:
    """The second member is gone, and the first has put keys above the hole."""
    alice, bob, *_ = room.members
    room.commit(alice, Remove(bob.leaf), leavers=[bob])
    return room


def keeping(room: Room, *numbers: int, **changes: object) -> Change:
    """Leave some parents as they are in the epoch before."""
    before = nodes_of(room.follower.tree)

    def change(applied: AppliedProposals) -> AppliedProposals:
        nodes = nodes_of(applied.tree)
        for number in numbers:
            held = before[number]
            assert isinstance(held, ParentNode)
            nodes[number] = replace(held, **changes)  # type: ignore[arg-type]
        return replace(applied, tree=tree_of(SUITE, nodes))

    return change


def widened(tree: RatchetTree, root: ParentNode | None = None) -> RatchetTree:
    """A tree with as many blank leaves more as it has slots."""
    width = tree.width
    return RatchetTree(SUITE, Parent(NodeIndex(2 * width - 1), tree.root, Blank(NodeIndex(3 * width - 1)), root))


def refuse_opening(room: Room, message: bytes) -> None:
    """The path does not open: it was sealed with the hash of another tree."""
    for party in room.members[1:]:
        with refusing(None, party):
            party.receive(message)


# Additions


@pytest.mark.breaks("TR-06")
def test_whoever_does_not_list_a_newcomer_as_unmerged_is_alone(holed: Room, newcomer: Party) -> None:
    alice, addition = holed.members[0], Add(newcomer.key_package())
    refuse_commit(
        holed, forge_commit(alice, addition, with_path=False, alter_applied=keeping(holed, 3, 7)), "CP-10", in_public=False
    )
    # Not everywhere is not enough either.
    refuse_commit(
        holed, forge_commit(alice, addition, with_path=False, alter_applied=keeping(holed, 7)), "CP-10", in_public=False
    )
    nobody = keeping(holed, 3, 7, unmerged_leaves=(1,))
    holed.members[1].process(forge_commit(alice, addition, with_path=False, alter_applied=nobody))


@pytest.mark.breaks("TR-06")
def test_unmerged_leaves_that_were_appended_make_a_tree_that_nobody_takes(holed: Room, rng: random.Random) -> None:
    alice, carol, *_, last = holed.members
    holed.commit(alice, Remove(last.leaf), leavers=[last])
    holed.commit(alice)
    first, second = (Party(SUITE, name, rng.randbytes) for name in "xy")
    # One after the other they take leaves 1 and 7; in another order their list would not ascend.
    holed.add(carol, first)
    holed.add(carol, second)
    root = holed.follower.tree.parent(NodeIndex(7))
    assert root is not None
    assert root.unmerged_leaves == (1, 7)
    nodes = nodes_of(holed.follower.tree)
    nodes[7] = replace(root, unmerged_leaves=(7, 1))
    with refusing("TR-05"):
        tree_of(SUITE, nodes)


@pytest.mark.breaks("TR-07")
def test_whoever_appends_a_newcomer_though_a_leaf_is_blank_is_alone(holed: Room, newcomer: Party) -> None:
    alice, package = holed.members[0], newcomer.key_package()
    tree = holed.follower.tree

    def append(applied: AppliedProposals) -> AppliedProposals:
        full, (hole,) = tree.add_all([replace(package.leaf_node, signature_key=b"")])
        grown, index = full.add(package.leaf_node)
        assert (hole, index) == (1, 8)
        return replace(applied, tree=grown.update(hole, package.leaf_node).remove(hole), added=((index, package),))

    message = forge_commit(alice, Add(package), with_path=False, alter_applied=append)
    refuse_commit(holed, message, "CP-10", in_public=False)


@pytest.mark.breaks("TR-08")
def test_whoever_puts_the_old_root_into_the_new_one_is_alone(room: Room, newcomer: Party) -> None:
    alice, addition = room.members[0], Add(newcomer.key_package())
    root = room.follower.tree.parent(NodeIndex(7))

    def copy(applied: AppliedProposals) -> AppliedProposals:
        nodes = nodes_of(applied.tree)
        assert len(nodes) == 31
        nodes[15] = root
        return replace(applied, tree=tree_of(SUITE, nodes))

    assert alice.stage(addition).applied.tree.is_blank(NodeIndex(15))
    message = forge_commit(alice, addition, with_path=False, alter_applied=copy)
    refuse_commit(room, message, "CP-10", in_public=False)


# Removals and Updates


@pytest.mark.breaks("TR-09")
def test_whoever_leaves_keys_above_a_removed_member_is_alone(room: Room) -> None:
    alice, leaver = room.members[0], room.members[6]
    room.members.remove(leaver)
    refuse_commit(room, forge_commit(alice, Remove(leaver.leaf), alter_applied=keeping(room, 11)), "UP-04")
    refuse_commit(room, forge_commit(alice, Remove(leaver.leaf), alter_applied=keeping(room, 13)), "UP-09")


@pytest.mark.breaks("TR-09", "TR-10")
def test_whoever_does_not_truncate_is_alone(rng: random.Random) -> None:
    room = full_room(rng, "abcdefghi")
    alice, *_, last = room.members
    room.members.remove(last)
    root = room.follower.tree.parent(NodeIndex(15))
    assert root is not None
    assert alice.stage(Remove(last.leaf)).applied.tree.width == 8
    for kept in (None, root):

        def widen(applied: AppliedProposals, kept: ParentNode | None = kept) -> AppliedProposals:
            return replace(applied, tree=widened(applied.tree, kept))

        refuse_opening(room, forge_commit(alice, Remove(last.leaf), alter_applied=widen))
    # Nor is there an encoding for a root that stayed although its right half is blank.
    with refusing("TR-18"):
        RatchetTree.decode(SUITE, widened(room.follower.tree.remove(last.leaf), root).encode())


@pytest.mark.breaks("TR-11")
def test_whoever_truncates_only_where_nobody_is_added_is_alone(rng: random.Random, newcomer: Party) -> None:
    room = full_room(rng, "abcdefghi")
    alice, *leavers = room.members
    room.members = [alice, *leavers[:3]]
    package = newcomer.key_package()

    def defer(applied: AppliedProposals) -> AppliedProposals:
        assert applied.tree.width == 8
        return replace(applied, tree=widened(applied.tree))

    removals = [Remove(party.leaf) for party in leavers[3:]]
    refuse_opening(room, forge_commit(alice, Add(package), *removals, alter_applied=defer))


@pytest.mark.breaks("TR-12", "UP-13")
def test_whoever_leaves_keys_above_an_updated_leaf_is_alone(room: Room) -> None:
    alice, _, carol, *_ = room.members
    reference = room.propose(carol, fresh_update(carol))
    refuse_commit(room, forge_commit(alice, reference, alter_applied=keeping(room, 5)), "UP-04")


@pytest.mark.breaks("TR-13")
def test_whoever_lists_a_removed_member_as_unmerged_is_alone(room: Room, newcomer: Party) -> None:
    alice, erin, fay = room.members[0], room.members[4], room.members[5]
    room.commit(erin, Remove(fay.leaf), leavers=[fay])
    room.add(alice, newcomer, force_path=False)
    parent = room.follower.tree.parent(NodeIndex(11))
    assert parent is not None
    assert parent.unmerged_leaves == (newcomer.leaf,) == (5,)
    room.members.remove(newcomer)
    removal = Remove(newcomer.leaf)
    assert alice.stage(removal).applied.tree.is_blank(NodeIndex(11))
    refuse_commit(room, forge_commit(alice, removal, alter_applied=keeping(room, 11)), "UP-04")


# Paths


def in_node(number: int, alter: Callable[[UpdatePathNode], UpdatePathNode]) -> Callable[[UpdatePath], UpdatePath]:
    def change(path: UpdatePath) -> UpdatePath:
        nodes = list(path.nodes)
        nodes[number] = alter(nodes[number])
        return replace(path, nodes=tuple(nodes))

    return change


@pytest.mark.breaks("TR-02")
def test_whoever_resolves_a_node_after_its_unmerged_leaves_is_not_understood(holed: Room, newcomer: Party) -> None:
    alice, carol, dan, erin, *_ = holed.members
    holed.add(carol, newcomer, force_path=False)
    tree = holed.follower.tree
    assert tree.resolution(NodeIndex(3)) == (3, 2)

    def swap(node: UpdatePathNode) -> UpdatePathNode:
        sealed = list(node.encrypted_path_secret)
        assert len(sealed) == 2
        return replace(node, encrypted_path_secret=Lazy.pack(HPKECiphertext, sealed[::-1]))

    # Seen from the right half, the left one is a node with an unmerged leaf.
    for party in (alice, carol, dan, newcomer):
        with refusing(None, party):
            party.receive(forge_commit(erin, alter_path=in_node(2, swap)))
    holed.commit(erin)


@pytest.mark.breaks("TR-03")
def test_whoever_keeps_a_node_with_nobody_else_below_it_in_its_path_is_alone(holed: Room) -> None:
    alice, key = holed.members[0], SUITE.derive_key_pair(bytes(32)).public_key

    def extend(path: UpdatePath) -> UpdatePath:
        return replace(path, nodes=(UpdatePathNode(key, Lazy.pack(HPKECiphertext, [])), *path.nodes))

    assert holed.follower.tree.filtered_direct_path(alice.leaf) == (3, 7)
    refuse_commit(holed, forge_commit(alice, alter_path=extend), "UP-03")


@pytest.mark.breaks("UP-08")
def test_whoever_keeps_unmerged_leaves_in_the_nodes_of_its_path_is_alone(holed: Room, newcomer: Party) -> None:
    alice, carol, *_ = holed.members
    holed.add(carol, newcomer, force_path=False)

    def keep(staged: StagedPath) -> StagedPath:
        nodes = nodes_of(staged.tree)
        for number in (3, 7):
            node = nodes[number]
            assert isinstance(node, ParentNode)
            nodes[number] = replace(node, unmerged_leaves=(newcomer.leaf,))
        return replace(staged, tree=tree_of(SUITE, nodes))

    refuse_opening(holed, forge_commit(alice, alter_staged=keep))
    holed.commit(alice)


@pytest.mark.breaks("TR-33", "UP-09", "UP-03")
def test_a_lone_member_has_no_node_to_put_a_key_into(rng: random.Random) -> None:
    room, (alice,) = room_of(rng, "a")
    key = SUITE.derive_key_pair(bytes(32)).public_key
    node = UpdatePathNode(key, Lazy.pack(HPKECiphertext, []))
    refuse_commit(room, forge_commit(alice, alter_path=lambda path: replace(path, nodes=(node,))), "UP-03")
    wrong = CommitSource(SUITE.hash(b""))
    refuse_commit(room, forge_commit(alice, alter_leaf=partial(replace, source=wrong)), "UP-09")
    room.commit(alice)


@pytest.mark.breaks("UP-15")
@pytest.mark.parametrize("label", [None, "node", "commit"])
def test_whoever_derives_another_commit_secret_is_alone(room: Room, label: str | None) -> None:
    def alter(staged: StagedPath) -> StagedPath:
        last = staged.last_path_secret
        return replace(staged, commit_secret=last if label is None else SUITE.derive_secret(last, label))

    refuse_commit(room, forge_commit(room.members[0], alter_staged=alter), "CP-10", in_public=False)

    def derive(staged: StagedPath) -> StagedPath:
        return replace(staged, commit_secret=SUITE.derive_secret(staged.last_path_secret, "path"))

    room.members[1].process(forge_commit(room.members[0], alter_staged=derive))


# Hashes


class ByNodeIndex(TreeModel):
    """Numbers the leaves as nodes."""

    def tree_hash(self, index: int | None = None, without: frozenset[int] = frozenset()) -> bytes:
        if index is None or index % 2:
            return super().tree_hash(index, without)
        node = self.nodes[index]
        return SUITE.hash(b"\x01" + index.to_bytes(4, "big") + (b"\x00" if node is None else b"\x01" + encode(node)))


class Untyped(TreeModel):
    """Says of no node whether it is a leaf."""

    def tree_hash(self, index: int | None = None, without: frozenset[int] = frozenset()) -> bytes:
        index = self.root if index is None else index
        node = self.nodes[index]
        present = b"\x00" if node is None else b"\x01" + encode(node)
        if index % 2 == 0:
            return SUITE.hash((index // 2).to_bytes(4, "big") + present)
        step = (index + 1 & ~index) // 2
        return SUITE.hash(present + b"".join(encode_opaque(self.tree_hash(child)) for child in (index - step, index + step)))


class Unblank(TreeModel):
    """Leaves blank halves out, as they are on the wire."""

    def tree_hash(self, index: int | None = None, without: frozenset[int] = frozenset()) -> bytes:
        index = self.root if index is None else index
        step = (index + 1 & ~index) // 2
        if step and not any(self.nodes[index + 1 : index + 2 * step]):
            return self.tree_hash(index - step)
        return super().tree_hash(index, without)


@pytest.mark.parametrize(
    ("rule", "model"),
    [("TR-14", ByNodeIndex), ("TR-14", Untyped), ("TR-15", Unblank)],
    ids=["node index", "no type", "no blanks"],
)
def test_whoever_hashes_trees_differently_invites_nobody(room: Room, newcomer: Party, rule: str, model: type[TreeModel]) -> None:
    alice = room.members[0]
    staged = alice.stage(Add(newcomer.key_package()))
    assert staged.welcome is not None
    nodes: list[TreeNode] = nodes_of(staged.state.public.tree)
    assert TreeModel(nodes).tree_hash() == staged.state.public.tree.tree_hash
    own = model(nodes).tree_hash()
    welcome = forge_welcome(newcomer, alice, staged.welcome, alter_context=lambda context: replace(context, tree_hash=own))
    with refusing("WL-11"):
        newcomer.join(welcome)
    newcomer.join(forge_welcome(newcomer, alice, staged.welcome))


@pytest.mark.breaks("TR-19", "WL-11")
@pytest.mark.parametrize("inline", [True, False])
def test_a_tree_that_the_group_did_not_agree_on_is_refused_however_it_comes(room: Room, newcomer: Party, inline: bool) -> None:
    alice = room.members[0]
    # Without a path, so that all of the tree is sound but not what the epoch has.
    staged = alice.stage(Add(newcomer.key_package()), welcome_with_tree=inline)
    assert staged.welcome is not None
    agreed = staged.state.public.tree
    other = agreed.remove(LeafIndex(3)).encode()

    if inline:
        welcome = forge_welcome(
            newcomer,
            alice,
            staged.welcome,
            alter_info=lambda info: replace(
                info,
                extensions=tuple(
                    replace(item, extension_data=other) if item.extension_data == agreed.encode() else item
                    for item in info.extensions
                ),
            ),
        )
        with refusing("WL-11"):
            newcomer.join(welcome)
        newcomer.join(staged.welcome)
    else:
        with refusing("WL-11"):
            newcomer.join(staged.welcome, other)
        newcomer.join(staged.welcome, agreed.encode())
