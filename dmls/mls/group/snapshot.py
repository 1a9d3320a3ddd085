"""A member's state as bytes, for a store.

The tree is kept apart, node by node and addressed by content (`dmls.mls.tree.storage`), so that a new epoch adds only what its
commit changed; private keys are kept in the key ring.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter

from immutables import Map

from dmls.errors import UsageError
from dmls.ids import LeafIndex
from dmls.mls.codec import decode, encode, opaque, optional, struct, uint8, uint32, uint64, vector
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.group.follower import PublicGroup, cache_proposal
from dmls.mls.group.state import GroupState
from dmls.mls.limits import DEFAULT_LIMITS, Limits
from dmls.mls.messages.group_context import GroupContext
from dmls.mls.messages.message import AuthenticatedContent
from dmls.mls.messages.proposal import ReInit
from dmls.mls.schedule.key_schedule import EpochSecrets, InitSecretRule
from dmls.mls.schedule.secret_tree import SecretTree
from dmls.mls.tree.ratchet_tree import RatchetTree

__all__ = ["decode_public", "decode_state", "encode_public", "encode_state"]

_VERSION = 1


@struct
class _SavedPublic:
    version: uint8
    context: GroupContext
    width: uint32
    interim_transcript_hash: opaque
    confirmation_tag: opaque
    proposals: vector[AuthenticatedContent]


@struct(secret=True)
class _SavedPSK:
    epoch: uint64
    psk: opaque


@struct(secret=True)
class _SavedSecrets:
    sender_data_secret: opaque
    exporter_secret: opaque
    external_secret: opaque
    confirmation_key: opaque
    membership_key: opaque
    resumption_psk: opaque
    epoch_authenticator: opaque


@struct(secret=True)
class _SavedState:
    public: _SavedPublic
    init_state: opaque
    secrets: _SavedSecrets
    secret_tree: opaque
    own_leaves: vector[uint32]
    resumption_psks: vector[_SavedPSK]
    closed_by: optional[ReInit]


def _save_public(group: PublicGroup) -> _SavedPublic:
    return _SavedPublic(
        _VERSION,
        group.context,
        group.tree.width,
        group.interim_transcript_hash,
        group.confirmation_tag,
        tuple(cached.content for cached in sorted(group.proposals.values(), key=attrgetter("arrival"))),
    )


def _load_public(saved: _SavedPublic, load: Callable[[int, bytes, int], RatchetTree], limits: Limits) -> PublicGroup:
    if saved.version != _VERSION:
        raise UsageError(f"saved state of format {saved.version}, expected {_VERSION}")
    context = saved.context
    tree = load(context.cipher_suite, context.tree_hash, saved.width)
    suite = cipher_suite(context.cipher_suite)
    group = PublicGroup(suite, context, tree, saved.interim_transcript_hash, saved.confirmation_tag)
    for content in saved.proposals:
        group = cache_proposal(group, content, limits)
    return group


def encode_public(group: PublicGroup) -> bytes:
    """Encode a followed epoch, and the proposals that wait in it, without its tree."""
    return encode(_save_public(group))


def decode_public(data: bytes, load: Callable[[int, bytes, int], RatchetTree], limits: Limits = DEFAULT_LIMITS) -> PublicGroup:
    """Decode a followed epoch; `load(suite, tree_hash, width)` finds its tree.

    Raises:
        CodecError, UsageError: not written by `encode_public`.
    """
    return _load_public(decode(_SavedPublic, data), load, limits)


def encode_state(state: GroupState) -> bytes:
    """Encode a member's state without its tree. The result is SECRET."""
    secrets = state.secrets
    return encode(
        _SavedState(
            _save_public(state.public),
            state.rule.encode_state(state.init_state),
            _SavedSecrets(
                secrets.sender_data_secret,
                secrets.exporter_secret,
                secrets.external_secret,
                secrets.confirmation_key,
                secrets.membership_key,
                secrets.resumption_psk,
                secrets.epoch_authenticator,
            ),
            state.secret_tree.encode(),
            tuple(sorted(state.own_leaves)),
            tuple(_SavedPSK(epoch, psk) for epoch, psk in sorted(state.resumption_psks.items())),
            state.closed_by,
        )
    )


def decode_state(
    data: bytes, rule: InitSecretRule, load: Callable[[int, bytes, int], RatchetTree], limits: Limits = DEFAULT_LIMITS
) -> GroupState:
    """Decode a member's state; `load(suite, tree_hash, width)` finds its tree. Keys of messages beyond `limits` are dropped.

    Raises:
        CodecError, UsageError: not written by `encode_state`.
    """
    saved = decode(_SavedState, data)
    public = _load_public(saved.public, load, limits)
    kept = saved.secrets
    secrets = EpochSecrets(
        sender_data_secret=Secret(kept.sender_data_secret),
        encryption_secret=Secret(b""),
        exporter_secret=Secret(kept.exporter_secret),
        external_secret=Secret(kept.external_secret),
        confirmation_key=Secret(kept.confirmation_key),
        membership_key=Secret(kept.membership_key),
        resumption_psk=Secret(kept.resumption_psk),
        epoch_authenticator=kept.epoch_authenticator,
    )
    return GroupState(
        public,
        rule,
        rule.decode_state(public.suite, saved.init_state),
        secrets,
        SecretTree.decode(public.suite, saved.secret_tree, limits),
        frozenset(LeafIndex(leaf) for leaf in saved.own_leaves),
        Map({entry.epoch: Secret(entry.psk) for entry in saved.resumption_psks}),
        saved.closed_by,
    )
