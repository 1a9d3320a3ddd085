"""Commits of members that come to another tree: nobody follows them (RFC 9420, Sections 7.7, 7.8, 12.1 and 12.3)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from dmls.ids import LeafIndex, NodeIndex
from dmls.mls.codec import encode_opaque
from dmls.mls.crypto.suites import CipherSuite, cipher_suite
from dmls.mls.group.applied import AppliedProposals
from dmls.mls.messages.leaf_node import LeafNode
from dmls.mls.messages.message import Member
from dmls.mls.messages.proposal import Add, Remove
from dmls.mls.tree.hashes import tree_hash
from dmls.mls.tree.nodes import Blank, Parent, ParentNode
from dmls.mls.tree.ratchet_tree import RatchetTree
from dmls.mls.tree.treekem import StagedPath
from tests.support.forge import TreeNode, forge_commit, forge_external_commit, forge_message, nodes_of, tree_of
from tests.support.groups import fresh_update
from tests.support.negative.deviant import deviant_party
from tests.support.negative.model import Attempt, Scene, messages
from tests.support.negative.stand import Stand

__all__ = ["scenes"]

SUITE = cipher_suite(1)


def scenes(rng: random.Random) -> Iterator[Scene]:
    """Make the scenes of this area."""
    yield _additions(rng)
    yield _removals(rng)
    yield _hashes(rng)
    yield _merges(rng)
    yield _histories(rng)


def _with_tree(tree: RatchetTree, *places: int) -> Callable[[AppliedProposals], AppliedProposals]:
    """Another tree, with what was added at other places."""

    def alter(applied: AppliedProposals) -> AppliedProposals:
        packages = [package for _, package in applied.added]
        return replace(applied, tree=tree, added=tuple(zip(map(LeafIndex, places), packages, strict=True)))

    return alter


def _additions(rng: random.Random) -> Scene:
    stand = Stand(rng, "abcdefgw", renewed="acegbdf")
    alice = stand["a"]
    for name in "bd":
        stand.commit(alice, Remove(stand[name].leaf), leavers=[stand[name]])
    for name in "ace":
        stand.commit(stand[name])
    tree = stand.follower.tree
    package = stand.newcomer().key_package()
    leaf = package.leaf_node
    scene = stand.scene("where an Add comes in")

    def added(nodes: list[TreeNode], place: int) -> Attempt:
        altered = _with_tree(tree_of(SUITE, nodes), place)
        return messages(forge_commit(alice, Add(package), with_path=False, alter_applied=altered))

    right = nodes_of(tree.add(leaf)[0])
    scene.accept(**added(right, 1))
    at_three = nodes_of(tree)
    at_three[6] = leaf
    for index in (3, 7):
        parent = at_three[index]
        assert isinstance(parent, ParentNode)
        at_three[index] = replace(parent, unmerged_leaves=(3,))
    scene.refuse("TR-07", "the second blank leaf from the left is taken", noticed="CP-10", **added(at_three, 3))
    unlisted = list(right)
    for index in (3, 7):
        parent = unlisted[index]
        assert isinstance(parent, ParentNode)
        unlisted[index] = replace(parent, unmerged_leaves=())
    scene.refuse("TR-06", "the new leaf is not listed above", noticed="CP-10", **added(unlisted, 1))
    topless = list(right)
    topless[7] = nodes_of(tree)[7]
    scene.refuse("TR-06", "the new leaf is listed in one of two nodes above", noticed="CP-10", **added(topless, 1))
    blanked = list(right)
    for index in (3, 7):
        blanked[index] = None
    scene.refuse("TR-06", "the nodes above a new leaf are blanked", noticed="CP-10", **added(blanked, 1))
    return scene


def _removals(rng: random.Random) -> Scene:
    stand = Stand(rng, "abcwe", renewed="acbe")
    alice, carol = stand["a"], stand["c"]
    scene = stand.scene("what Removes and Updates leave of the tree")
    tree = stand.follower.tree

    def widened(applied: AppliedProposals) -> AppliedProposals:
        root = Parent(NodeIndex(7), applied.tree.root, Blank(NodeIndex(11)), None)
        return replace(applied, tree=RatchetTree(SUITE, root))

    def unblanked(leaf: int, content: LeafNode | None) -> Callable[[AppliedProposals], AppliedProposals]:
        def alter(applied: AppliedProposals) -> AppliedProposals:
            nodes = nodes_of(tree)
            nodes[2 * leaf] = content
            return replace(applied, tree=tree_of(SUITE, nodes))

        return alter

    last, second = Remove(stand["e"].leaf), Remove(stand["b"].leaf)
    scene.accept(**messages(forge_commit(alice, last)))
    scene.accept(**messages(forge_commit(carol, second)))
    wide = forge_commit(alice, last, alter_applied=widened)
    scene.refuse("TR-09", "the tree is not truncated", noticed=None, **messages(wide))
    kept = forge_commit(carol, second, alter_applied=unblanked(1, None))
    scene.refuse("TR-13", "the nodes above a Remove are not blanked", noticed="UP-09", **messages(kept))
    update = fresh_update(carol)
    proposal = forge_message(carol, update)
    scene.accept(**messages(*stand.refer(proposal)))
    kept_too = stand.refer(proposal, alter_applied=unblanked(2, update.leaf_node))
    scene.refuse("TR-12", "the nodes above an Update are not blanked", noticed="UP-04", **messages(*kept_too))
    return scene


def _hashes(rng: random.Random) -> Scene:
    stand = Stand(rng, "abcw", renewed="acb")
    alice = stand["a"]
    addition = Add(stand.newcomer().key_package())
    root = stand.follower.tree.parent(NodeIndex(3))
    scene = stand.scene("the tree after an Add that makes it grow")

    def hashed(alter: Callable[[bytes], bytes]) -> Attempt:
        def step(suite: CipherSuite, data: bytes) -> bytes:
            is_leaf = data[:1] == b"\x01" and data[5:6] == b"\x01"
            return suite.hash(alter(data) if is_leaf else data)

        return messages(forge_commit(deviant_party(alice, hash=step), addition, with_path=False))

    scene.accept(**hashed(lambda data: data))
    scene.refuse("TR-14", "leaves are hashed without their index", noticed="CP-10", **hashed(lambda data: data[:1] + data[5:]))
    scene.refuse("TR-14", "leaves are hashed without their type", noticed="CP-10", **hashed(lambda data: data[1:]))

    def copied(applied: AppliedProposals) -> AppliedProposals:
        nodes = nodes_of(applied.tree)
        nodes[7] = root
        return replace(applied, tree=tree_of(SUITE, nodes))

    def narrow(applied: AppliedProposals) -> AppliedProposals:
        return replace(applied, tree=_Narrow(SUITE, applied.tree.root))

    grown = forge_commit(alice, addition, with_path=False, alter_applied=copied)
    scene.refuse("TR-08", "the old root is copied to the new one", noticed="CP-10", **messages(grown))
    short = forge_commit(alice, addition, with_path=False, alter_applied=narrow)
    scene.refuse("TR-15", "blank leaves after the last member are not hashed", noticed="CP-10", **messages(short))
    return scene


class _Narrow(RatchetTree):
    """A tree whose hash is that of the array that is sent, cut after its last leaf."""

    @property
    def tree_hash(self) -> bytes:
        left, right = self.root.left, self.root.right  # type: ignore[union-attr]
        while isinstance(right, Parent):
            right = right.left
        hashes = b"".join(encode_opaque(tree_hash(self.suite, node)) for node in (left, right))
        return self.suite.hash(b"\x02\x00" + hashes)


def _merges(rng: random.Random) -> Scene:
    """What a path leaves of the nodes that were there."""
    stand = Stand(rng, "abcdw", renewed="acbd")
    alice = stand["a"]
    stand.add(alice, stand.newcomer("late"))
    root, leaf = stand.parent(7), stand.leaf("a")
    assert root.unmerged_leaves == (5,)
    scene = stand.scene("the tree after a path")

    def merged(index: int, content: Callable[[TreeNode], TreeNode]) -> Callable[[StagedPath], StagedPath]:
        def alter(staged: StagedPath) -> StagedPath:
            nodes = nodes_of(staged.tree)
            nodes[index] = content(nodes[index])
            return replace(staged, tree=tree_of(SUITE, nodes))

        return alter

    def listing(*leaves: int) -> Callable[[TreeNode], TreeNode]:
        def content(node: TreeNode) -> TreeNode:
            assert isinstance(node, ParentNode)
            return replace(node, unmerged_leaves=leaves)

        return content

    scene.accept(**messages(forge_commit(alice)))
    uncleared = forge_commit(alice, alter_staged=merged(7, listing(5)))
    scene.refuse("UP-08", "leaves stay unmerged at a node that a path has renewed", noticed=None, **messages(uncleared))
    old = forge_commit(alice, alter_staged=merged(0, lambda _: leaf))
    scene.refuse("UP-17", "the committer keeps its old leaf", noticed=None, **messages(old))
    joiner, info = stand.newcomer(), alice.group_info()
    scene.accept(**messages(forge_external_commit(joiner, stand.follower, info)))
    listed = forge_external_commit(joiner, stand.follower, info, alter_staged=merged(7, listing(6)))
    scene.refuse("XC-18", "who joins is unmerged at a node of its own path", noticed=None, **messages(listed))
    return scene


def _histories(rng: random.Random) -> Scene:
    """Members that joined with another past, and members that are none any more."""
    stand = Stand(rng, "abcdw", renewed="b")
    alice, bob, dan = stand["a"], stand["b"], stand["d"]
    proposed = stand.propose(dan, Remove(bob.leaf))
    before = dan.state
    stand.commit(alice, Remove(dan.leaf), leavers=[dan])
    addition = Add(stand.newcomer().key_package())
    scene = stand.scene("who commits, after what")
    scene.accept(**messages(forge_commit(bob, addition, with_path=False)))
    public = bob.state.public
    others = {
        "without the confirmation tag": SUITE.hash(public.context.confirmed_transcript_hash),
        "with the length of the confirmation tag left out": SUITE.hash(
            public.context.confirmed_transcript_hash + public.confirmation_tag
        ),
    }
    right = bob.state
    for name, interim in others.items():
        bob.state = replace(right, public=replace(public, interim_transcript_hash=interim))
        sent = forge_commit(bob, addition, with_path=False)
        scene.refuse("KS-08", f"an interim transcript hash {name}", noticed="CP-10", **messages(sent))
    bob.state = right
    dan.state = right
    gone = forge_commit(dan, addition, with_path=False, alter_content=partial(replace, sender=Member(3)))
    scene.refuse("CP-17", "a commit by somebody whose leaf is blank", noticed="FRM-04", **messages(gone))
    dan.state = before
    scene.refuse("CP-01", "a commit of the epoch that it was removed from", noticed="FRM-12", **messages(forge_commit(dan)))
    late = forge_commit(bob, proposed)
    scene.refuse("PR-18", "a proposal of somebody who has been removed since", noticed="PL-15", **messages(late))
    new = stand.newcomer("b")
    old_client, bob.client = bob.client, replace(new.client, credential=bob.client.credential)
    staged = bob.stage(force_path=True, signature_private_key=old_client.signature_private_key)
    bob.state = staged.state
    scene.accept(**messages(staged.message, forge_message(bob, Remove(0))))
    stale = forge_message(bob, Remove(0), signature_key=old_client.signature_private_key)
    scene.refuse(
        "LN-27", "a proposal signed with the key that a path has replaced", noticed="FRM-09", **messages(staged.message, stale)
    )
    return scene
