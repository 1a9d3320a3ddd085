"""Making nodes: genesis, commit, external commit (docs/protocol.md, Section 8).

Whatever is made here takes effect at once in the draft, and leaves with the step's transaction: an author cannot process its own
commit, so the epoch has to be stored with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from dmls.engine.agent import DevicePolicy, OwnDevice
from dmls.engine.announcements import emit, emit_commit, emit_welcome
from dmls.engine.commits import add_genesis
from dmls.engine.committers import Committer
from dmls.engine.effects import NoticeKind
from dmls.engine.nodes import add_epoch, add_node, epoch_id, own_leaves, refresh_head
from dmls.engine.planning import Plan
from dmls.engine.profile import group_extensions, rule_of
from dmls.engine.records import put_claim, put_epoch, put_key_package
from dmls.engine.sources import NO_EVENT
from dmls.engine.state import Draft, NodeEntry
from dmls.engine.voting import take_vote_seq
from dmls.errors import CryptoError, LimitError, ValidationError
from dmls.forks.aad import (
    EpochPointer,
    Farewell,
    KeySchedule,
    commit_ref,
    content_hash,
    genesis_ref,
    make_commit_aad,
    make_node_ref,
)
from dmls.forks.graph import Device, Node
from dmls.forks.pprf import init_secret_rule
from dmls.forks.reconcile import LeafRemoval, RemovalReason
from dmls.ids import CommitRef, LeafIndex
from dmls.matrix.bodies import (
    GenesisBody,
    Inline,
)
from dmls.matrix.identifiers import group_id
from dmls.mls.codec import decode
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CipherSuite, cipher_suite
from dmls.mls.group.commit import CommitOptions, StagedCommit, create_commit
from dmls.mls.group.external import StagedExternalCommit, create_external_commit
from dmls.mls.group.leaf import create_key_package
from dmls.mls.group.state import GroupState, create_group
from dmls.mls.group.welcome import make_group_info
from dmls.mls.messages.extensions import Extension
from dmls.mls.messages.group_info import GroupInfo
from dmls.mls.messages.key_package import KeyPackage, is_last_resort
from dmls.mls.messages.leaf_node import Lifetime
from dmls.mls.messages.message import AuthenticatedContent, MLSMessage, encode_message
from dmls.mls.messages.proposal import Add, ProposalBody, Remove
from dmls.mls.tree.ratchet_tree import RatchetTree

__all__ = ["needs_keyframe", "ready_key_packages", "send_commit", "send_external_commit", "send_genesis"]

KEYFRAME_EVERY = 32
"""Least number of commits between two keyframes."""
LEAF_LIFETIME_S = 90 * 86_400
MAX_RESOLVED = 1_024
"""How many side heads one commit resolves; others wait for the next."""
_POLICY = DevicePolicy()


def _lifetime(draft: Draft) -> Lifetime:
    now = draft.now_ms // 1_000
    return Lifetime(max(0, now - 3_600), now + LEAF_LIFETIME_S)


def send_genesis(draft: Draft, own: OwnDevice) -> None:
    """Begin the group of the room with one own device."""
    room_id = draft.state.room_id
    suite = cipher_suite(draft.state.cipher_suite)
    created = create_group(
        suite,
        group_id(room_id),
        own.client,
        _lifetime(draft),
        draft.random,
        extensions=group_extensions(room_id),
        rule=init_secret_rule(KeySchedule.PPRF),
    )
    encoded = encode_message(make_group_info(created.state, own.client, LeafIndex(0)))
    ref = genesis_ref(suite, encoded)
    add_genesis(draft, ref, created.state.public, encoded, own.device, NO_EVENT)
    add_epoch(draft, ref, created.state, created.private_keys)
    body = GenesisBody(suite.id, Inline(encoded), Inline(created.state.public.tree.encode()), commit_ref=ref)
    emit(draft, own.device, body, ref)
    draft.notify(NoticeKind.GENESIS, ref)


def ready_key_packages(draft: Draft, devices: Sequence[Device]) -> tuple[Device, ...]:
    """Return those devices that could be added now: own ones, and those whose key package was claimed."""
    state = draft.state
    return tuple(device for device in devices if device in state.agent.devices or device in state.key_packages)


def _additions(draft: Draft, devices: Sequence[Device]) -> tuple[list[KeyPackage], dict[bytes, Secret]]:
    """Return the key packages of devices that are ready, and the leaf keys of the own ones."""
    suite = cipher_suite(draft.state.cipher_suite)
    key_packages, keys = [], {}
    for device in devices:
        own = draft.state.agent.devices.get(device)
        if own is not None:
            bundle = create_key_package(suite, own.client, _lifetime(draft), draft.random)
            keys[bundle.key_package.leaf_node.encryption_key] = bundle.encryption_private_key
            key_packages.append(bundle.key_package)
        else:
            key_packages.append(draft.state.key_packages[device])
    return key_packages, keys


def _removals(draft: Draft, plan: Plan, committer: Committer) -> tuple[tuple[LeafRemoval, ...], Farewell]:
    """Return the leaves to remove in one commit, and what it says of them.

    That they are gone for good covers every leaf of the committer's user that the commit removes, so those that only left go in a
    commit of their own. Nobody has that word for other users. That they are stale covers all.
    """
    user = committer.own.device.user_id
    removals = tuple(removal for removal in plan.survey.removals if removal.leaf.leaf_index != committer.leaf_index)
    if not removals:
        return plan.survey.evictions, Farewell.STALE if plan.survey.evictions else Farewell.NOTHING
    final = [item for item in removals if item.reason is RemovalReason.FINALLY_GONE and item.leaf.device.user_id == user]
    if not final or not draft.state.agent.is_service:
        return removals, Farewell.NOTHING
    kept = [item for item in removals if item.leaf.device.user_id != user]
    return (*final, *kept), Farewell.GONE


def send_commit(draft: Draft, plan: Plan, committer: Committer, *, renews: bool) -> CommitRef | None:
    """Commit on the head what is to be removed, what can be added, and which side heads that resolves.

    A claimed key package that does not fit is dropped, so that it cannot hold up a removal; None if nothing is left to do.
    `renews`: the committer's keys are reason enough.

    Raises:
        DMLSError: the commit cannot be made; the draft must be thrown away.
    """
    if plan.held is None:
        raise LimitError("the head's secrets are not held")
    leaf_index, own = committer.leaf_index, committer.own
    parent, state = plan.entry, plan.held.state
    suite = parent.group.suite
    removals, farewell = _removals(draft, plan, committer)
    side_heads = plan.survey.side_heads[:MAX_RESOLVED]
    vote_seq = take_vote_seq(draft, own.device)
    aad = make_commit_aad(
        EpochPointer(plan.head, epoch_id(state)),
        vote_seq,
        resolves=tuple(_pointer(draft, ref) for ref in side_heads),
        rejects=tuple(EpochPointer(ref, b"") for ref in plan.survey.rejects),
        logout=farewell,
    )
    options = CommitOptions(
        authenticated_data=aad,
        force_path=True,
        policy=_POLICY,
        welcome_with_tree=False,
        now=draft.now_ms // 1_000,
        group_info_extensions=_namer(suite),
    )
    removes: list[ProposalBody] = [Remove(removal.leaf.leaf_index) for removal in removals]

    def stage(devices: Sequence[Device]) -> tuple[StagedCommit, dict[bytes, Secret]]:
        key_packages, keys = _additions(draft, devices)
        adds = [Add(key_package) for key_package in key_packages]
        return create_commit(state, own.client, leaf_index, [*removes, *adds], draft.random, options), keys

    additions = ready_key_packages(draft, plan.survey.additions)
    try:
        staged, joined = stage(additions)
    except (ValidationError, CryptoError):
        additions = _drop_unfit(draft, additions, stage)
        if not (additions or removals or plan.survey.needs_merge or plan.survey.rejects or renews):
            return None
        staged, joined = stage(additions)
    ref = commit_ref(suite, staged.content)
    node = Node(
        commit_ref=ref,
        parent_ref=plan.head,
        event_id=NO_EVENT.event_id,
        sender=own.device.user_id,
        author=own.device,
        epoch=staged.state.public.context.epoch,
        vote_seq=vote_seq,
        content_hash=content_hash(suite, staged.content.content),
        adds=additions,
        removes=tuple(removal.leaf.device for removal in removals),
        logout=farewell is Farewell.GONE,
        evicts=farewell is Farewell.STALE,
        resolves=side_heads,
        rejects=plan.survey.rejects,
    )
    group_info = staged.group_info or _make_group_info(staged, own, leaf_index)
    entry = _own_entry(draft, node, staged.state.public.tree, parent, len(staged.message), encode_message(group_info))
    packages = draft.state.key_packages
    last_resorts = tuple(device for device in additions if device in packages and is_last_resort(packages[device]))
    entry = replace(entry, group=staged.state.public, last_resorts=last_resorts)
    _hold_parent(draft, plan.head, staged.parent)
    add_node(draft, entry)
    add_epoch(draft, ref, staged.state, {**staged.private_keys, **joined})
    _own_everything(draft, ref)
    foreign = [device for device in additions if device not in draft.state.agent.devices]
    emit_commit(draft, own, entry, parent, staged.message, staged.welcome if foreign else None, side_heads)
    for device in additions:
        _forget_key_package(draft, device)
    if foreign and staged.welcome is not None:
        emit_welcome(draft, own, foreign, ref, staged.welcome)
    refresh_head(draft)
    return ref


def _drop_unfit(draft: Draft, devices: Sequence[Device], stage: Callable[[Sequence[Device]], object]) -> tuple[Device, ...]:
    """Return the devices whose key packages fit, alone and together; the others' are dropped and asked for again in a minute."""
    kept: list[Device] = []
    for device in devices:
        try:
            stage([*kept, device])
        except (ValidationError, CryptoError):
            if device in draft.state.key_packages:
                draft.update(key_packages=draft.state.key_packages.delete(device))
                put_key_package(draft, device, None)
        else:
            kept.append(device)
    return tuple(kept)


def _namer(suite: CipherSuite) -> Callable[[AuthenticatedContent], Sequence[Extension]]:
    """Return what makes the GroupInfo extension that names the node of a commit."""
    return lambda content: (make_node_ref(commit_ref(suite, content)),)


def _make_group_info(staged: StagedCommit | StagedExternalCommit, own: OwnDevice, leaf_index: LeafIndex) -> GroupInfo:
    """Sign the GroupInfo of a commit's epoch, which names its node."""
    extensions = _namer(staged.state.public.suite)(staged.content)
    return make_group_info(staged.state, own.client, leaf_index, extensions=extensions)


def _pointer(draft: Draft, ref: CommitRef) -> EpochPointer:
    held = draft.state.epochs.get(ref)
    return EpochPointer(ref, b"" if held is None else epoch_id(held.state))


def _hold_parent(draft: Draft, ref: CommitRef, state: GroupState) -> None:
    held = replace(draft.state.epochs[ref], state=state)
    draft.update(epochs=draft.state.epochs.set(ref, held))
    put_epoch(draft, ref, held)


def _own_everything(draft: Draft, ref: CommitRef) -> None:
    """Let every own device with a leaf in a new epoch be one of its members."""
    held = draft.state.epochs[ref]
    leaves = own_leaves(draft, held.state.public.tree)
    if leaves != held.state.own_leaves:
        add_epoch(draft, ref, replace(held.state, own_leaves=leaves), {})


def needs_keyframe(commits: int, volume: int, tree: RatchetTree) -> bool:
    """Tell whether a commit carries its tree: `commits`, it included, since the last one that did, with `volume` bytes in all."""
    return commits >= KEYFRAME_EVERY and volume > len(tree.encode())


def _own_entry(draft: Draft, node: Node, tree: RatchetTree, parent: NodeEntry, size: int, group_info: bytes) -> NodeEntry:
    """Return the entry of an own commit, and decide whether it carries a keyframe."""
    commits = parent.commits_since_keyframe + 1
    volume = parent.bytes_since_keyframe + size
    keyframe_event = draft.state.entries[parent.keyframe].node.event_id
    carries = not keyframe_event or needs_keyframe(commits, volume, tree)
    return NodeEntry(
        node,
        parent.group,
        group_info,
        node.commit_ref if carries else parent.keyframe,
        0 if carries else volume,
        0 if carries else commits,
        (NO_EVENT,),
        draft.now_ms,
    )


def _forget_key_package(draft: Draft, device: Device) -> None:
    if device in draft.state.key_packages:
        draft.update(key_packages=draft.state.key_packages.delete(device))
        put_key_package(draft, device, None)
    if device in draft.state.claims:
        draft.update(claims=draft.state.claims.delete(device))
        put_claim(draft, device, None)


def send_external_commit(draft: Draft, plan: Plan, own: OwnDevice) -> CommitRef:
    """Join the head with one own device and nobody's help; an old leaf of the device is replaced.

    Raises:
        DMLSError: the head's GroupInfo does not allow it; the draft must be thrown away.
    """
    parent = plan.entry
    suite = parent.group.suite
    info = decode(MLSMessage, parent.group_info).body
    if not isinstance(info, GroupInfo):
        raise LimitError("the head has no GroupInfo")
    vote_seq = take_vote_seq(draft, own.device)
    aad = make_commit_aad(EpochPointer(plan.head, b""), vote_seq)
    options = CommitOptions(authenticated_data=aad, policy=_POLICY)
    replaced = next((leaf for leaf in plan.survey.situation.leaves if _is_same_name(leaf.device, own.device)), None)
    staged = create_external_commit(
        parent.group,
        info,
        own.client,
        draft.random,
        replaces=None if replaced is None else replaced.leaf_index,
        rule=rule_of(parent.group),
        options=options,
    )
    ref = commit_ref(suite, staged.content)
    node = Node(
        commit_ref=ref,
        parent_ref=plan.head,
        event_id=NO_EVENT.event_id,
        sender=own.device.user_id,
        author=own.device,
        epoch=staged.state.public.context.epoch,
        vote_seq=vote_seq,
        content_hash=content_hash(suite, staged.content.content),
        is_external=True,
        adds=(own.device,),
        removes=() if replaced is None else (replaced.device,),
    )
    group_info = encode_message(_make_group_info(staged, own, staged.leaf_index))
    entry = _own_entry(draft, node, staged.state.public.tree, parent, len(staged.message), group_info)
    entry = replace(entry, group=staged.state.public)
    add_node(draft, entry)
    add_epoch(draft, ref, staged.state, staged.private_keys)
    _own_everything(draft, ref)
    emit_commit(draft, own, entry, parent, staged.message, None, ())
    draft.update(last_join_ms=draft.now_ms)
    refresh_head(draft)
    return ref


def _is_same_name(device: Device, other: Device) -> bool:
    return (device.user_id, device.device_id) == (other.user_id, other.device_id)
