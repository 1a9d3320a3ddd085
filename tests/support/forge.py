"""Makes objects that break one rule: everything around the breach is signed, tagged and sealed as it should be.

With nothing altered the results are accepted, so what is altered is what gets them refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from dmls.ids import LeafIndex
from dmls.mls.codec import decode, encode, encode_opaque
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CipherSuite
from dmls.mls.framing.padding import no_padding
from dmls.mls.framing.private_message import protect_private
from dmls.mls.framing.signing import content_tbs, sign_content
from dmls.mls.group.applied import AppliedProposals
from dmls.mls.group.follower import PublicGroup
from dmls.mls.group.leaf import Client
from dmls.mls.group.secrets import derive_child, regular_init
from dmls.mls.group.state import GroupState
from dmls.mls.group.transition import add_joiner, enter, provisional_context
from dmls.mls.messages import group_info as group_infos
from dmls.mls.messages import key_package as key_packages
from dmls.mls.messages import leaf_node as leaf_nodes
from dmls.mls.messages.commit import Commit, HPKECiphertext, ProposalReference, UpdatePath
from dmls.mls.messages.extensions import Extension, ExternalPub, read_extension
from dmls.mls.messages.group_context import GroupContext
from dmls.mls.messages.group_info import GroupInfo
from dmls.mls.messages.key_package import KeyPackage, key_package_ref
from dmls.mls.messages.leaf_node import CommitSource, LeafNode
from dmls.mls.messages.message import (
    ApplicationData,
    AuthenticatedContent,
    FramedContent,
    Member,
    NewMemberCommit,
    PublicMessage,
    SenderBody,
    encode_authentication,
    encode_message,
)
from dmls.mls.messages.proposal import (
    Add,
    ExternalInit,
    GroupContextExtensions,
    PreSharedKey,
    ProposalBody,
    ReInit,
    Remove,
    Update,
)
from dmls.mls.messages.psk import PreSharedKeyID
from dmls.mls.messages.registry import ExtensionType, WireFormat
from dmls.mls.messages.welcome import EncryptedGroupSecrets, GroupSecrets, Welcome
from dmls.mls.schedule.key_schedule import (
    derive_epoch_secrets,
    derive_joiner_secret,
    derive_member_secrets,
    derive_welcome_secret,
    welcome_key_nonce,
)
from dmls.mls.schedule.psk import derive_psk_secret
from dmls.mls.schedule.transcript import confirmation_tag, confirmed_transcript_hash
from dmls.mls.tree.nodes import ParentNode
from dmls.mls.tree.ratchet_tree import RatchetTree
from dmls.mls.tree.treekem import StagedPath, seal_path, stage_path
from tests.support.groups import Party

__all__ = [
    "TreeNode",
    "forge_commit",
    "forge_external_commit",
    "forge_key_package",
    "forge_message",
    "forge_welcome",
    "frame",
    "nodes_of",
    "sign_group_info",
    "sign_leaf",
    "tree_of",
]

T = TypeVar("T")
Alteration = Callable[[T], T]
TreeNode = LeafNode | ParentNode | None


def same(value: T) -> T:
    """Alter nothing."""
    return value


def sign_leaf(suite: CipherSuite, leaf: LeafNode, client: Client, group_id: bytes = b"", index: int = 0) -> LeafNode:
    """Sign a leaf, whatever is in it."""
    content = leaf_nodes.encode_tbs(leaf, group_id, LeafIndex(index))
    return replace(leaf, signature=suite.sign_with_label(client.signature_private_key, "LeafNodeTBS", content))


def forge_key_package(
    party: Party, alter: Alteration[KeyPackage] = same, *, alter_leaf: Alteration[LeafNode] = same
) -> KeyPackage:
    """Make a key package whose leaf and self are altered before they are signed."""
    made = party.key_package()
    leaf = sign_leaf(party.suite, alter_leaf(made.leaf_node), party.client)
    package = alter(replace(made, leaf_node=leaf))
    signature = party.suite.sign_with_label(party.client.signature_private_key, "KeyPackageTBS", key_packages.encode_tbs(package))
    return replace(package, signature=signature)


def frame(
    state: GroupState | None,
    suite: CipherSuite,
    context: GroupContext,
    content: AuthenticatedContent,
    membership_key: bytes | None,
) -> bytes:
    """Make the message of a content, whatever is in it; a private one needs the state that it is sent in."""
    if content.wire_format is WireFormat.PRIVATE_MESSAGE:
        assert state is not None
        message, _ = protect_private(suite, content, state.secret_tree, state.secrets.sender_data_secret, no_padding, bytes)
        return encode_message(message)
    tag = None
    if isinstance(content.content.sender, Member):
        tbs = content_tbs(content.wire_format, content.content, context)
        tbm = tbs + encode_authentication(content.signature, content.confirmation_tag)
        tag = suite.mac(membership_key or b"", tbm)
    return encode_message(PublicMessage(content.content, content.signature, content.confirmation_tag, tag))


def forge_message(
    party: Party,
    body: ApplicationData | ProposalBody | Commit,
    *,
    sender: SenderBody | None = None,
    alter: Alteration[FramedContent] = same,
    alter_context: Alteration[GroupContext] = same,
    signature_key: bytes | None = None,
    signed_format: WireFormat | None = None,
    wire_format: WireFormat = WireFormat.PUBLIC_MESSAGE,
    alter_signature: Alteration[bytes] = same,
    membership_key: bytes | None = None,
) -> bytes:
    """Frame a content as a member, or as whatever `sender` says. A commit gets a confirmation tag of zeros."""
    state, suite = party.state, party.suite
    context = alter_context(state.public.context)
    framed = alter(FramedContent(context.group_id, context.epoch, sender or Member(party.leaf), b"", body))
    key = signature_key or party.client.signature_private_key
    signature = alter_signature(sign_content(suite, signed_format or wire_format, framed, context, key))
    tag = bytes(suite.hash_size) if isinstance(framed.content, Commit) else None
    content = AuthenticatedContent(wire_format, framed, signature, tag)
    return frame(state, suite, context, content, membership_key or state.secrets.membership_key)


def _apply(group: PublicGroup, proposals: Sequence[ProposalBody | ProposalReference], sender: SenderBody) -> AppliedProposals:
    """Apply what can be applied of a list, without judging it."""
    bodies: list[tuple[ProposalBody, SenderBody]] = []
    for entry in proposals:
        if isinstance(entry, ProposalReference):
            cached = group.proposals.get(entry.reference)  # type: ignore[call-overload]
            if cached is not None:
                bodies.append((cached.body, cached.content.content.sender))
        else:
            bodies.append((entry, sender))
    tree, extensions = group.tree, group.context.extensions
    for body, _ in bodies:
        if isinstance(body, GroupContextExtensions):
            extensions = body.extensions
    for body, owner in bodies:
        if isinstance(body, Update) and isinstance(owner, Member):
            tree = tree.update(LeafIndex(owner.leaf_index), body.leaf_node)
    gone = {LeafIndex(body.removed) for body, _ in bodies if isinstance(body, Remove)}
    tree = tree.remove_all(index for index in gone if tree.leaf(index) is not None and sender != Member(index))
    packages = [body.key_package for body, _ in bodies if isinstance(body, Add)]
    tree, indices = tree.add_all(package.leaf_node for package in packages)
    return AppliedProposals(
        tree,
        extensions,
        tuple(zip(indices, packages, strict=True)),
        (),
        (),
        tuple(body.psk for body, _ in bodies if isinstance(body, PreSharedKey)),
        None,
        next((body for body, _ in bodies if isinstance(body, ReInit)), None),
    )


def _stage(
    party: Party,
    tree: RatchetTree,
    group_id: bytes,
    index: LeafIndex,
    alter: Alteration[LeafNode],
    place: LeafIndex | None = None,
) -> StagedPath:
    client = party.client

    def make(encryption_key: bytes, parent_hash: bytes) -> LeafNode:
        leaf = LeafNode(
            encryption_key,
            client.signature_key,
            client.credential,
            client.capabilities,
            CommitSource(parent_hash),
            client.leaf_extensions,
            b"",
        )
        return sign_leaf(party.suite, alter(leaf), client, group_id, index if place is None else place)

    return stage_path(tree, index, make, party.random)


def forge_commit(
    party: Party,
    *proposals: ProposalBody | ProposalReference,
    with_path: bool = True,
    psks: Sequence[tuple[PreSharedKeyID, bytes]] = (),
    alter_leaf: Alteration[LeafNode] = same,
    alter_applied: Alteration[AppliedProposals] = same,
    alter_staged: Alteration[StagedPath] = same,
    alter_path: Alteration[UpdatePath] = same,
    alter_sealed: Alteration[StagedPath] = same,
    alter_sealing: Alteration[bytes] = same,
    alter_content: Alteration[FramedContent] = same,
    alter_tag: Alteration[bytes] = same,
    excluded: frozenset[LeafIndex] | None = None,
    wire_format: WireFormat = WireFormat.PUBLIC_MESSAGE,
) -> bytes:
    """Make a commit as a member, unjudged; the confirmation tag is what a member that accepted it would expect."""
    state, suite, group = party.state, party.suite, party.state.public
    sender = Member(party.leaf)
    applied = alter_applied(_apply(group, proposals, sender))
    staged = None
    tree = applied.tree
    path = None
    if with_path:
        staged = alter_staged(_stage(party, applied.tree, group.context.group_id, party.leaf, alter_leaf))
        tree = staged.tree
        added = frozenset(index for index, _ in applied.added) if excluded is None else excluded
        context = alter_sealing(provisional_context(group, applied, tree))
        path = alter_path(seal_path(applied.tree, alter_sealed(staged), added, context, party.random))
    framed = alter_content(
        FramedContent(group.context.group_id, group.context.epoch, sender, b"", Commit(tuple(proposals), path))
    )
    signature = sign_content(suite, wire_format, framed, group.context, party.client.signature_private_key)
    content = AuthenticatedContent(wire_format, framed, signature, b"")
    confirmed = confirmed_transcript_hash(suite, group.interim_transcript_hash, content)
    init = regular_init(state, None if staged is None else staged.last_path_secret)
    public = enter(group, applied, tree, confirmed, b"")
    child = derive_child(state, public, init, None if staged is None else staged.commit_secret, psks, state.own_leaves)
    tag = alter_tag(confirmation_tag(suite, child.state.secrets.confirmation_key, confirmed))
    return frame(state, suite, group.context, replace(content, confirmation_tag=tag), state.secrets.membership_key)


def forge_external_commit(
    party: Party,
    group: PublicGroup,
    group_info: GroupInfo,
    *proposals: ProposalBody | ProposalReference,
    inits: int = 1,
    with_path: bool = True,
    psks: Sequence[tuple[PreSharedKeyID, bytes]] = (),
    place: LeafIndex | None = None,
    alter_place: Alteration[tuple[RatchetTree, LeafIndex]] = same,
    alter_leaf: Alteration[LeafNode] = same,
    alter_staged: Alteration[StagedPath] = same,
    alter_path: Alteration[UpdatePath] = same,
    alter_content: Alteration[FramedContent] = same,
    external_pub: bytes | None = None,
) -> bytes:
    """Make an external commit, unjudged, as somebody who is not in the group; `place` is signed instead of the right leaf."""
    suite = party.suite
    if external_pub is None:
        extension = read_extension(group_info.extensions, ExtensionType.EXTERNAL_PUB, ExternalPub)
        assert extension is not None
        external_pub = extension.external_pub
    kem_output, init_secret = suite.export_external_init_seal(external_pub, party.random)
    listed = (*(ExternalInit(kem_output) for _ in range(inits)), *proposals)
    applied = _apply(group, listed, NewMemberCommit())
    template = LeafNode(
        b"", party.client.signature_key, party.client.credential, party.client.capabilities, CommitSource(b""), (), b""
    )
    before, index = alter_place(add_joiner(applied.tree, template))
    staged = alter_staged(_stage(party, before, group.context.group_id, index, alter_leaf, place))
    path = alter_path(seal_path(before, staged, frozenset(), provisional_context(group, applied, staged.tree), party.random))
    commit = Commit(tuple(listed), path if with_path else None)
    framed = alter_content(FramedContent(group.context.group_id, group.context.epoch, NewMemberCommit(), b"", commit))
    key = party.client.signature_private_key
    signature = sign_content(suite, WireFormat.PUBLIC_MESSAGE, framed, group.context, key)
    content = AuthenticatedContent(WireFormat.PUBLIC_MESSAGE, framed, signature, b"")
    confirmed = confirmed_transcript_hash(suite, group.interim_transcript_hash, content)
    context = encode(enter(group, applied, staged.tree, confirmed, b"").context)
    joiner_secret = derive_joiner_secret(suite, init_secret, staged.commit_secret, context)
    _, epoch_secret = derive_member_secrets(suite, joiner_secret, derive_psk_secret(suite, psks), context)
    tag = confirmation_tag(suite, derive_epoch_secrets(suite, epoch_secret).confirmation_key, confirmed)
    return frame(None, suite, group.context, replace(content, confirmation_tag=tag), None)


def sign_group_info(suite: CipherSuite, group_info: GroupInfo, client: Client) -> GroupInfo:
    """Sign a GroupInfo, whatever is in it."""
    content = group_infos.encode_tbs(group_info)
    return replace(group_info, signature=suite.sign_with_label(client.signature_private_key, "GroupInfoTBS", content))


def forge_welcome(
    joiner: Party,
    signer: Party,
    welcome: Welcome,
    *,
    alter_info: Alteration[GroupInfo] = same,
    alter_context: Alteration[GroupContext] = same,
    alter_nodes: Alteration[list[TreeNode]] = same,
    alter_secrets: Alteration[GroupSecrets] = same,
    alter_tag: Alteration[bytes] = same,
    psks: Sequence[tuple[PreSharedKeyID, bytes]] = (),
    psk_secret: Secret | None = None,
) -> Welcome:
    """Open a newcomer's Welcome with its own keys, alter what is in it, and close it again.

    The tree hash, the confirmation tag and the signature are made anew. `psks` are those that the altered secrets name.
    """
    suite = joiner.suite
    ((entry, bundle),) = (
        (entry, joiner.bundles[ref]) for ref in joiner.bundles for entry in welcome.secrets if entry.new_member == ref
    )
    init_key = bundle.key_package.init_key
    sealed = entry.encrypted_group_secrets
    opened = suite.open_with_label(
        bundle.init_private_key, init_key, "Welcome", welcome.encrypted_group_info, sealed.kem_output, sealed.ciphertext
    )
    secrets = decode(GroupSecrets, bytes(opened))
    joiner_secret = Secret(secrets.joiner_secret)
    before = derive_psk_secret(suite, ()) if psk_secret is None else psk_secret
    key, nonce = welcome_key_nonce(suite, derive_welcome_secret(suite, joiner_secret, before))
    info = decode(GroupInfo, suite.aead_open(key, nonce, b"", welcome.encrypted_group_info))

    secrets = alter_secrets(secrets)
    joiner_secret = Secret(secrets.joiner_secret)
    after = derive_psk_secret(suite, psks) if psks else before
    tree = read_tree(suite, info)
    if tree is not None and alter_nodes is not same:
        tree = tree_of(suite, alter_nodes(nodes_of(tree)))
        info = replace(info, group_context=replace(info.group_context, tree_hash=tree.tree_hash))
        info = replace(
            info,
            extensions=tuple(
                Extension(ExtensionType.RATCHET_TREE, tree.encode())
                if item.extension_type == ExtensionType.RATCHET_TREE
                else item
                for item in info.extensions
            ),
        )
    context = alter_context(info.group_context)
    welcome_secret, epoch_secret = derive_member_secrets(suite, joiner_secret, after, encode(context))
    confirmation_key = derive_epoch_secrets(suite, epoch_secret).confirmation_key
    tag = alter_tag(confirmation_tag(suite, confirmation_key, context.confirmed_transcript_hash))
    info = sign_group_info(suite, alter_info(replace(info, group_context=context, confirmation_tag=tag)), signer.client)
    key, nonce = welcome_key_nonce(suite, welcome_secret)
    encrypted = suite.aead_seal(key, nonce, b"", encode(info))
    resealed = suite.seal_with_label(init_key, "Welcome", encrypted, encode(secrets), joiner.random)
    ref = key_package_ref(suite, bundle.key_package)
    return Welcome(welcome.cipher_suite, (EncryptedGroupSecrets(ref, HPKECiphertext(*resealed)),), encrypted)


def read_tree(suite: CipherSuite, info: GroupInfo) -> RatchetTree | None:
    """Return the tree that a GroupInfo carries."""
    for item in info.extensions:
        if item.extension_type == ExtensionType.RATCHET_TREE:
            return RatchetTree.decode(suite, item.extension_data)
    return None


def nodes_of(tree: RatchetTree) -> list[TreeNode]:
    """Return the contents of all nodes of a tree, by node index."""
    return [
        tree.parent(node) if node & 1 else tree.leaf(LeafIndex(node >> 1))  # type: ignore[arg-type]
        for node in range(2 * tree.width - 1)
    ]


def tree_of(suite: CipherSuite, nodes: Sequence[TreeNode]) -> RatchetTree:
    """Make a tree out of the contents of its nodes; blank ones at the end are left out, as on the wire."""
    parts = []
    for node in nodes:
        kind = b"\x01\x01" if isinstance(node, LeafNode) else b"\x01\x02"
        parts.append(b"\x00" if node is None else kind + encode(node))
    while parts and parts[-1] == b"\x00":
        parts.pop()
    return RatchetTree.decode(suite, encode_opaque(b"".join(parts)))
