"""Update paths: how a committer gives the tree fresh keys and everybody else learns them (RFC 9420, Sections 7.4 to 7.6).

In `stage_path`, `seal_path`, `merge_path` and `open_path`, `tree` is the tree after the commit's proposals and before its path.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from dmls.errors import CodecError, DecryptionError, InvalidCommitError, InvalidWelcomeError, UsageError
from dmls.ids import LeafIndex, NodeIndex
from dmls.mls.codec import Lazy, encode_length
from dmls.mls.crypto.randomness import Random, draw
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CipherSuite, KeyPair
from dmls.mls.messages.commit import HPKECiphertext, UpdatePath, UpdatePathNode
from dmls.mls.messages.leaf_node import CommitSource, LeafNode
from dmls.mls.messages.registry import EncryptionLabel
from dmls.mls.tree.leaves import check_key
from dmls.mls.tree.math import common_ancestor, covers, leaf_to_node, leaves_below
from dmls.mls.tree.nodes import Leaf, Node, Parent, between, find_node, node_key
from dmls.mls.tree.parent_hash import make_path_nodes
from dmls.mls.tree.ratchet_tree import RatchetTree

__all__ = [
    "OpenedPath",
    "StagedPath",
    "derive_from",
    "merge_path",
    "open_path",
    "path_secret_for",
    "seal_path",
    "stage_path",
]

_LABEL = EncryptionLabel.UPDATE_PATH_NODE  # UP-07


@dataclass(frozen=True, slots=True, repr=False)
class StagedPath:
    """A path that the committer made and nobody has seen.

    Attributes:
        sender: the committer's leaf.
        tree: with the path merged.
        leaf_node: the committer's new leaf, signed.
        nodes, public_keys, path_secrets: of the filtered direct path, lowest first; secrets of suite.hash_size bytes.
        private_keys: by public key, those of the new leaf and of `nodes`.
        last_path_secret: the topmost path secret; with an empty path, a random one that nobody else needs (AMB-05).
        commit_secret: the secret after `last_path_secret`.
    """

    sender: LeafIndex
    tree: RatchetTree
    leaf_node: LeafNode
    nodes: tuple[NodeIndex, ...]
    public_keys: tuple[bytes, ...]
    path_secrets: tuple[Secret, ...]
    private_keys: Mapping[bytes, Secret]
    last_path_secret: Secret
    commit_secret: Secret


@dataclass(frozen=True, slots=True, repr=False)
class OpenedPath:
    """What a member learns from a path.

    Attributes:
        private_keys: by public key, those of the nodes above the member that the path renewed.
        last_path_secret: the topmost path secret, suite.hash_size bytes.
        commit_secret: the secret after it.
    """

    private_keys: Mapping[bytes, Secret]
    last_path_secret: Secret
    commit_secret: Secret


def stage_path(tree: RatchetTree, sender: LeafIndex, make_leaf: Callable[[bytes, bytes], LeafNode], random: Random) -> StagedPath:
    """Make fresh keys for a member's leaf and filtered direct path (RFC 9420, Section 7.5; rules UP-01, UP-02, UP-08).

    Args:
        tree: holds a leaf of the sender, which the path replaces.
        sender: the committer's leaf.
        make_leaf: from the new encryption key and parent hash, the new leaf node, signed.
        random: asked for suite.hash_size bytes twice.

    Raises:
        InvalidProposalError: the sender's leaf is blank.
        UsageError: it is not in the tree.
    """
    suite = tree.suite
    copath = tree.filtered_copath(sender)
    leaf_keys = suite.derive_key_pair(draw(random, suite.hash_size))  # UP-02
    secret = Secret(draw(random, suite.hash_size))
    path_secrets = [secret]
    for _ in copath[1:]:
        secret = suite.derive_secret(secret, "path")  # UP-01
        path_secrets.append(secret)
    key_pairs = [_node_keys(suite, path_secret) for path_secret in path_secrets] if copath else []
    public_keys = tuple(pair.public_key for pair in key_pairs)
    nodes, parent_hash = make_path_nodes(suite, [sibling for _, sibling in copath], public_keys)
    leaf_node = make_leaf(leaf_keys.public_key, parent_hash)
    indices = tuple(above for above, _ in copath)
    return StagedPath(
        sender=sender,
        tree=tree.replace_path(sender, leaf_node, dict(zip(indices, nodes, strict=True))),
        leaf_node=leaf_node,
        nodes=indices,
        public_keys=public_keys,
        path_secrets=tuple(path_secrets) if copath else (),
        private_keys={pair.public_key: pair.private_key for pair in (leaf_keys, *key_pairs)},  # UP-17
        last_path_secret=secret,
        commit_secret=suite.derive_secret(secret, "path"),  # UP-15
    )


def seal_path(
    tree: RatchetTree, staged: StagedPath, excluded: frozenset[LeafIndex], group_context: bytes, random: Random
) -> UpdatePath:
    """Encrypt each path secret to the resolution of its copath child (RFC 9420, Sections 7.5 and 7.6).

    Args:
        tree: what `stage_path` was given.
        staged: what it returned.
        excluded: leaves that the same commit adds: they learn their secrets from the Welcome (rules UP-04, UP-05).
        group_context: the encoded provisional GroupContext: new epoch, tree hash and extensions, old transcript (rule UP-06).
        random: source of the ephemeral keys.

    Raises:
        CryptoError: a public key in the tree is not valid.
    """
    added = sorted(excluded)
    recipients = [tuple(_recipient_keys(sibling, added)) for _, sibling in tree.filtered_copath(staged.sender)]
    wanted = [(key, secret) for keys, secret in zip(recipients, staged.path_secrets, strict=True) for key in keys]
    sealed = iter(tree.suite.sealer(_LABEL, group_context).seal_all(wanted, random))
    nodes = []
    for keys, public_key in zip(recipients, staged.public_keys, strict=True):
        ciphertexts = [HPKECiphertext(*next(sealed)) for _ in keys]
        nodes.append(UpdatePathNode(public_key, Lazy.pack(HPKECiphertext, ciphertexts)))
    return UpdatePath(staged.leaf_node, tuple(nodes))


def merge_path(
    tree: RatchetTree, sender: LeafIndex, path: UpdatePath, *, excluded: frozenset[LeafIndex] | None = None
) -> RatchetTree:
    """Check what everybody can see of a received path and put it into the tree (RFC 9420, Sections 7.5 and 12.4.2).

    The validity of the leaf node itself (RFC 9420, Section 7.3) is the caller's to check.

    Args:
        tree: holds a leaf of the sender, which the path replaces.
        sender: the committer's leaf.
        path: what the committer sent.
        excluded: leaves that the same commit adds; if given, the numbers of ciphertexts are checked too.

    Raises:
        InvalidCommitError: rules UP-03, UP-04, UP-09, UP-11, LN-25.
    """
    if tree.leaf(sender) is None:
        raise InvalidCommitError(f"leaf {sender} is blank or not in the tree", rule="CP-17")
    copath = tree.filtered_copath(sender)
    if len(path.nodes) != len(copath):
        raise InvalidCommitError(f"the path has {len(path.nodes)} nodes, not {len(copath)}", rule="UP-03")
    siblings = [sibling for _, sibling in copath]
    public_keys = [node.encryption_key for node in path.nodes]
    _check_new_keys(tree, (path.leaf_node.encryption_key, *public_keys))
    if excluded is not None:
        _check_ciphertext_counts(tree.suite, siblings, path.nodes, excluded)
    nodes, parent_hash = make_path_nodes(tree.suite, siblings, public_keys)
    if path.leaf_node.source != CommitSource(parent_hash):
        raise InvalidCommitError("the parent hash of the path's leaf is not that of the path", rule="UP-09")
    return tree.replace_path(sender, path.leaf_node, {above: node for (above, _), node in zip(copath, nodes, strict=True)})


def _check_new_keys(tree: RatchetTree, public_keys: Sequence[bytes]) -> None:
    if len(set(public_keys)) != len(public_keys) or any(map(tree.has_encryption_key, public_keys)):
        raise InvalidCommitError("a public key of the path stands in the tree already", rule="UP-11")
    for public_key in public_keys:
        check_key(tree.suite.check_encryption_key, public_key, InvalidCommitError)


def _check_ciphertext_counts(
    suite: CipherSuite, siblings: Sequence[Node], nodes: Sequence[UpdatePathNode], excluded: frozenset[LeafIndex]
) -> None:
    """Check the numbers of ciphertexts by their length, without unpacking any (rule UP-04)."""
    added = sorted(excluded)
    # A KEM output is an encoded public key, as long as any other of the suite.
    lengths = (suite.kem.group.public_key_size, suite.hash_size + suite.tag_size)
    size = sum(len(encode_length(length)) + length for length in lengths)
    for sibling, node in zip(siblings, nodes, strict=True):
        excluded_here = len(between(added, sibling)) if added else 0
        if len(node.encrypted_path_secret.data) != size * (sibling.resolution_size - excluded_here):
            raise InvalidCommitError("a path secret is not encrypted to its recipients and them alone", rule="UP-04")


def open_path(
    tree: RatchetTree,
    merged: RatchetTree,
    sender: LeafIndex,
    path: UpdatePath,
    excluded: frozenset[LeafIndex],
    private_keys: Mapping[bytes, Secret],
    own_leaves: Collection[LeafIndex],
    group_context: bytes,
) -> OpenedPath:
    """Decrypt the lowest path secret that any own leaf can, and derive those above it (RFC 9420, Section 7.5).

    Only one ciphertext is unpacked and opened, however many leaves are one's own.

    Args:
        tree: before the path.
        merged: what `merge_path` returned.
        sender: the committer's leaf.
        path: what the committer sent.
        excluded: leaves that the same commit adds, which cannot open it.
        private_keys: by public key: those of leaves and parents that one holds, and possibly others.
        own_leaves: one's own leaves.
        group_context: the encoded provisional GroupContext, as for `seal_path`.

    Raises:
        DecryptionError: no key of `private_keys` opens the path (rule UP-12), or the ciphertext does not open.
        InvalidCommitError: rules UP-04 and UP-10.
    """
    copath = tree.filtered_copath(sender)
    own = sorted(own_leaves)
    for step, (_, sibling) in enumerate(copath):
        found = _find_recipient(sibling, between(own, sibling), excluded, private_keys)
        if found is None:
            continue
        before, recipient, public_key, private_key = found
        skipped = between(sorted(excluded), sibling)
        sealed = _pick(
            path.nodes[step].encrypted_path_secret,
            before - bisect_left(skipped, leaves_below(recipient.index)[0]),
            sibling.resolution_size - len(skipped),
        )
        secret = tree.suite.open_with_label(private_key, public_key, _LABEL, group_context, sealed.kem_output, sealed.ciphertext)
        opened = _derive_up(merged, [above for above, _ in copath[step:]], secret)
        if opened is None:
            raise InvalidCommitError("a public key of the path is not that of its path secret", rule="UP-10")
        return opened
    raise DecryptionError("no private key is held that opens the path", rule="UP-12")  # UP-18


def _find_recipient(
    sibling: Node, own_leaves: Sequence[int], excluded: frozenset[LeafIndex], private_keys: Mapping[bytes, Secret]
) -> tuple[int, Node, bytes, Secret] | None:
    """Return a node of a resolution whose private key is held, and after how many others it comes (rules UP-12, UP-13).

    The keys come with it, the public one first.
    """
    for leaf in own_leaves:
        if leaf not in excluded:
            before, recipient = _recipient(sibling, leaf)
            public_key = node_key(recipient) or b""
            private_key = private_keys.get(public_key)  # UP-13
            if private_key is not None:
                return before, recipient, public_key, private_key
    return None


def _pick(ciphertexts: Lazy[HPKECiphertext], index: int, count: int) -> HPKECiphertext:
    try:
        return ciphertexts.pick(index, count)
    except CodecError:
        raise InvalidCommitError("a path secret is not encrypted to its recipients and them alone", rule="UP-04") from None


def path_secret_for(staged: StagedPath, leaf: LeafIndex) -> Secret:
    """Return what a new member's Welcome tells: the secret of the lowest node above both it and the committer (rule CC-10).

    Raises:
        UsageError: the leaf is not under the path.
    """
    for above, path_secret in zip(staged.nodes, staged.path_secrets, strict=True):
        if covers(above, leaf):
            return path_secret
    raise UsageError(f"leaf {leaf} is not under the path")


def derive_from(tree: RatchetTree, leaf: LeafIndex, signer: LeafIndex, path_secret: bytes) -> OpenedPath:
    """Derive a new member's private keys from the path secret of its Welcome (RFC 9420, Section 12.4.3.1).

    Args:
        tree: that of the epoch joined.
        leaf: the new member's leaf.
        signer: the committer's leaf.
        path_secret: of the lowest node above both, suite.hash_size bytes.

    Raises:
        InvalidWelcomeError: the node is blank, or a public key above is not that of its path secret (rules WL-16, WL-17).
    """
    lowest = common_ancestor(leaf, signer)
    if tree.is_blank(lowest):
        raise InvalidWelcomeError("there is a path secret for a blank node", rule="WL-17")
    path = tree.filtered_direct_path(signer)
    nodes = path[path.index(lowest) :] if lowest in path else ()
    opened = _derive_up(tree, nodes, path_secret) if nodes and not any(map(tree.is_blank, nodes)) else None
    if opened is None:
        raise InvalidWelcomeError("a public key of the tree is not that of its path secret", rule="WL-16")
    return opened


def _node_keys(suite: CipherSuite, path_secret: bytes) -> KeyPair:
    return suite.derive_key_pair(suite.derive_secret(path_secret, "node"))


def _derive_up(tree: RatchetTree, nodes: Sequence[NodeIndex], path_secret: bytes) -> OpenedPath | None:
    """Derive the keys of `nodes`, lowest first, from the first one's secret; None if a public key is another in the tree."""
    suite = tree.suite
    private_keys: dict[bytes, Secret] = {}
    secret = following = Secret(path_secret)
    for node in nodes:
        secret = following
        pair = _node_keys(suite, secret)
        if pair.public_key != tree.encryption_key(node):
            return None
        private_keys[pair.public_key] = pair.private_key
        following = suite.derive_secret(secret, "path")
    return OpenedPath(private_keys, secret, following)


def _recipient_keys(sibling: Node, added: Sequence[int]) -> Iterator[bytes]:
    """Yield the public keys of a resolution without the leaves `added`, ascending."""
    skipped = set(between(added, sibling))
    waiting = [sibling]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Leaf):
            if node.index >> 1 not in skipped:
                yield node.leaf_node.encryption_key
        elif isinstance(node, Parent):
            if node.node is None:
                waiting += (node.right, node.left)
                continue
            yield node.node.encryption_key
            for leaf in node.node.unmerged_leaves:
                member = find_node(node, leaf_to_node(leaf))
                if isinstance(member, Leaf) and leaf not in skipped:
                    yield member.leaf_node.encryption_key


def _recipient(sibling: Node, leaf: int) -> tuple[int, Node]:
    """Return which node of a resolution stands for a leaf, after how many others."""
    before = 0
    place = leaf_to_node(leaf)
    node = sibling
    while isinstance(node, Parent):
        if node.node is not None:
            unmerged = node.node.unmerged_leaves
            at = bisect_left(unmerged, leaf)
            if at == len(unmerged) or unmerged[at] != leaf:
                return before, node
            return before + 1 + at, find_node(node, place)
        if place < node.index:
            node = node.left
        else:
            before += node.left.resolution_size
            node = node.right
    return before, node
