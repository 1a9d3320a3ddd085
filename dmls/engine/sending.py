"""Encrypting for an own device, behind the send gate (docs/protocol.md, Section 8)."""

from __future__ import annotations

from dataclasses import replace

from dmls.engine.agent import OwnDevice
from dmls.engine.committers import Committer
from dmls.engine.committing import send_commit, send_genesis
from dmls.engine.effects import EncryptOutcome, EncryptResult
from dmls.engine.inputs import EncryptRequested
from dmls.engine.leaves import find_usable_leaf
from dmls.engine.messages import UNREAD_WINDOW_MS, keep_plaintext, message_key, readers_of
from dmls.engine.nodes import epoch_id
from dmls.engine.planning import MERGE_PAUSE_MS, Plan, can_found, make_plan
from dmls.engine.records import put_epoch, put_sent
from dmls.engine.refusals import free_at_ms
from dmls.engine.state import Draft, HeldEpoch, Plaintext, RoomState
from dmls.engine.upkeep import ask_for_key_packages
from dmls.engine.voting import needs_new_key, sign_own_vote
from dmls.forks.aad import EpochPointer, make_message_aad
from dmls.forks.renewal import message_limit
from dmls.ids import CommitRef, LeafIndex
from dmls.matrix.bodies import Inline, MessageBody, Vote, content_of, encode_payload
from dmls.matrix.encoding import encode_canonical_json
from dmls.mls.framing.padding import pad_to_multiple
from dmls.mls.group.application import encrypt

__all__ = ["PADDING_STEP", "encrypt_event"]

RETRY_MS = 1_000
PADDING_STEP = 64
"""Plaintexts are padded to a multiple of this many octets, so that short answers look alike."""
PADDING = pad_to_multiple(PADDING_STEP)
_MAX_COMMITS = 3


def encrypt_event(draft: Draft, request: EncryptRequested) -> EncryptResult:
    """Encrypt an event for an own device, after every commit that must come first.

    Nothing is encrypted while the head has a leaf that must go or that nobody vouches for.
    """
    own = draft.state.agent.find(request.user_id, request.device_id)
    refusal = _refusal(draft, request, own)
    if own is None or refusal is not None:
        return EncryptResult(refusal or EncryptOutcome.UNKNOWN_DEVICE)
    for _ in range(_MAX_COMMITS):
        plan = _found_or_plan(draft)
        if plan is None:
            return EncryptResult(EncryptOutcome.PENDING_COMMIT, retry_at_ms=draft.now_ms + RETRY_MS)
        if plan.held is None or not plan.survey.committers:
            return EncryptResult(EncryptOutcome.NO_SECRETS, retry_at_ms=draft.now_ms + RETRY_MS)
        is_inside = find_usable_leaf(draft.state, plan.head, own.device) is not None
        renews = _must_renew(draft, plan, own)
        is_blocked = renews or _is_blocked(plan)
        if not is_blocked and not _wants_commit(draft, plan, own, is_inside=is_inside):
            break
        committer = _committer(draft.state, plan, own, draft.now_ms, renews=renews)
        free_ms = free_at_ms(draft.state, committer.own.device.user_id)
        if free_ms > draft.now_ms:
            # The homeserver refuses commits. Only what must not be deferred holds messages up.
            if not is_blocked:
                break
            return EncryptResult(EncryptOutcome.PENDING_COMMIT, retry_at_ms=max(free_ms, draft.now_ms + RETRY_MS))
        send_commit(draft, plan, committer, renews=renews)
    plan = make_plan(draft.state, draft.now_ms)
    if plan is None or plan.held is None:
        return EncryptResult(EncryptOutcome.PENDING_COMMIT, retry_at_ms=draft.now_ms + RETRY_MS)
    index = find_usable_leaf(draft.state, plan.head, own.device)
    if index is None:
        return EncryptResult(EncryptOutcome.NO_SECRETS, retry_at_ms=draft.now_ms + RETRY_MS)
    if plan.survey.removals:
        return EncryptResult(EncryptOutcome.PENDING_COMMIT, retry_at_ms=draft.now_ms + RETRY_MS)
    if plan.survey.unvouched:
        return EncryptResult(EncryptOutcome.UNVOUCHED, retry_at_ms=draft.now_ms + RETRY_MS)
    return _encrypt(draft, plan.held, plan, own, index, request)


def _refusal(draft: Draft, request: EncryptRequested, own: OwnDevice | None) -> EncryptOutcome | None:
    membership = draft.state.membership
    if membership.facts.encryption_algorithm is None:
        return EncryptOutcome.NOT_ENCRYPTED
    if own is None:
        return EncryptOutcome.UNKNOWN_DEVICE
    if request.user_id in membership.needs_readmission():
        return EncryptOutcome.NEEDS_READMISSION
    if request.user_id not in membership.joined():
        return EncryptOutcome.NOT_JOINED
    if own.device in draft.state.gone or needs_new_key(draft.state, own.device):
        return EncryptOutcome.NEEDS_NEW_KEY
    return None


def _found_or_plan(draft: Draft) -> Plan | None:
    plan = make_plan(draft.state, draft.now_ms)
    if plan is not None:
        return plan
    founder = can_found(draft.state, draft.now_ms, wants_to_send=True)
    if founder is None:
        return None
    send_genesis(draft, founder)
    return make_plan(draft.state, draft.now_ms)


def _committer(state: RoomState, plan: Plan, own: OwnDevice, now_ms: int, *, renews: bool) -> Committer:
    """Return the sender's own leaf where it may commit, so that the commit is its vote; another own leaf otherwise.

    To renew its keys it has to do it itself; else another own leaf does where the homeserver refuses the sender's commits.
    """
    own_leaf, renewal = plan.committer_of(own.device), plan.survey.renewal
    if own_leaf is not None and (renews or free_at_ms(state, own.device.user_id) <= now_ms):
        return own_leaf
    return plan.survey.committers[0] if renewal is None else renewal[0]


def _must_renew(draft: Draft, plan: Plan, own: OwnDevice) -> bool:
    """Tell whether the sender's keys have to be renewed before they are used again."""
    committer = plan.committer_of(own.device)
    if committer is None:
        return False
    ref, messages = draft.state.sent.get(own.device, (CommitRef(b""), 0))
    limit = message_limit(draft.state.agent.rules, own.device, committer.renewed_by)
    return committer.is_debtor or (ref == committer.renewed_by and messages >= limit)


def _is_blocked(plan: Plan) -> bool:
    """Tell whether a commit must come before any message: a removal is never deferred."""
    is_unreadable = plan.held is not None and not plan.held.state.secrets.sender_data_secret
    return bool(plan.survey.removals or plan.survey.rejects) or is_unreadable


def _wants_commit(draft: Draft, plan: Plan, own: OwnDevice, *, is_inside: bool) -> bool:
    """Tell whether a commit should come before the message, although it could wait."""
    if not is_inside and own.device in plan.survey.additions:
        return True
    ask_for_key_packages(draft, plan.survey.additions)
    if any(device in draft.state.key_packages for device in plan.survey.additions):
        return True
    if not plan.survey.needs_merge or draft.now_ms < draft.state.last_merge_ms + MERGE_PAUSE_MS:
        return False
    draft.update(last_merge_ms=draft.now_ms)
    return True


def _encrypt(
    draft: Draft, held: HeldEpoch, plan: Plan, own: OwnDevice, index: LeafIndex, request: EncryptRequested
) -> EncryptResult:
    name = epoch_id(held.state)
    aad = make_message_aad(EpochPointer(plan.head, name))
    payload = encode_payload(request.payload)
    sent = encrypt(
        held.state,
        own.client,
        index,
        payload,
        draft.random,
        authenticated_data=aad,
        padding=PADDING,
    )
    advanced = replace(held, state=sent.state)
    draft.update(epochs=draft.state.epochs.set(plan.head, advanced))
    put_epoch(draft, plan.head, advanced)
    _keep_own(draft, held, plan, own, index, payload, sent.message)
    _count(draft, plan, own)
    body = MessageBody(
        Inline(sent.message),
        _first_vote(draft, plan, own, index),
        plan.entry.node.epoch,
        name,
        plan.entry.node.event_id or None,
    )
    content = encode_canonical_json(content_of(body))
    return EncryptResult(EncryptOutcome.OK, content, plan.head, name, plan.entry.node.epoch, index)


def _count(draft: Draft, plan: Plan, own: OwnDevice) -> None:
    """Note that one more message was sent under the keys of a leaf."""
    committer = plan.committer_of(own.device)
    ref = plan.head if committer is None else committer.renewed_by
    before, messages = draft.state.sent.get(own.device, (ref, 0))
    counted = (ref, messages + 1 if before == ref else 1)
    draft.update(sent=draft.state.sent.set(own.device, counted))
    put_sent(draft, own.device, *counted)


def _first_vote(draft: Draft, plan: Plan, own: OwnDevice, index: LeafIndex) -> Vote | None:
    """Return the vote that a device's first message in an epoch carries."""
    if plan.head in draft.state.tally.vote(own.device):
        return None
    seq, signature = sign_own_vote(draft, index, own, plan.head)
    return Vote(index, seq, signature)


def _keep_own(
    draft: Draft, held: HeldEpoch, plan: Plan, own: OwnDevice, index: LeafIndex, payload: bytes, message: bytes
) -> None:
    """Keep the plaintext of an own message: nobody here can open it, but other own devices want to read it."""
    readers = readers_of(held.state)
    plaintext = Plaintext(
        payload, own.device, index, plan.head, 0, readers, readers - {own.device}, draft.now_ms + UNREAD_WINDOW_MS
    )
    keep_plaintext(draft, message_key(message), plaintext)
