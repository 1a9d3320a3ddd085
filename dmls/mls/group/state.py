"""The state of a member in one epoch (RFC 9420, Section 8).

`GroupState` is an immutable value: every operation returns a new one and the old one stays as it was, so that a commit that turns
out invalid, a fork and a crash all cost nothing. Private keys of the tree are not part of it: they live in one key ring for
all epochs (`dmls.mls.group.keyring`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from immutables import Map

from dmls.errors import NotAMemberError, StateError
from dmls.ids import LeafIndex
from dmls.mls.crypto.randomness import Random, draw
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CipherSuite
from dmls.mls.group.follower import PublicGroup
from dmls.mls.group.judgement import check_external_senders
from dmls.mls.group.leaf import Client, make_leaf_node
from dmls.mls.group.policy import GroupPolicy, OpenPolicy
from dmls.mls.group.validation import (
    check_leaf_node,
    check_own_extensions,
    check_own_support,
    check_suite_choice,
)
from dmls.mls.limits import DEFAULT_LIMITS, Limits
from dmls.mls.messages.extensions import Extension
from dmls.mls.messages.group_context import GroupContext
from dmls.mls.messages.key_package import KeyPackage
from dmls.mls.messages.leaf_node import LeafNode, Lifetime
from dmls.mls.messages.proposal import ReInit
from dmls.mls.messages.psk import PreSharedKeyID, ResumptionPSK, opens_successor
from dmls.mls.messages.registry import ProtocolVersion
from dmls.mls.schedule.key_schedule import (
    RFC9420_RULE,
    EpochSecrets,
    InitSecretRule,
    InitState,
    derive_epoch_secrets,
    export,
)
from dmls.mls.schedule.secret_tree import SecretTree
from dmls.mls.schedule.transcript import confirmation_tag, interim_transcript_hash
from dmls.mls.tree.ratchet_tree import RatchetTree

__all__ = [
    "CreatedGroup",
    "GroupState",
    "check_open",
    "check_signer",
    "confirm",
    "create_group",
    "export_secret",
    "find_psk",
    "open_epoch",
    "own_leaf",
    "remember_resumption_psk",
]


@dataclass(frozen=True, slots=True, repr=False)
class GroupState:
    """One epoch with its secrets, as an agent with one or more leaves of the group holds it."""

    public: PublicGroup
    rule: InitSecretRule
    init_state: InitState
    secrets: EpochSecrets
    secret_tree: SecretTree
    own_leaves: frozenset[LeafIndex]
    resumption_psks: Map[int, Secret] = Map()
    """Resumption PSK by epoch number, of epochs this state descends from, its own included."""
    closed_by: ReInit | None = None

    def with_secret_tree(self, secret_tree: SecretTree) -> GroupState:
        """Return the state after a message took its key."""
        # Every message comes by here, and `replace` takes as long as an AEAD.
        return GroupState(
            self.public,
            self.rule,
            self.init_state,
            self.secrets,
            secret_tree,
            self.own_leaves,
            self.resumption_psks,
            self.closed_by,
        )

    def without_message_secrets(self) -> GroupState:
        """Return the state unable to open or send messages, able still to follow commits."""
        emptied = replace(self.secrets, sender_data_secret=Secret(b""))
        return replace(self, secrets=emptied, secret_tree=self.secret_tree.emptied())

    def without_external_secret(self) -> GroupState:
        """Return the state unable to follow external commits."""
        return replace(self, secrets=replace(self.secrets, external_secret=Secret(b"")))

    def without_resumption_psks(self) -> GroupState:
        """Return the state unable to prove to another group, or to a later epoch, that it was here."""
        return replace(self, secrets=replace(self.secrets, resumption_psk=Secret(b"")), resumption_psks=Map())

    def __repr__(self) -> str:
        return f"GroupState(epoch={self.public.context.epoch}, own_leaves={sorted(self.own_leaves)})"


@dataclass(frozen=True, slots=True, repr=False)
class CreatedGroup:
    """A new group, and the private key of its only leaf by public key."""

    state: GroupState
    private_keys: dict[bytes, Secret]


def open_epoch(
    public: PublicGroup,
    rule: InitSecretRule,
    epoch_secret: Secret,
    own_leaves: frozenset[LeafIndex],
    resumption_psks: Map[int, Secret] = Map(),
    *,
    limits: Limits = DEFAULT_LIMITS,
) -> GroupState:
    """Derive a member's state from the epoch secret; nothing keeps the epoch secret (RFC 9420, Section 8; ST-06)."""
    suite = public.suite
    secrets = derive_epoch_secrets(suite, epoch_secret)
    tree = SecretTree.create(suite, secrets.encryption_secret, public.tree.width, limits)
    psks = remember_resumption_psk(resumption_psks, public.context.epoch, secrets.resumption_psk, limits)  # KS-13
    return GroupState(
        public, rule, rule.open_epoch(suite, epoch_secret), secrets.without_encryption_secret(), tree, own_leaves, psks
    )  # ST-06


def confirm(state: GroupState, tag: bytes) -> GroupState:
    """Return the state of an epoch that one made oneself, with its confirmation tag (RFC 9420, Section 8.2)."""
    public = state.public
    interim = interim_transcript_hash(public.suite, public.context.confirmed_transcript_hash, tag)
    return replace(state, public=PublicGroup(public.suite, public.context, public.tree, interim, tag, public.proposals))


def remember_resumption_psk(psks: Map[int, Secret], epoch: int, psk: Secret, limits: Limits) -> Map[int, Secret]:
    """Keep an epoch's resumption PSK, and drop the oldest beyond the limit (KS-13)."""
    psks = psks.set(epoch, psk)
    while len(psks) > limits.resumption_psks:
        psks = psks.delete(min(psks))
    return psks


def create_group(
    suite: CipherSuite,
    group_id: bytes,
    client: Client,
    lifetime: Lifetime,
    random: Random,
    *,
    extensions: Sequence[Extension] = (),
    rule: InitSecretRule = RFC9420_RULE,
    invitees: Sequence[KeyPackage] = (),
    preferred_suites: Sequence[int] = (),
    policy: GroupPolicy = OpenPolicy(),
    limits: Limits = DEFAULT_LIMITS,
) -> CreatedGroup:
    """Create a group of one member at epoch 0 (RFC 9420, Section 11).

    Args:
        suite: the group's cipher suite.
        group_id: its name, for ever.
        client: the creator.
        lifetime: of the creator's leaf.
        random: source of keys, and of the first epoch secret.
        extensions: of the group context.
        rule: how init secrets come about in this group.
        invitees: key packages of those who will be added first.
        preferred_suites: the creator's ranking, best first.
        policy: asked about external senders.
        limits: the bounds to keep.

    Raises:
        InvalidLeafNodeError, InvalidGroupInfoError: the creator does not support its own group (GC-04), or the application
            refuses an external sender.
        InvalidKeyPackageError: creator and invitees could use a better cipher suite, or not all can use this one (GC-03).
    """
    check_own_extensions(extensions)
    check_external_senders(policy, suite, extensions, limits=limits)
    pair = suite.derive_key_pair(draw(random, suite.hash_size))
    leaf = make_leaf_node(suite, client, pair.public_key, lifetime)
    check_leaf_node(suite, leaf, Lifetime, limits=limits)
    check_own_support(leaf, extensions)  # GC-04
    members = [client.capabilities, *(invitee.leaf_node.capabilities for invitee in invitees)]
    check_suite_choice(suite, members, preferred_suites)
    tree = RatchetTree.create(suite, leaf)
    context = GroupContext(ProtocolVersion.MLS10, suite.id, group_id, 0, tree.tree_hash, b"", tuple(extensions))
    public = PublicGroup(suite, context, tree, b"", b"")
    epoch_secret = Secret(draw(random, suite.hash_size))
    state = open_epoch(public, rule, epoch_secret, frozenset({LeafIndex(0)}), limits=limits)
    tag = confirmation_tag(suite, state.secrets.confirmation_key, b"")
    return CreatedGroup(confirm(state, tag), {pair.public_key: pair.private_key})  # GC-02


def own_leaf(state: GroupState, leaf_index: LeafIndex) -> LeafNode:
    """Return the leaf that this agent is about to act for.

    Raises:
        NotAMemberError: the leaf is not one of its own.
        StateError: the group is closed by a ReInit (CP-12).
    """
    leaf = state.public.tree.leaf(leaf_index)
    if leaf_index not in state.own_leaves or leaf is None:
        raise NotAMemberError("not an own leaf of this epoch")
    check_open(state, "CP-12")  # SQ-02
    return leaf


def check_open(state: GroupState, rule: str) -> None:
    """Check that no ReInit has closed the group; `rule` is the one that would be broken.

    Raises:
        StateError: one has.
    """
    if state.closed_by is not None:
        raise StateError("the group is closed by a ReInit", rule=rule)


def check_signer(leaf: LeafNode, signature_key: bytes) -> None:
    """Check that what is about to be signed will verify.

    Raises:
        NotAMemberError: the leaf holds another signature key.
    """
    if leaf.signature_key != signature_key:
        raise NotAMemberError("the client's signature key is not that of its leaf in this epoch")


def export_secret(state: GroupState, label: str, context: bytes, length: int) -> Secret:
    """Return `length` bytes bound to the epoch (RFC 9420, Section 8.5)."""
    return export(state.public.suite, state.secrets.exporter_secret, label, context, length)


def find_psk(state: GroupState, psk_id: PreSharedKeyID) -> bytes | None:
    """Return this group's own resumption PSK, if that is what `psk_id` names and it is still kept."""
    source = psk_id.source
    if opens_successor(psk_id) or not isinstance(source, ResumptionPSK):
        return None
    return state.resumption_psks.get(source.psk_epoch) if source.psk_group_id == state.public.context.group_id else None
