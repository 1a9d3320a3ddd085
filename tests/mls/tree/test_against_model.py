"""Random histories of a group, in the tree of `dmls` and in one written straight from the RFC's text."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmls.ids import LeafIndex, NodeIndex
from dmls.mls.codec import decode, encode, encode_as
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.messages.commit import UpdatePath
from dmls.mls.messages.credential import Credential
from dmls.mls.messages.leaf_node import Capabilities, CommitSource
from dmls.mls.tree.nodes import ParentNode
from dmls.mls.tree.ratchet_tree import RatchetTree
from dmls.mls.tree.storage import LoadedTrees, load_tree, new_nodes, reachable
from dmls.mls.tree.treekem import derive_from, merge_path, open_path, path_secret_for, seal_path, stage_path
from dmls.mls.tree.validation import validate_tree
from tests.support.tree import GROUP_ID, Member, leaf_maker, make_member, updated_member
from tests.support.tree_model import TreeModel

SUITE = cipher_suite(1)

picks = st.integers(0, 2**16)
steps = st.one_of(
    st.tuples(st.just("add"), st.integers(1, 9), picks),
    st.tuples(st.just("remove"), st.integers(1, 5), picks),
    st.tuples(st.just("update"), st.just(1), picks),
    st.tuples(st.just("commit"), st.integers(0, 3), picks),
    st.tuples(st.just("rejoin"), st.just(0), picks),
)


@dataclass
class Version:
    tree: RatchetTree
    model: TreeModel
    encoding: bytes


@dataclass
class World:
    """A group with all its members' private keys, followed by both trees."""

    rng: random.Random
    tree: RatchetTree
    model: TreeModel
    members: dict[LeafIndex, Member]
    keys: dict[LeafIndex, dict[bytes, Secret]]
    store: dict[bytes, bytes] = field(default_factory=dict)
    versions: list[Version] = field(default_factory=list)
    encryption_keys: set[bytes] = field(default_factory=set)
    signature_keys: set[bytes] = field(default_factory=set)
    credentials: set[bytes] = field(default_factory=set)
    made: int = 1

    @classmethod
    def found(cls, seed: int) -> World:
        rng = random.Random(seed)
        founder = make_member(SUITE, rng, "user 0")
        tree = RatchetTree.create(SUITE, founder.leaf_node)
        keys = {LeafIndex(0): {founder.leaf_node.encryption_key: founder.encryption_key}}
        return cls(rng, tree, TreeModel([founder.leaf_node]), {LeafIndex(0): founder}, keys)

    def make_members(self, count: int) -> list[Member]:
        members = []
        for _ in range(count):
            listed = tuple(self.rng.choices((7, 8, 9), k=2))
            capabilities = Capabilities((1,), (1,), listed, listed, (1, *listed))
            # Some members share a credential.
            members.append(make_member(SUITE, self.rng, f"user {self.made // 2}", capabilities))
            self.made += 1
        return members

    def pick(self, pick: int) -> LeafIndex:
        return sorted(self.members)[pick % len(self.members)]

    def add(self, count: int, pick: int) -> frozenset[LeafIndex]:
        members = self.make_members(count)
        if pick % 2:
            self.tree, indices = self.tree.add_all(member.leaf_node for member in members)
        else:
            found = []
            for member in members:
                self.tree, index = self.tree.add(member.leaf_node)
                found.append(index)
            indices = tuple(found)
        assert indices == tuple(self.model.add(member.leaf_node) for member in members)
        for index, member in zip(indices, members, strict=True):
            self.members[index] = member
            self.keys[index] = {member.leaf_node.encryption_key: member.encryption_key}
        return frozenset(indices)

    def remove(self, count: int, pick: int) -> None:
        leaving = random.Random(pick).sample(sorted(self.members), min(count, len(self.members) - 1))
        one_by_one = self.tree
        for index in leaving:
            one_by_one = one_by_one.remove(index)
            self.model.remove(index)
            del self.members[index], self.keys[index]
        self.tree = self.tree.remove_all(leaving)
        assert self.tree == one_by_one

    def update(self, count: int, pick: int) -> None:
        index = self.pick(pick)
        member = updated_member(SUITE, self.rng, self.members[index], index)
        self.members[index] = member
        self.keys[index][member.leaf_node.encryption_key] = member.encryption_key
        self.tree = self.tree.update(index, member.leaf_node)
        self.model.update(index, member.leaf_node)

    def commit(self, count: int, pick: int, sender: LeafIndex | None = None) -> None:
        """Commit with a path, and with `count` additions."""
        sender = self.pick(pick) if sender is None else sender
        added = self.add(count, pick)
        before = self.tree
        context = self.rng.randbytes(20)
        maker = leaf_maker(SUITE, self.members[sender], sender)
        staged = stage_path(before, sender, maker, self.rng.randbytes)
        assert list(staged.nodes) == self.model.filtered_direct_path(sender)
        parent_hash = self.model.apply_path(sender, staged.public_keys)
        self.model.nodes[2 * sender] = staged.leaf_node
        assert staged.leaf_node.source == CommitSource(parent_hash)

        path = decode(UpdatePath, encode(seal_path(before, staged, added, context, self.rng.randbytes)))
        for node, above in zip(path.nodes, staged.nodes, strict=True):
            resolution = before.resolution(before_child(before, above, sender))
            receivers = [index for index in resolution if index // 2 not in added or index % 2]
            assert len(list(node.encrypted_path_secret)) == len(receivers)
        self.tree = merge_path(before, sender, path, excluded=added)
        assert self.tree == staged.tree
        assert before.encode() != self.tree.encode()

        old = sorted(self.members.keys() - added - {sender})
        opened = [open_path(before, self.tree, sender, path, added, self.keys[index], {index}, context) for index in old]
        if old:
            some = self.rng.sample(old, self.rng.randint(1, len(old)))
            ring = {key: value for index in some for key, value in self.keys[index].items()}
            agent = open_path(before, self.tree, sender, path, added, ring, {*some, *added}, context)
            assert agent.private_keys == max((opened[old.index(index)].private_keys for index in some), key=len)
        for index in added:
            secret = path_secret_for(staged, index)
            opened.append(derive_from(self.tree, index, sender, secret))
        for index, learned in zip((*old, *added), opened, strict=True):
            assert learned.commit_secret == staged.commit_secret
            assert learned.last_path_secret == staged.last_path_secret
            self.keys[index].update(learned.private_keys)
        self.keys[sender].update(staged.private_keys)

    def rejoin(self, count: int, pick: int) -> None:
        """A member replaces itself by external commit."""
        index = self.pick(pick)
        self.tree = self.tree.remove(index)
        self.model.remove(index)
        del self.members[index], self.keys[index]
        (place,) = self.add(1, pick)
        self.commit(0, pick, place)

    def check(self) -> None:
        tree, model = self.tree, self.model
        assert tree.encode() == model.encode()
        assert tree.tree_hash == model.tree_hash()
        assert tree.width == len(model.nodes[::2])
        assert dict(tree.members()).keys() == self.members.keys()
        assert tree.member_count == len(self.members)
        for number, node in enumerate(model.nodes):
            index = NodeIndex(number)
            assert tree.is_blank(index) == (node is None)
            assert list(tree.resolution(index)) == model.resolution(index)
            if isinstance(node, ParentNode):
                assert tree.parent(index) == node
                assert model.is_parent_hash_valid(index)
            elif node is not None:
                assert tree.leaf(LeafIndex(number // 2)) == node
                assert list(tree.filtered_direct_path(LeafIndex(number // 2))) == model.filtered_direct_path(number // 2)
        self.check_lookups()
        validate_tree(tree, GROUP_ID)
        self.check_private_keys()

    def check_lookups(self) -> None:
        leaves = dict(self.tree.members())
        present = {node.encryption_key for node in self.model.nodes if node is not None}
        self.encryption_keys |= present
        self.signature_keys |= {leaf.signature_key for leaf in leaves.values()}
        self.credentials |= {encode_as(Credential, leaf.credential) for leaf in leaves.values()}
        for key in self.encryption_keys:
            assert self.tree.has_encryption_key(key) == (key in present)
        for key in self.signature_keys:
            holders = [index for index, leaf in leaves.items() if leaf.signature_key == key]
            assert self.tree.find_signature_key(key) == (holders[0] if holders else None)
        for credential in self.credentials:
            holders = [index for index, leaf in leaves.items() if encode_as(Credential, leaf.credential) == credential]
            assert self.tree.find_credential(credential) == tuple(holders)
        assert self.tree.find_signature_key(b"nobody's") is None
        assert not self.tree.has_encryption_key(b"nobody's")
        listed = [leaf.capabilities for leaf in leaves.values()]
        assert self.tree.credential_types == {1}
        assert self.tree.supported_credentials == set.intersection(*(set(entry.credentials) for entry in listed))
        assert self.tree.supported_extensions == set.intersection(*(set(entry.extensions) for entry in listed))
        assert self.tree.supported_proposals == set.intersection(*(set(entry.proposals) for entry in listed))

    def check_private_keys(self) -> None:
        """A member holds the keys of its ancestors that do not list it as unmerged, and no others (rule TR-04)."""
        for index, keys in self.keys.items():
            above = [self.model.nodes[node] for node in self.model.direct_path(2 * index)]
            expected = {
                node.encryption_key for node in above if isinstance(node, ParentNode) and index not in node.unmerged_leaves
            }
            leaf = self.tree.leaf(index)
            assert leaf is not None
            held = {node.encryption_key for node in self.model.nodes if node is not None} & keys.keys()
            assert held == expected | {leaf.encryption_key}

    def save(self) -> None:
        rows = dict(new_nodes(self.tree, self.store.__contains__))
        assert not rows.keys() & self.store.keys()
        self.store |= rows
        assert set(reachable(self.tree)) <= self.store.keys()
        self.versions.append(Version(self.tree, self.model.copy(), self.tree.encode()))

    def check_versions(self) -> None:
        """Old versions are as they were, and come back from their rows and from their encoding."""
        loaded = LoadedTrees()
        for version in self.versions:
            assert version.tree.encode() == version.encoding == version.model.encode()
            tree = load_tree(SUITE, version.tree.tree_hash, version.tree.width, self.store.__getitem__, loaded)
            assert tree == version.tree
            assert tree.encode() == version.encoding
            decoded = RatchetTree.decode(SUITE, version.encoding)
            assert decoded == version.tree
            for key in self.encryption_keys:
                expected = version.tree.has_encryption_key(key)
                assert tree.has_encryption_key(key) == decoded.has_encryption_key(key) == expected


def before_child(tree: RatchetTree, above: NodeIndex, sender: LeafIndex) -> NodeIndex:
    return next(sibling.index for index, sibling in tree.filtered_copath(sender) if index == above)


def run(seed: int, history: Iterable[tuple[str, int, int]]) -> World:
    world = World.found(seed)
    world.check()
    world.save()
    for name, count, pick in history:
        getattr(world, name)(count, pick)
        world.check()
        world.save()
    world.check_versions()
    return world


@pytest.mark.keeps("TR-02", "TR-03", "TR-04", "TR-14", "TR-20", "TR-24", "UP-01", "UP-04", "UP-08")
@settings(max_examples=2 * settings().max_examples)
@given(st.lists(steps, min_size=6, max_size=16), st.integers(0, 2**32))
def test_any_history_agrees_with_the_text_of_the_rfc(history: list[tuple[str, int, int]], seed: int) -> None:
    run(seed, history)


@pytest.mark.keeps("TR-06", "TR-09", "TR-11", "TR-12", "TR-13", "TR-21", "TR-25", "UP-10")
def test_a_long_history_agrees_with_the_text_of_the_rfc(seed: int, rng: random.Random) -> None:
    names = ("add", "add", "remove", "update", "commit", "commit", "commit", "rejoin")
    history = [(rng.choice(names), rng.randint(0, 4), rng.randrange(2**16)) for _ in range(150)]
    world = run(seed, history)
    assert max(version.tree.width for version in world.versions) >= 16
