"""A client that is invited to a group and has not joined yet, and trees that somebody who holds all keys makes for it."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dmls.ids import LeafIndex
from dmls.mls.codec import encode
from dmls.mls.crypto.suites import CipherSuite, cipher_suite
from dmls.mls.group.commit import StagedCommit
from dmls.mls.messages.extensions import Extension
from dmls.mls.messages.group_context import GroupContext
from dmls.mls.messages.group_info import GroupInfo
from dmls.mls.messages.leaf_node import CommitSource, LeafNode, LeafNodeSource
from dmls.mls.messages.proposal import Add, ProposalBody
from dmls.mls.messages.registry import ExtensionType
from dmls.mls.tree.nodes import ParentNode
from tests.support.forge import forge_welcome, nodes_of, sign_leaf
from tests.support.groups import Party, Room, room_of
from tests.support.negative.model import Attempt, Scene, entrant, joining
from tests.support.tree_model import ParentHash, TreeModel

__all__ = ["Grove", "Invitation", "encoded_node"]


class Invitation:
    """A group, and the Welcome of a commit that adds one client to it."""

    def __init__(
        self,
        rng: random.Random,
        names: str = "abcd",
        *,
        renewed: str = "",
        with_path: bool = False,
        suite: CipherSuite | None = None,
        proposals: Sequence[ProposalBody] = (),
        committer: str = "a",
        room: Room | None = None,
        **options: Any,
    ) -> None:
        self.rng = rng
        self.suite = suite or cipher_suite(1)
        self.room = room or room_of(rng, names, self.suite)[0]
        self.by_name = {party.name: party for party in self.room.members}
        for name in renewed:
            self.room.commit(self.by_name[name])
        self.committer = self.by_name[committer]
        self.newcomer = Party(self.suite, "newcomer", rng.randbytes, capabilities=options.pop("capabilities", None))
        addition = Add(self.newcomer.key_package())
        self.staged: StagedCommit = self.committer.stage(addition, *proposals, force_path=with_path, **options)
        assert self.staged.welcome is not None
        self.welcome = self.staged.welcome

    def scene(self, name: str, psks: dict[bytes, bytes] | None = None, **options: Any) -> Scene:
        """Begin a scene of the newcomer."""
        return entrant(name, self.newcomer, psks, **options)

    def forge(self, *, joiner: Party | None = None, signer: Party | None = None, **alterations: Any) -> Attempt:
        """The attempt to join with what is in the Welcome altered."""
        return joining(forge_welcome(joiner or self.newcomer, signer or self.committer, self.welcome, **alterations))

    def altered(self, **changes: Any) -> Attempt:
        """The attempt to join with the Welcome itself altered."""
        return joining(replace(self.welcome, **changes))

    def plant(self, encoded: bytes, tree_hash: bytes) -> Attempt:
        """The attempt to join with another tree, on which everything else agrees."""

        def with_tree(info: GroupInfo) -> GroupInfo:
            extensions = [item for item in info.extensions if item.extension_type != ExtensionType.RATCHET_TREE]
            return replace(info, extensions=(*extensions, Extension(ExtensionType.RATCHET_TREE, encoded)))

        def with_hash(context: GroupContext) -> GroupContext:
            return replace(context, tree_hash=tree_hash)

        return self.forge(alter_info=with_tree, alter_context=with_hash)

    def grove(self) -> Grove:
        """The tree that the newcomer is to find, to be changed."""
        model = TreeModel(nodes_of(self.staged.state.public.tree))
        parties = {party.leaf: party for party in self.room.members} | {LeafIndex(len(self.room.members)): self.newcomer}
        return Grove(self, model, parties)


class Grove:
    """A tree under construction by somebody who holds all signature keys."""

    def __init__(self, invitation: Invitation, model: TreeModel, parties: Mapping[LeafIndex, Party]) -> None:
        self.invitation = invitation
        self.model = model
        self.parties = parties
        self.group_id = invitation.room.follower.context.group_id

    def key(self) -> bytes:
        """A key that nobody has seen."""
        suite = self.invitation.suite
        return suite.derive_key_pair(self.invitation.rng.randbytes(suite.hash_size)).public_key

    def put(self, index: int, place: int | None = None, signer: int | None = None, **changes: Any) -> None:
        """Alter a leaf and sign it, for its place or another, as its owner or as somebody else."""
        leaf = replace(self.model.leaf(index), **changes)
        client = self.parties[LeafIndex(index if signer is None else signer)].client
        self.model.nodes[2 * index] = sign_leaf(
            self.invitation.suite, leaf, client, self.group_id, index if place is None else place
        )

    def set(self, index: int, **changes: Any) -> None:
        """Alter a parent."""
        self.model.nodes[index] = replace(self.model.parent(index), **changes)

    def commit(
        self,
        leaf: int,
        unmerged: Mapping[int, tuple[int, ...]] | None = None,
        keys: Mapping[int, bytes] | None = None,
        source: LeafNodeSource | None = None,
        parent_hash: ParentHash | None = None,
    ) -> None:
        """Put a path above a leaf, with lists of unmerged leaves and keys as wanted and all hashes to match."""
        above = self.model.put_path(leaf, self.key, unmerged=unmerged, keys=keys, parent_hash=parent_hash)
        self.put(leaf, source=source or CommitSource(above), encryption_key=self.key())

    def planted(self) -> Attempt:
        """The attempt to join with this tree."""
        return self.invitation.plant(self.model.encode(), self.model.tree_hash())


def encoded_node(node: LeafNode | ParentNode | None) -> bytes:
    """One node of a ratchet_tree."""
    if node is None:
        return b"\x00"
    return (b"\x01\x01" if isinstance(node, LeafNode) else b"\x01\x02") + encode(node)
