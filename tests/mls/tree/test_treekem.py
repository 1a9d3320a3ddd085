from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from dmls.errors import DecryptionError, DMLSError, InvalidCommitError, InvalidProposalError, InvalidWelcomeError, UsageError
from dmls.ids import LeafIndex, NodeIndex
from dmls.mls.codec import Lazy, decode, encode, encode_opaque
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CipherSuite, cipher_suite
from dmls.mls.messages.commit import HPKECiphertext, UpdatePath
from dmls.mls.messages.leaf_node import CommitSource, LeafNode, UpdateSource
from dmls.mls.tree.hashes import tree_hash
from dmls.mls.tree.nodes import Blank, Node
from dmls.mls.tree.parent_hash import make_path_nodes
from dmls.mls.tree.ratchet_tree import RatchetTree
from dmls.mls.tree.treekem import (
    OpenedPath,
    StagedPath,
    derive_from,
    merge_path,
    open_path,
    path_secret_for,
    seal_path,
    stage_path,
)
from tests.support.tree import GROUP_ID, Member, full_tree, leaf_maker, make_member, make_tree, renew_leaf, sign_leaf

SUITE = cipher_suite(1)
CONTEXT = b"group context"
NOBODY: frozenset[LeafIndex] = frozenset()
SENDER = LeafIndex(2)


@dataclass
class Scene:
    """A full tree of eight in which member 2 has made a path; `added` came with the same commit."""

    suite: CipherSuite
    rng: random.Random
    tree: RatchetTree
    members: list[Member]
    keys: dict[bytes, Secret]
    added: frozenset[LeafIndex]
    staged: StagedPath
    path: UpdatePath

    @classmethod
    def make(
        cls,
        rng: random.Random,
        size: int = 8,
        suite: CipherSuite = SUITE,
        additions: int = 0,
        before: Callable[[RatchetTree], RatchetTree] | None = None,
    ) -> Scene:
        tree, members, keys = full_tree(suite, rng, size)
        tree = tree if before is None else before(tree)
        newcomers = [make_member(suite, rng, f"new {number}") for number in range(additions)]
        tree, added = tree.add_all(member.leaf_node for member in newcomers)
        keys.update((member.leaf_node.encryption_key, member.encryption_key) for member in newcomers)
        staged = stage_path(tree, SENDER, leaf_maker(suite, members[SENDER], SENDER), rng.randbytes)
        path = seal_path(tree, staged, frozenset(added), CONTEXT, rng.randbytes)
        return cls(suite, rng, tree, members, keys, frozenset(added), staged, path)

    def merge(self, path: UpdatePath | None = None) -> RatchetTree:
        return merge_path(self.tree, SENDER, path or self.path, excluded=self.added)

    def open(self, *own: int, path: UpdatePath | None = None, keys: dict[bytes, Secret] | None = None) -> OpenedPath:
        path = path or self.path
        merged = merge_path(self.tree, SENDER, path)
        own_leaves = frozenset(map(LeafIndex, own))
        return open_path(self.tree, merged, SENDER, path, self.added, self.keys if keys is None else keys, own_leaves, CONTEXT)

    def with_node(self, number: int, **changes: object) -> UpdatePath:
        """Change one node of the path, and make parent hashes and signature right again."""
        nodes = list(self.path.nodes)
        nodes[number] = replace(nodes[number], **changes)  # type: ignore[arg-type]
        return self.seal_leaf(UpdatePath(self.path.leaf_node, tuple(nodes)))

    def seal_leaf(self, path: UpdatePath, **changes: object) -> UpdatePath:
        siblings = [sibling for _, sibling in self.tree.filtered_copath(SENDER)]
        _, parent_hash = make_path_nodes(self.suite, siblings, [node.encryption_key for node in path.nodes])
        leaf = replace(path.leaf_node, source=CommitSource(parent_hash))
        leaf = replace(leaf, **changes)  # type: ignore[arg-type]
        leaf = sign_leaf(self.suite, leaf, self.members[SENDER].signing_key, GROUP_ID, SENDER)
        return UpdatePath(leaf, path.nodes)

    def new_key(self) -> bytes:
        return self.suite.derive_key_pair(self.rng.randbytes(self.suite.hash_size)).public_key

    def refuses(self, path: UpdatePath, rule: str) -> None:
        before = self.tree.encode()
        with pytest.raises(InvalidCommitError) as caught:
            self.merge(path)
        assert caught.value.rule == rule
        assert self.tree.encode() == before


# Making


@pytest.mark.keeps("UP-01", "UP-15")
def test_a_path_has_fresh_keys_and_its_secrets_follow_from_each_other(rng: random.Random) -> None:
    scene = Scene.make(rng)
    staged = scene.staged
    assert staged.nodes == (5, 3, 7) == scene.tree.filtered_direct_path(SENDER)
    for below, above in zip(staged.path_secrets, (*staged.path_secrets[1:], staged.commit_secret), strict=True):
        assert SUITE.derive_secret(below, "path") == above
    assert staged.last_path_secret == staged.path_secrets[-1]
    for key, secret in zip(staged.public_keys, staged.path_secrets, strict=True):
        pair = SUITE.derive_key_pair(SUITE.derive_secret(secret, "node"))
        assert (pair.public_key, pair.private_key) == (key, staged.private_keys[key])
    leaf_key = staged.private_keys[staged.leaf_node.encryption_key]
    assert SUITE.public_key(leaf_key) == staged.leaf_node.encryption_key
    assert len(staged.private_keys) == 4
    assert staged.tree.leaf(SENDER) == staged.leaf_node


def test_a_path_is_made_again_from_the_same_randomness(rng: random.Random) -> None:
    tree, members, _ = full_tree(SUITE, rng, 5)

    def make(seed: int) -> bytes:
        source = random.Random(seed)
        staged = stage_path(tree, SENDER, leaf_maker(SUITE, members[SENDER], SENDER), source.randbytes)
        return encode(seal_path(tree, staged, NOBODY, CONTEXT, source.randbytes))

    assert make(1) == make(1) != make(2)


@pytest.mark.keeps("TR-33", "UP-15")
def test_a_lone_member_has_an_empty_path_and_still_a_commit_secret(rng: random.Random) -> None:
    tree, members, _ = full_tree(SUITE, rng, 1)
    sender = LeafIndex(0)
    staged = stage_path(tree, sender, leaf_maker(SUITE, members[0], sender), rng.randbytes)
    assert (staged.nodes, staged.path_secrets, staged.public_keys) == ((), (), ())
    assert staged.leaf_node.source == CommitSource(b"")
    assert staged.commit_secret == SUITE.derive_secret(staged.last_path_secret, "path")
    path = seal_path(tree, staged, NOBODY, CONTEXT, rng.randbytes)
    assert path.nodes == ()
    assert merge_path(tree, sender, path, excluded=NOBODY) == staged.tree


@pytest.mark.keeps("UP-05")
def test_an_addition_to_an_empty_half_is_in_the_path_with_nobody_to_seal_to(rng: random.Random) -> None:
    tree, members, _ = full_tree(SUITE, rng, 1)
    sender = LeafIndex(0)
    tree, index = tree.add(make_member(SUITE, rng, "new").leaf_node)
    staged = stage_path(tree, sender, leaf_maker(SUITE, members[0], sender), rng.randbytes)
    assert staged.nodes == (1,)
    path = seal_path(tree, staged, frozenset((index,)), CONTEXT, rng.randbytes)
    assert [node.encrypted_path_secret.data for node in path.nodes] == [b""]
    merged = merge_path(tree, sender, path, excluded=frozenset((index,)))
    joined = derive_from(merged, index, sender, path_secret_for(staged, index))
    assert joined.commit_secret == staged.commit_secret


def test_secrets_are_not_in_a_repr(rng: random.Random) -> None:
    scene = Scene.make(rng)
    opened = scene.open(0)
    for value in (scene.staged, opened):
        text = repr(value)
        assert scene.staged.commit_secret.hex() not in text
        assert str(bytes(scene.staged.commit_secret)) not in text
        assert "object at" in text


@pytest.mark.parametrize("index", [1, 8, 2**32 - 1])
def test_only_a_member_makes_a_path(index: int, rng: random.Random) -> None:
    tree, members, _ = full_tree(SUITE, rng, 6)
    tree = tree.remove(LeafIndex(1))
    with pytest.raises((InvalidProposalError, UsageError)):
        stage_path(tree, LeafIndex(index), leaf_maker(SUITE, members[0], LeafIndex(0)), rng.randbytes)


def test_a_path_secret_is_told_for_leaves_under_the_path_only(rng: random.Random) -> None:
    scene = Scene.make(rng)
    assert path_secret_for(scene.staged, LeafIndex(3)) == scene.staged.path_secrets[0]
    assert path_secret_for(scene.staged, LeafIndex(0)) == scene.staged.path_secrets[1]
    assert path_secret_for(scene.staged, LeafIndex(7)) == scene.staged.path_secrets[2]
    with pytest.raises(UsageError):
        path_secret_for(scene.staged, LeafIndex(8))


# Merging


@pytest.mark.keeps("UP-01", "UP-10", "UP-12")
@pytest.mark.parametrize("suite", [cipher_suite(number) for number in range(1, 8)], ids=str)
def test_everybody_learns_the_same_in_every_suite(suite: CipherSuite, rng: random.Random) -> None:
    scene = Scene.make(rng, 5, suite, additions=2)
    path = decode(UpdatePath, encode(scene.path))
    merged = scene.merge(path)
    assert merged == scene.staged.tree
    for leaf in (0, 1, 3, 4):
        opened = scene.open(leaf, path=path)
        assert opened.commit_secret == scene.staged.commit_secret
    for index in scene.added:
        opened = derive_from(merged, index, SENDER, path_secret_for(scene.staged, index))
        assert opened.commit_secret == scene.staged.commit_secret
        assert opened.private_keys.items() <= scene.staged.private_keys.items()


@pytest.mark.breaks("UP-03")
def test_the_number_of_nodes_is_that_of_the_filtered_path(rng: random.Random) -> None:
    scene = Scene.make(rng)
    leaf, nodes = scene.path.leaf_node, scene.path.nodes
    for wrong in ((), nodes[:-1], nodes[1:], (*nodes, replace(nodes[0], encryption_key=scene.new_key()))):
        scene.refuses(UpdatePath(leaf, wrong), "UP-03")


@pytest.mark.breaks("UP-03", "TR-03")
def test_a_filtered_node_is_not_in_the_path(rng: random.Random) -> None:
    scene = Scene.make(rng, before=lambda tree: tree.remove(LeafIndex(3)))
    assert scene.staged.nodes == (3, 7)
    extra = replace(scene.path.nodes[0], encryption_key=scene.new_key())
    scene.refuses(UpdatePath(scene.path.leaf_node, (extra, *scene.path.nodes)), "UP-03")


@pytest.mark.breaks("UP-04")
@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_numbers_of_ciphertexts_are_those_of_the_recipients(number: int, rng: random.Random) -> None:
    scene = Scene.make(rng, 7, additions=1)
    assert [len(list(node.encrypted_path_secret)) for node in scene.path.nodes] == [1, 1, 1]
    sealed = list(scene.path.nodes[number].encrypted_path_secret)
    for wrong in ([], sealed * 2, [HPKECiphertext(sealed[0].kem_output + b"x", sealed[0].ciphertext)]):
        path = scene.with_node(number, encrypted_path_secret=Lazy.pack(HPKECiphertext, wrong))
        scene.refuses(path, "UP-04")


@pytest.mark.breaks("UP-04", "UP-05")
def test_a_path_sealed_to_a_leaf_added_with_it_is_refused(rng: random.Random) -> None:
    scene = Scene.make(rng, 7, additions=1)
    path = seal_path(scene.tree, scene.staged, NOBODY, CONTEXT, rng.randbytes)
    assert [len(list(node.encrypted_path_secret)) for node in path.nodes] == [1, 1, 2]
    scene.refuses(path, "UP-04")
    with pytest.raises(InvalidCommitError) as caught:
        scene.open(4, path=path)
    assert caught.value.rule == "UP-04"


@pytest.mark.breaks("UP-04")
@pytest.mark.parametrize("data", [b"\x00", b"\x20" + b"k" * 40, b"\xff" * 82, b"\x40\x00" * 41])
def test_ciphertexts_that_do_not_parse_are_refused_by_whom_they_are_for(data: bytes, rng: random.Random) -> None:
    scene = Scene.make(rng)
    template = scene.path.nodes[2].encrypted_path_secret
    path = decode(UpdatePath, encode(scene.with_node(2, encrypted_path_secret=replace_data(template, data))))
    with pytest.raises(InvalidCommitError) as caught:
        scene.open(7, path=path)
    assert caught.value.rule == "UP-04"


def replace_data(template: Lazy[HPKECiphertext], data: bytes) -> Lazy[HPKECiphertext]:
    return Lazy(data, template._decoder)


@pytest.mark.breaks("UP-09")
def test_the_leaf_holds_the_hash_of_its_path(rng: random.Random) -> None:
    scene = Scene.make(rng)
    for source in (CommitSource(b""), CommitSource(b"h" * 32)):
        scene.refuses(scene.seal_leaf(scene.path, source=source), "UP-09")
    scene.refuses(scene.seal_leaf(scene.path, source=UpdateSource()), "UP-09")


@pytest.mark.breaks("UP-11")
def test_no_key_of_a_path_is_in_the_tree_or_twice_in_the_path(rng: random.Random) -> None:
    scene = Scene.make(rng)
    used = [scene.tree.encryption_key(NodeIndex(node)) for node in (0, 1, 4, 5, 7, 13)]
    for key in (*used, scene.path.nodes[0].encryption_key, scene.path.leaf_node.encryption_key):
        scene.refuses(scene.with_node(1, encryption_key=key), "UP-11")
    for key in (*used, scene.path.nodes[2].encryption_key):
        scene.refuses(scene.seal_leaf(scene.path, encryption_key=key), "UP-11")


@pytest.mark.keeps("UP-11")
def test_a_key_that_a_proposal_took_out_may_come_back_in_a_path(rng: random.Random) -> None:
    scene = Scene.make(rng)
    key = scene.tree.encryption_key(NodeIndex(14))
    scene.tree = scene.tree.remove(LeafIndex(7))
    scene.staged = stage_path(scene.tree, SENDER, leaf_maker(SUITE, scene.members[SENDER], SENDER), rng.randbytes)
    scene.path = seal_path(scene.tree, scene.staged, NOBODY, CONTEXT, rng.randbytes)
    scene.merge(scene.with_node(1, encryption_key=key))


@pytest.mark.breaks("LN-25")
@pytest.mark.parametrize("key", [b"", bytes(32), b"k" * 31], ids=["empty", "zero", "short"])
def test_keys_of_a_path_are_valid(key: bytes, rng: random.Random) -> None:
    scene = Scene.make(rng)
    scene.refuses(scene.with_node(1, encryption_key=key), "LN-25")
    scene.refuses(scene.seal_leaf(scene.path, encryption_key=key), "LN-25")


@pytest.mark.parametrize("sender", [3, 8, 2**32 - 1])
def test_a_path_comes_from_a_member(sender: int, rng: random.Random) -> None:
    scene = Scene.make(rng, before=lambda tree: tree.remove(LeafIndex(3)))
    with pytest.raises(InvalidCommitError) as caught:
        merge_path(scene.tree, LeafIndex(sender), scene.path)
    assert caught.value.rule == "CP-17"


@pytest.mark.breaks("UP-01")
@pytest.mark.parametrize("chain", ["path", "paths", "node", None], ids=["as it must be", "paths", "node", "independent"])
@pytest.mark.parametrize("key", ["node", "path"])
def test_whoever_derives_path_secrets_or_keys_differently_is_noticed_by_those_below(
    chain: str | None, key: str, rng: random.Random
) -> None:
    scene = Scene.make(rng)
    assert scene.staged.path_secrets[1] == SUITE.derive_secret(scene.staged.path_secrets[0], "path")
    secrets = [Secret(rng.randbytes(32)) for _ in range(3)]
    for step in range(2):
        if chain is not None:
            secrets[step + 1] = SUITE.derive_secret(secrets[step], chain)
    public_keys = tuple(SUITE.derive_key_pair(SUITE.derive_secret(secret, key)).public_key for secret in secrets)
    staged = replace(scene.staged, path_secrets=tuple(secrets), public_keys=public_keys)
    path = scene.seal_leaf(seal_path(scene.tree, staged, NOBODY, CONTEXT, rng.randbytes))
    scene.merge(path)
    # Who is below the topmost node only has no chain to follow.
    for leaf, notices in ((3, chain != "path"), (0, chain != "path"), (7, False)):
        if notices or key != "node":
            with pytest.raises(InvalidCommitError) as caught:
                scene.open(leaf, path=path)
            assert caught.value.rule == "UP-10"
        else:
            assert scene.open(leaf, path=path).commit_secret == SUITE.derive_secret(secrets[2], "path")


def parent_hash_over(*nodes: tuple[bytes, Node]) -> bytes:
    """The parent hash that comes of public keys and the copath children beside them, lowest first."""
    above = b""
    for public_key, sibling in reversed(nodes):
        above = SUITE.hash(b"".join(map(encode_opaque, (public_key, above, tree_hash(SUITE, sibling)))))
    return above


@pytest.mark.parametrize(
    ("rule", "sender", "leaving", "filtered"), [("TR-22", 5, (0, 1, 2, 3), 3), ("TR-23", 2, (0, 1), 1)], ids=["root", "between"]
)
def test_parent_hashes_know_the_nodes_of_the_filtered_path_only(
    rule: str, sender: LeafIndex, leaving: tuple[LeafIndex, ...], filtered: NodeIndex, rng: random.Random
) -> None:
    tree, members, _ = full_tree(SUITE, rng, 8)
    tree = tree.remove_all(leaving)
    staged = stage_path(tree, sender, leaf_maker(SUITE, members[sender], sender), rng.randbytes)
    path = seal_path(tree, staged, NOBODY, CONTEXT, rng.randbytes)
    siblings = [sibling for _, sibling in tree.filtered_copath(sender)]
    chain = list(zip(staged.public_keys, siblings, strict=True))
    assert len(chain) == 2
    assert merge_path(tree, sender, path, excluded=NOBODY).leaf(sender) == staged.leaf_node
    assert staged.leaf_node.source == CommitSource(parent_hash_over(*chain))
    # A blank node has neither key nor parent hash; what is beside it, in the filtered place, is blank too.
    for at in range(3):
        unfiltered = [*chain[:at], (b"", Blank(filtered)), *chain[at:]]
        source = CommitSource(parent_hash_over(*unfiltered))
        leaf = renew_leaf(SUITE, members[sender], staged.leaf_node.encryption_key, source, sender)
        with pytest.raises(InvalidCommitError) as caught:
            merge_path(tree, sender, replace(path, leaf_node=leaf), excluded=NOBODY)
        assert caught.value.rule == "UP-09"


# Opening


@pytest.mark.breaks("UP-07")
@pytest.mark.parametrize("label", ["UpdatePathNodes", "Welcome", ""])
def test_a_path_secret_that_is_sealed_under_another_label_does_not_open(label: str, rng: random.Random) -> None:
    scene = Scene.make(rng)
    key = scene.tree.encryption_key(NodeIndex(1))
    for used in ("UpdatePathNode", label):
        sealed = HPKECiphertext(*SUITE.seal_with_label(key, used, CONTEXT, scene.staged.path_secrets[1], rng.randbytes))
        path = scene.with_node(1, encrypted_path_secret=Lazy.pack(HPKECiphertext, [sealed]))
        if used != label:
            assert scene.open(0, path=path).commit_secret == scene.staged.commit_secret
        else:
            with pytest.raises(DecryptionError):
                scene.open(0, path=path)


@pytest.mark.breaks("UP-10")
def test_derived_keys_are_those_of_the_path_up_to_the_top(rng: random.Random) -> None:
    scene = Scene.make(rng)
    for number in range(3):
        path = scene.with_node(number, encryption_key=scene.new_key())
        scene.merge(path)
        # Members under a node below or at the wrong one notice it.
        for leaf, step in ((3, 0), (0, 1), (7, 2)):
            if step <= number:
                with pytest.raises(InvalidCommitError) as caught:
                    scene.open(leaf, path=path)
                assert caught.value.rule == "UP-10"
            else:
                assert scene.open(leaf, path=path).commit_secret == scene.staged.commit_secret


def test_an_agent_opens_once_and_as_low_as_any_of_its_leaves_can(rng: random.Random) -> None:
    scene = Scene.make(rng)
    assert len(scene.open(7).private_keys) == 1
    assert len(scene.open(7, 1).private_keys) == 2
    assert len(scene.open(7, 1, 3, 2).private_keys) == 3
    # The other ciphertexts are not looked at.
    garbage = replace_data(scene.path.nodes[2].encrypted_path_secret, bytes(82))
    path = scene.with_node(2, encrypted_path_secret=garbage)
    assert scene.open(7, 1, path=path).commit_secret == scene.staged.commit_secret
    with pytest.raises(DMLSError):
        scene.open(7, path=path)


def test_an_agent_falls_back_to_a_leaf_whose_keys_it_holds(rng: random.Random) -> None:
    scene = Scene.make(rng)
    keys = {key: secret for key, secret in scene.keys.items() if key != scene.tree.encryption_key(NodeIndex(6))}
    assert len(scene.open(3, 5, keys=keys).private_keys) == 1


@pytest.mark.breaks("UP-12")
def test_nobody_opens_without_the_right_key(rng: random.Random) -> None:
    scene = Scene.make(rng, additions=1)
    outsider = {scene.new_key(): Secret(rng.randbytes(32))}
    for own, keys in (
        ((0,), {}),
        ((0,), outsider),
        ((), scene.keys),
        ((SENDER,), scene.keys),
        (tuple(scene.added), scene.keys),
        ((9, 2**32 - 1), scene.keys),
    ):
        with pytest.raises(DecryptionError) as caught:
            scene.open(*own, keys=keys)
        assert caught.value.rule == "UP-12"


def test_a_ciphertext_for_another_context_or_altered_does_not_open(rng: random.Random) -> None:
    scene = Scene.make(rng)
    merged = scene.merge()
    with pytest.raises(DecryptionError):
        open_path(scene.tree, merged, SENDER, scene.path, NOBODY, scene.keys, (LeafIndex(0),), b"another context")
    (sealed,) = scene.path.nodes[1].encrypted_path_secret
    for altered in (
        HPKECiphertext(sealed.kem_output, sealed.ciphertext[:-1] + bytes((sealed.ciphertext[-1] ^ 1,))),
        HPKECiphertext(bytes(32), sealed.ciphertext),
        HPKECiphertext(sealed.kem_output, b""),
    ):
        path = scene.with_node(1, encrypted_path_secret=Lazy.pack(HPKECiphertext, [altered]))
        with pytest.raises(DecryptionError):
            scene.open(0, path=path)


def test_a_wrong_private_key_for_a_public_one_does_not_open(rng: random.Random) -> None:
    scene = Scene.make(rng)
    keys = {key: Secret(rng.randbytes(32)) for key in scene.keys}
    with pytest.raises(DecryptionError):
        scene.open(0, keys=keys)


@pytest.mark.breaks("UP-13")
def test_a_member_that_was_updated_in_the_commit_opens_with_its_new_leaf_key_only(rng: random.Random) -> None:
    tree, members, keys = full_tree(SUITE, rng, 8)
    updated = LeafIndex(6)
    pair = SUITE.derive_key_pair(rng.randbytes(32))
    tree = tree.update(updated, renew_leaf(SUITE, members[updated], pair.public_key, UpdateSource(), updated))
    staged = stage_path(tree, SENDER, leaf_maker(SUITE, members[SENDER], SENDER), rng.randbytes)
    path = seal_path(tree, staged, NOBODY, CONTEXT, rng.randbytes)
    assert len(list(path.nodes[2].encrypted_path_secret)) == 3
    merged = merge_path(tree, SENDER, path, excluded=NOBODY)
    with pytest.raises(DecryptionError):
        open_path(tree, merged, SENDER, path, NOBODY, keys, (updated,), CONTEXT)
    keys[pair.public_key] = pair.private_key
    opened = open_path(tree, merged, SENDER, path, NOBODY, keys, (updated,), CONTEXT)
    assert opened.commit_secret == staged.commit_secret


@pytest.mark.keeps("TR-02", "UP-04")
def test_one_ciphertext_among_many_is_found_by_its_place(rng: random.Random) -> None:
    tree, members = make_tree(SUITE, rng, 40)
    keys = {member.leaf_node.encryption_key: member.encryption_key for member in members}
    tree = tree.remove_all(map(LeafIndex, (5, 17, 33)))
    newcomers = [make_member(SUITE, rng, f"new {number}") for number in range(5)]
    tree, places = tree.add_all(member.leaf_node for member in newcomers)
    added = frozenset(places)
    assert added == {5, 17, 33, 40, 41}
    staged = stage_path(tree, SENDER, leaf_maker(SUITE, members[SENDER], SENDER), rng.randbytes)
    path = seal_path(tree, staged, added, CONTEXT, rng.randbytes)
    assert sum(len(list(node.encrypted_path_secret)) for node in path.nodes) == 36
    merged = merge_path(tree, SENDER, path, excluded=added)
    for index, _ in tree.members():
        if index not in added and index != SENDER:
            opened = open_path(tree, merged, SENDER, path, added, keys, (index,), CONTEXT)
            assert opened.commit_secret == staged.commit_secret


# Joining


@pytest.mark.breaks("WL-16", "TR-04")
def test_a_newcomer_is_told_the_right_secret(rng: random.Random) -> None:
    scene = Scene.make(rng, 7, additions=1)
    (index,) = scene.added
    secret = path_secret_for(scene.staged, index)
    merged = scene.merge()
    assert derive_from(merged, index, SENDER, secret).commit_secret == scene.staged.commit_secret
    for wrong in (scene.staged.path_secrets[0], scene.staged.commit_secret, b"", b"s" * 32):
        with pytest.raises(InvalidWelcomeError) as caught:
            derive_from(merged, index, SENDER, wrong)
        assert caught.value.rule == "WL-16"


def test_a_secret_for_a_blank_node_is_refused(rng: random.Random) -> None:
    scene = Scene.make(rng, 7, additions=1)
    (index,) = scene.added
    merged = scene.merge().update(LeafIndex(6), scene.members[6].leaf_node)
    for signer in (LeafIndex(6), SENDER):
        with pytest.raises(InvalidWelcomeError) as caught:
            derive_from(merged, index, signer, scene.staged.path_secrets[2])
        assert caught.value.rule == "WL-17"


def test_a_blank_node_above_the_one_that_was_told_is_refused(rng: random.Random) -> None:
    scene = Scene.make(rng, 7, additions=1)
    merged = scene.merge()
    nodes = {above: node for above in scene.staged.nodes[:-1] if (node := merged.parent(above)) is not None}
    leaf = merged.leaf(SENDER)
    assert leaf is not None
    holed = merged.replace_path(SENDER, leaf, nodes)
    with pytest.raises(InvalidWelcomeError) as caught:
        derive_from(holed, LeafIndex(3), SENDER, scene.staged.path_secrets[0])
    assert caught.value.rule == "WL-16"


def test_nobody_welcomes_itself(rng: random.Random) -> None:
    scene = Scene.make(rng)
    with pytest.raises(InvalidWelcomeError) as caught:
        derive_from(scene.merge(), SENDER, SENDER, scene.staged.path_secrets[0])
    assert caught.value.rule == "WL-16"


@pytest.mark.keeps("UP-08")
def test_a_committer_from_outside_takes_its_slot_like_a_member(rng: random.Random) -> None:
    tree, _, keys = full_tree(SUITE, rng, 7)
    joiner = make_member(SUITE, rng, "joiner")
    empty: LeafNode = replace(joiner.leaf_node, encryption_key=b"", signature_key=b"")
    tree, index = tree.add(empty)
    parent = tree.parent(NodeIndex(11))
    assert parent is not None
    assert parent.unmerged_leaves == (index,)
    staged = stage_path(tree, index, leaf_maker(SUITE, joiner, index), rng.randbytes)
    path = seal_path(tree, staged, NOBODY, CONTEXT, rng.randbytes)
    merged = merge_path(tree, index, path, excluded=NOBODY)
    assert merged == staged.tree
    assert merged.find_signature_key(joiner.leaf_node.signature_key) == index
    for leaf in range(7):
        opened = open_path(tree, merged, index, path, NOBODY, keys, (LeafIndex(leaf),), CONTEXT)
        assert opened.commit_secret == staged.commit_secret
