"""One's own proposals while they wait: an Update's private key, and what was sent when it comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from immutables import Map

from dmls.ids import LeafIndex, ProposalRef
from dmls.mls.crypto.randomness import Random, draw
from dmls.mls.crypto.secret import Secret
from dmls.mls.group.application import SentMessage
from dmls.mls.group.leaf import Client, make_leaf_node
from dmls.mls.group.state import GroupState, own_leaf
from dmls.mls.group.validation import check_leaf_content
from dmls.mls.limits import DEFAULT_LIMITS, Limits
from dmls.mls.messages.leaf_node import UpdateSource
from dmls.mls.messages.proposal import Update

__all__ = ["OwnUpdate", "SentProposals", "create_update"]


@dataclass(frozen=True, slots=True, repr=False)
class OwnUpdate:
    """An Update of an own leaf, and what belongs to it until it is committed, or the epoch ends without it."""

    proposal: Update
    private_keys: Mapping[bytes, Secret]
    """The new leaf's private key by its public key. It goes into the key ring before the proposal is sent: where the Update is
    committed the key is then in place, and where it is not `keys_in_use` does not name it."""


def create_update(
    state: GroupState, client: Client, leaf_index: LeafIndex, random: Random, *, limits: Limits = DEFAULT_LIMITS
) -> OwnUpdate:
    """Make an Update of an own leaf, with a fresh encryption key (RFC 9420, Section 12.1.2).

    Args:
        state: the epoch.
        client: what the new leaf says; its signature key, credential and capabilities may be new. The proposal itself is signed
            with the old key.
        leaf_index: the leaf.
        random: source of the new key.
        limits: the bounds to keep.

    Raises:
        NotAMemberError: the leaf is not an own one.
        StateError: the group is closed by a ReInit (CP-12).
        InvalidLeafNodeError: the client does not fit the group.
    """
    own_leaf(state, leaf_index)
    suite, group_id = state.public.suite, state.public.context.group_id
    pair = suite.derive_key_pair(draw(random, suite.hash_size))
    leaf = make_leaf_node(suite, client, pair.public_key, UpdateSource(), group_id=group_id, leaf_index=leaf_index)
    check_leaf_content(suite, leaf, limits=limits)
    return OwnUpdate(Update(leaf), {pair.public_key: pair.private_key})


@dataclass(frozen=True, slots=True)
class SentProposals:
    """The proposals that one has sent in an epoch, by the exact bytes in which they left. Immutable.

    A delivery service may hand a message back to its sender, whose key for a private one is used up: this is how the sender knows
    it. The state after sending remembers the proposal itself.
    """

    refs: Map[bytes, ProposalRef] = Map()

    def add(self, sent: SentMessage) -> SentProposals:
        """Return a record that also knows what `propose` gave; anything else changes nothing."""
        return self if sent.ref is None else SentProposals(self.refs.set(sent.message, sent.ref))

    def find(self, message: bytes) -> ProposalRef | None:
        """Return the reference of the proposal that an encoded MLSMessage is, if one has sent it oneself."""
        return self.refs.get(message)
