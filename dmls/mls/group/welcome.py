"""GroupInfo and Welcome: how newcomers are let in (RFC 9420, Section 12.4.3)."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace

from immutables import Map

from dmls.errors import InvalidGroupInfoError, InvalidWelcomeError
from dmls.ids import LeafIndex
from dmls.mls.codec import decode, encode
from dmls.mls.crypto.randomness import Random
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CipherSuite
from dmls.mls.group.applied import AppliedProposals
from dmls.mls.group.follower import PublicGroup, check_followed_group_info, follow
from dmls.mls.group.leaf import Client, KeyPackageBundle
from dmls.mls.group.policy import GroupPolicy, OpenPolicy, PSKLookup
from dmls.mls.group.predecessor import check_group_id, check_successor, find_predecessor
from dmls.mls.group.secrets import ChildEpoch, check_confirmation
from dmls.mls.group.state import GroupState, open_epoch
from dmls.mls.group.validation import check_own_support
from dmls.mls.limits import DEFAULT_LIMITS, Limits
from dmls.mls.messages import group_info as group_infos
from dmls.mls.messages.commit import HPKECiphertext
from dmls.mls.messages.extensions import Extension, ExternalPub, find_extension, make_extension
from dmls.mls.messages.grease import grease_extension
from dmls.mls.messages.group_info import GroupInfo
from dmls.mls.messages.key_package import key_package_ref
from dmls.mls.messages.leaf_node import LeafNode
from dmls.mls.messages.psk import PreSharedKeyID, opens_successor
from dmls.mls.messages.registry import EncryptionLabel, ExtensionType, SignatureLabel
from dmls.mls.messages.welcome import EncryptedGroupSecrets, GroupSecrets, PathSecret, Welcome
from dmls.mls.schedule.key_schedule import (
    RFC9420_RULE,
    InitSecretRule,
    derive_member_secrets,
    derive_welcome_secret,
    external_key_pair,
    welcome_key_nonce,
)
from dmls.mls.schedule.psk import check_unique_psks, derive_psk_secret
from dmls.mls.tree.ratchet_tree import RatchetTree
from dmls.mls.tree.treekem import StagedPath, derive_from, path_secret_for

__all__ = ["JoinOptions", "JoinedGroup", "choose_tree", "join", "make_group_info", "make_welcome", "open_path_keys"]


def make_group_info(
    state: GroupState,
    client: Client,
    leaf_index: LeafIndex,
    *,
    extensions: Sequence[Extension] = (),
    with_tree: bool = False,
    with_external_pub: bool = True,
    grease: Random | None = None,
) -> GroupInfo:
    """Make and sign the GroupInfo of a state's epoch (CC-08, WL-29); with `grease`, one extension of it means nothing."""
    public = state.public
    listed = list(extensions)
    if grease is not None:
        listed.append(grease_extension(grease))
    if with_external_pub:
        pair = external_key_pair(public.suite, state.secrets.external_secret)
        listed.append(make_extension(ExtensionType.EXTERNAL_PUB, ExternalPub(pair.public_key)))
    if with_tree:
        listed.append(Extension(ExtensionType.RATCHET_TREE, public.tree.encode()))
    unsigned = GroupInfo(public.context, tuple(listed), public.confirmation_tag, leaf_index, b"")  # WL-29
    content = group_infos.encode_tbs(unsigned)
    signature = public.suite.sign_with_label(client.signature_private_key, SignatureLabel.GROUP_INFO_TBS, content)
    return replace(unsigned, signature=signature)


def make_welcome(
    child: ChildEpoch, applied: AppliedProposals, staged: StagedPath | None, group_info: GroupInfo, random: Random
) -> Welcome:
    """Invite everybody a commit added (CC-09 to CC-11, WL-18)."""
    suite = child.state.public.suite
    key, nonce = welcome_key_nonce(suite, child.welcome_secret)
    encrypted = suite.aead_seal(key, nonce, b"", encode(group_info))
    recipients = []
    for index, key_package in applied.added:  # CC-09
        path_secret = None if staged is None else PathSecret(path_secret_for(staged, index))  # CC-10, WL-18
        content = encode(GroupSecrets(child.joiner_secret, path_secret, applied.psk_ids))  # CC-11, PSK-05
        recipients.append((key_package.init_key, content))
    sealed = suite.sealer(EncryptionLabel.WELCOME, encrypted).seal_all(recipients, random)
    secrets = tuple(
        EncryptedGroupSecrets(key_package_ref(suite, key_package), HPKECiphertext(*one))
        for (_, key_package), one in zip(applied.added, sealed, strict=True)
    )
    return Welcome(suite.id, secrets, encrypted)


@dataclass(frozen=True, slots=True)
class JoinOptions:
    """How to join, where the defaults do not fit."""

    rule: InitSecretRule = RFC9420_RULE
    policy: GroupPolicy = OpenPolicy()
    psks: PSKLookup | None = None
    now: int | None = None
    """Seconds since the epoch; turns lifetime checks of the members' leaves on (LN-13)."""
    limits: Limits = DEFAULT_LIMITS
    followed: PublicGroup | None = None
    """The epoch as already followed and validated: the tree is taken from it without judging each leaf again."""
    open_groups: Container[bytes] = frozenset()
    """Ids of the groups that the client is in (WL-09). A group that a ReInit closed need not be left out."""
    predecessors: Sequence[GroupState] = ()
    """What the group may continue, and must where it is given: the group that a ReInit closed, or the epochs that a branch may
    have been made from. Without it, only a group that continues none is joined (RFC 9420, Sections 11.2 and 11.3). Of forks of
    one epoch only one may be given: a Welcome names an epoch by its number, and one fork's key alone opens it."""


_DEFAULT_OPTIONS = JoinOptions()


@dataclass(frozen=True, slots=True, repr=False)
class JoinedGroup:
    """An epoch entered from outside."""

    state: GroupState
    leaf_index: LeafIndex
    private_keys: Mapping[bytes, Secret]
    group_info: GroupInfo


def join(
    suite: CipherSuite,
    welcome: Welcome,
    bundle: KeyPackageBundle,
    *,
    ratchet_tree: bytes | None = None,
    options: JoinOptions = _DEFAULT_OPTIONS,
) -> JoinedGroup:
    """Join a group by Welcome (RFC 9420, Section 12.4.3.1). Consumes nothing: the caller drops the key package (WL-28).

    Args:
        suite: the key package's cipher suite.
        welcome: the message.
        bundle: the key package it is for, with its private keys.
        ratchet_tree: the encoded tree, where the Welcome does not carry it.
        options: see `JoinOptions`.

    Raises:
        InvalidWelcomeError, InvalidGroupInfoError, InvalidTreeError, InvalidLeafNodeError: a rule is broken.
        SignatureError, MacError, DecryptionError: a cryptographic check failed.
    """
    secrets = _open_secrets(suite, welcome, bundle)
    predecessor = find_predecessor(secrets.psks, options.predecessors)
    psks = _find_psks(suite, secrets, options.psks, predecessor)
    psk_secret = derive_psk_secret(suite, psks)
    key, nonce = welcome_key_nonce(suite, derive_welcome_secret(suite, Secret(secrets.joiner_secret), psk_secret))
    group_info = decode(GroupInfo, suite.aead_open(key, nonce, b"", welcome.encrypted_group_info))  # WL-07
    context, own_leaf = group_info.group_context, bundle.key_package.leaf_node
    check_group_id(context.group_id, options.open_groups, predecessor)
    check_own_support(own_leaf, context.extensions)  # WL-21, WL-24
    public = _follow(suite, group_info, ratchet_tree, options)
    if predecessor is not None:
        check_successor(options.policy, predecessor, public)
    leaf_index = _find_own_leaf(public.tree, own_leaf)
    if leaf_index == group_info.signer:
        raise InvalidWelcomeError("the GroupInfo is signed by the newcomer itself", rule="WL-27")
    path_keys = _derive_path_keys(secrets, public.tree, leaf_index, LeafIndex(group_info.signer))
    keys = {own_leaf.encryption_key: bundle.encryption_private_key, **path_keys}
    _, epoch_secret = derive_member_secrets(suite, Secret(secrets.joiner_secret), psk_secret, encode(context))
    state = open_epoch(public, options.rule, epoch_secret, frozenset({leaf_index}), Map(), limits=options.limits)
    check_confirmation(state, "WL-19")
    return JoinedGroup(state, leaf_index, keys, group_info)  # WL-28


def open_path_keys(
    welcome: Welcome, bundle: KeyPackageBundle, group: PublicGroup, committer: LeafIndex
) -> Mapping[bytes, Secret]:
    """Return the private keys of the nodes above both a new leaf and the committer's, by public key.

    For an agent that has entered the epoch by another leaf of its own, or by another key package: those of its nodes may end with
    that leaf, and what is sealed to the nodes above the new one is opened with these.

    Args:
        welcome: that of the commit which adds the leaf.
        bundle: the leaf's key package, with its private keys.
        group: the epoch that the commit begins.
        committer: the committer's leaf.

    Raises:
        InvalidWelcomeError: the Welcome is not for this key package or not of this epoch.
        DecryptionError, CodecError: it does not open, or not to group secrets.
    """
    secrets = _open_secrets(group.suite, welcome, bundle)
    leaf_index = _find_own_leaf(group.tree, bundle.key_package.leaf_node)
    return _derive_path_keys(secrets, group.tree, leaf_index, committer)


def _find_own_leaf(tree: RatchetTree, own_leaf: LeafNode) -> LeafIndex:
    leaf_index = tree.find_signature_key(own_leaf.signature_key)
    if leaf_index is None or tree.leaf(leaf_index) != own_leaf:
        raise InvalidWelcomeError("the key package's leaf is not in the tree", rule="WL-15")
    return leaf_index


def _derive_path_keys(secrets: GroupSecrets, tree: RatchetTree, leaf: LeafIndex, committer: LeafIndex) -> Mapping[bytes, Secret]:
    """Return the private keys of the nodes above both leaves; none where the commit has no path."""
    if secrets.path_secret is None:
        return {}
    return derive_from(tree, leaf, committer, Secret(secrets.path_secret.path_secret)).private_keys


def _open_secrets(suite: CipherSuite, welcome: Welcome, bundle: KeyPackageBundle) -> GroupSecrets:
    key_package = bundle.key_package
    if welcome.cipher_suite != suite.id or key_package.cipher_suite != suite.id:
        raise InvalidWelcomeError("the Welcome is for another cipher suite", rule="WL-02")
    entries = [entry for entry in welcome.secrets if entry.new_member == bundle.ref]  # WL-30
    if len(entries) != 1:
        raise InvalidWelcomeError("the Welcome does not name this key package once", rule="WL-01")
    sealed = entries[0].encrypted_group_secrets
    opened = suite.open_with_label(  # WL-03
        bundle.init_private_key,
        key_package.init_key,
        EncryptionLabel.WELCOME,
        welcome.encrypted_group_info,
        sealed.kem_output,
        sealed.ciphertext,
    )
    return decode(GroupSecrets, bytes(opened))


def _find_psks(
    suite: CipherSuite, secrets: GroupSecrets, lookup: PSKLookup | None, predecessor: GroupState | None
) -> list[tuple[PreSharedKeyID, bytes]]:
    check_unique_psks(secrets.psks, InvalidWelcomeError)
    found = []
    for psk_id in secrets.psks:
        if len(psk_id.psk_nonce) != suite.hash_size:
            raise InvalidWelcomeError("psk_nonce has another length than the KDF's output", rule="WL-06")
        if opens_successor(psk_id):
            psk: bytes | None = None if predecessor is None else predecessor.secrets.resumption_psk
        else:
            psk = None if lookup is None else lookup(psk_id)
        if psk is None:
            raise InvalidWelcomeError("unknown pre-shared key", rule="WL-04")
        found.append((psk_id, psk))
    return found


def choose_tree(
    suite: CipherSuite, group_info: GroupInfo, ratchet_tree: bytes | None, limits: Limits = DEFAULT_LIMITS
) -> RatchetTree:
    """Decode the tree of a GroupInfo, or the one that came another way; two that differ are refused (WL-25).

    Raises:
        InvalidGroupInfoError: there is none, or the two differ (AMB-15).
    """
    inline = find_extension(group_info.extensions, ExtensionType.RATCHET_TREE)
    if inline is not None and ratchet_tree is not None and inline != ratchet_tree:
        raise InvalidGroupInfoError("two different trees", rule="WL-25")
    encoded = inline if inline is not None else ratchet_tree
    if encoded is None:
        raise InvalidGroupInfoError("no ratchet tree", rule="WL-25")
    return RatchetTree.decode(suite, encoded, max_leaves=limits.max_leaves)


def _follow(suite: CipherSuite, group_info: GroupInfo, ratchet_tree: bytes | None, options: JoinOptions) -> PublicGroup:
    followed = options.followed
    if followed is not None:
        check_followed_group_info(suite, group_info, followed)
        return followed
    tree = choose_tree(suite, group_info, ratchet_tree, options.limits)
    return follow(suite, group_info, tree, policy=options.policy, now=options.now, limits=options.limits)
