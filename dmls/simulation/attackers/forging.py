"""Commits made by hand: everything around a breach is signed, tagged and sealed as it should be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dmls.forks.aad import commit_ref, make_node_ref
from dmls.ids import CommitRef, EventId, LeafIndex
from dmls.matrix.bodies import CommitBody, EventPointer, Inline, content_of
from dmls.mls.codec import Lazy
from dmls.mls.crypto.randomness import Random
from dmls.mls.crypto.secret import Secret
from dmls.mls.framing.public_message import protect_public
from dmls.mls.framing.signing import sign_content
from dmls.mls.group.applied import apply_proposals
from dmls.mls.group.commit import stage_own_path
from dmls.mls.group.leaf import Client
from dmls.mls.group.policy import OpenPolicy
from dmls.mls.group.proposals import resolve_proposals
from dmls.mls.group.secrets import derive_child, regular_init
from dmls.mls.group.state import GroupState
from dmls.mls.group.transition import enter, provisional_context
from dmls.mls.group.welcome import make_group_info
from dmls.mls.messages import group_info as group_infos
from dmls.mls.messages.commit import Commit, HPKECiphertext, UpdatePath
from dmls.mls.messages.group_info import GroupInfo
from dmls.mls.messages.message import AuthenticatedContent, FramedContent, Member, encode_message
from dmls.mls.messages.proposal import ProposalBody
from dmls.mls.messages.registry import SignatureLabel, WireFormat
from dmls.mls.schedule.transcript import confirmation_tag, confirmed_transcript_hash
from dmls.mls.tree.treekem import seal_path

__all__ = ["ForgedCommit", "Hints", "forge_commit", "garble_path", "make_twin"]


@dataclass(frozen=True, slots=True, repr=False)
class ForgedCommit:
    """A commit, and the epoch that its author enters.

    Attributes:
        content: of the event.
        parent: the state of the epoch in which it is sent.
    """

    ref: CommitRef
    content: Mapping[str, Any]
    framed: AuthenticatedContent
    group_info: GroupInfo
    parent: GroupState
    state: GroupState
    keys: Mapping[bytes, Secret]


@dataclass(frozen=True, slots=True)
class Hints:
    """What an event says in clear beside the commit: where the parent's event and the last keyframe are."""

    parent_event: EventId | None
    keyframe_event: EventId


def _same(path: UpdatePath) -> UpdatePath:
    return path


def garble_path(path: UpdatePath, places: Sequence[int]) -> UpdatePath:
    """Spoil what some nodes of a path, counted from below, are sealed to: none of those below can open it."""
    nodes = list(path.nodes)
    for place in places:
        sealed = (_garble(item) for item in nodes[place].encrypted_path_secret)
        nodes[place] = replace(nodes[place], encrypted_path_secret=Lazy.pack(HPKECiphertext, list(sealed)))
    return replace(path, nodes=tuple(nodes))


def _garble(sealed: HPKECiphertext) -> HPKECiphertext:
    return replace(sealed, ciphertext=sealed.ciphertext[:-1] + bytes([sealed.ciphertext[-1] ^ 1]))


def forge_commit(
    state: GroupState,
    client: Client,
    leaf_index: LeafIndex,
    proposals: Sequence[ProposalBody],
    aad: bytes,
    random: Random,
    hints: Hints,
    alter_path: Callable[[UpdatePath], UpdatePath] = _same,
) -> ForgedCommit:
    """Make a commit with a path, unjudged; the confirmation tag is what who accepts it would expect.

    Raises:
        DMLSError: not even its author could apply the proposals.
    """
    group, suite = state.public, state.public.suite
    sender = Member(leaf_index)
    resolved = resolve_proposals(group, Commit(tuple(proposals), None), sender)
    applied = apply_proposals(group, resolved, OpenPolicy())
    staged = stage_own_path(group, applied.tree, client, leaf_index, random)
    added = frozenset(index for index, _ in applied.added)
    path = alter_path(seal_path(applied.tree, staged, added, provisional_context(group, applied, staged.tree), random))
    framed = FramedContent(group.context.group_id, group.context.epoch, sender, aad, Commit(tuple(proposals), path))
    signature = sign_content(suite, WireFormat.PUBLIC_MESSAGE, framed, group.context, client.signature_private_key)
    untagged = AuthenticatedContent(WireFormat.PUBLIC_MESSAGE, framed, signature, b"")
    confirmed = confirmed_transcript_hash(suite, group.interim_transcript_hash, untagged)
    init = regular_init(state, staged.last_path_secret)
    own_leaves = frozenset({leaf_index})
    child = derive_child(state, enter(group, applied, staged.tree, confirmed, b""), init, staged.commit_secret, (), own_leaves)
    tag = confirmation_tag(suite, child.state.secrets.confirmation_key, confirmed)
    content = replace(untagged, confirmation_tag=tag)
    entered = replace(child.state, public=enter(group, applied, staged.tree, confirmed, tag))
    ref = commit_ref(suite, content)
    info = make_group_info(entered, client, leaf_index, extensions=(make_node_ref(ref),))
    event = _event_content(state, content, info, ref, hints)
    return ForgedCommit(ref, event, content, info, state, entered, dict(staged.private_keys))


def make_twin(commit: ForgedCommit, client: Client, tag: bytes, hints: Hints) -> ForgedCommit:
    """Make a commit that differs from another in its confirmation tag only, with a GroupInfo that fits."""
    suite = commit.state.public.suite
    content = replace(commit.framed, confirmation_tag=tag)
    ref = commit_ref(suite, content)
    rest = [item for item in commit.group_info.extensions if item.extension_type != make_node_ref(ref).extension_type]
    unsigned = replace(commit.group_info, confirmation_tag=tag, extensions=(*rest, make_node_ref(ref)), signature=b"")
    info = sign_group_info(commit.state, unsigned, client)
    return replace(
        commit, ref=ref, framed=content, group_info=info, content=_event_content(commit.parent, content, info, ref, hints)
    )


def sign_group_info(state: GroupState, info: GroupInfo, client: Client) -> GroupInfo:
    """Sign a GroupInfo, whatever is in it."""
    tbs = group_infos.encode_tbs(info)
    signature = state.public.suite.sign_with_label(client.signature_private_key, SignatureLabel.GROUP_INFO_TBS, tbs)
    return replace(info, signature=signature)


def _event_content(
    parent: GroupState, content: AuthenticatedContent, info: GroupInfo, ref: CommitRef, hints: Hints
) -> Mapping[str, Any]:
    suite = parent.public.suite
    message = protect_public(suite, content, parent.public.context, parent.secrets.membership_key)
    body = CommitBody(
        ciphersuite=suite.id,
        message=Inline(encode_message(message)),
        group_info=Inline(encode_message(info)),
        keyframe=EventPointer(hints.keyframe_event),
        parent_event=hints.parent_event,
        commit_ref=ref,
    )
    return content_of(body)
