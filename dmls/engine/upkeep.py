"""What time brings: commits that are due, joins, votes, and secrets whose time is over (docs/protocol.md, Section 8)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from immutables import Map

from dmls.engine.agent import device_of
from dmls.engine.alarms import note_rivals
from dmls.engine.committing import ready_key_packages, send_commit, send_genesis
from dmls.engine.effects import ClaimWanted, DeviceListsWanted, NoticeKind, Table
from dmls.engine.joining import join_if_due, next_join_ms
from dmls.engine.leaves import find_usable_leaf
from dmls.engine.nodes import refresh_head, sweep_keys
from dmls.engine.planning import CLAIM_PATIENCE_MS, MERGE_PAUSE_MS, Plan, can_found, make_plan, wanted_device_lists
from dmls.engine.records import put_claim, put_debt, put_epoch, put_expired, put_list_request, put_meta
from dmls.engine.standing import DEEP_SWITCH_MS, is_undecided
from dmls.engine.state import Draft, HeldEpoch, RoomState
from dmls.engine.survey import survey
from dmls.engine.voting import send_vote
from dmls.forks.aad import read_params
from dmls.forks.graph import Device
from dmls.forks.retention import RetainedEpoch, expired_epochs
from dmls.ids import CommitRef

__all__ = ["act", "ask_for_key_packages", "next_wake_ms", "note_wants", "purge"]

CLAIM_RETRY_MS = 60_000
_MAX_ACTIONS = 8


def act(draft: Draft) -> None:
    """Do what is due now: ask for lists, begin the group, commit, join, vote. Never more than a few things in one step."""
    if draft.state.away_since_ms and draft.state.away_since_ms + DEEP_SWITCH_MS <= draft.now_ms:
        refresh_head(draft)
    for _ in range(_MAX_ACTIONS):
        _ask_for_lists(draft)
        if not _act_once(draft):
            break
    note_wants(draft)


def _act_once(draft: Draft) -> bool:
    state = draft.state
    if state.membership.facts.encryption_algorithm is None:
        return False
    plan = make_plan(state, draft.now_ms)
    if plan is None:
        founder = can_found(state, draft.now_ms, wants_to_send=False)
        if founder is None:
            return False
        send_genesis(draft, founder)
        return True
    note_wants(draft)
    plan = make_plan(draft.state, draft.now_ms) or plan
    return _commit_if_due(draft, plan) or join_if_due(draft, plan) or _vote_if_due(draft, plan)


def note_wants(draft: Draft) -> None:
    """Remember since when the head is not as it should be, and what is done about it is counted from there.

    Its members are not those wanted, own devices owe it fresh keys, or one of them cannot act in it.
    """
    state = draft.state
    seen = None if state.stand is None else survey(state, draft.now_ms)
    if seen is not None:
        note_rivals(draft, len(seen.side_heads))
    is_locked_out = seen is not None and bool(seen.shut_out)
    if is_locked_out != bool(state.locked_out_since_ms):
        draft.update(locked_out_since_ms=draft.now_ms if is_locked_out else 0)
    since = state.dirty_since_ms
    if seen is None or not seen.is_dirty:
        if since:
            draft.update(dirty_since_ms=0)
    elif not since or state.head_since_ms > since:
        draft.update(dirty_since_ms=draft.now_ms)
    _note_debts(draft, {committer.own.device for committer in seen.committers if committer.is_debtor} if seen else set())


def _note_debts(draft: Draft, debtors: set[Device]) -> None:
    before = draft.state.debts
    if debtors == set(before):
        return
    for device in debtors.difference(before):
        put_debt(draft, device, draft.now_ms)
    for device in set(before) - debtors:
        put_debt(draft, device, None)
    draft.update(debts=Map({device: before.get(device, draft.now_ms) for device in debtors}))


def _ask_for_lists(draft: Draft) -> None:
    asked = draft.state.list_requests
    # A list counts as newer only from the next millisecond on, so asking twice in one brings nothing.
    users = [user for user in wanted_device_lists(draft.state, draft.now_ms) if asked.get(user) != draft.now_ms]
    if not users:
        return
    requests = asked.update(dict.fromkeys(users, draft.now_ms))
    draft.update(list_requests=requests)
    for user in users:
        put_list_request(draft, user, draft.now_ms)
    draft.send(DeviceListsWanted(tuple(sorted(users))))


def _commit_if_due(draft: Draft, plan: Plan) -> bool:
    """Commit what is due; whose keys are oldest does it, so that one commit pays for everything."""
    seen = plan.survey
    if seen.renewal is None or seen.free_ms > draft.now_ms:
        return False
    committer, renewal_ms = seen.renewal
    renews = renewal_ms <= draft.now_ms
    mends = plan.due_ms is not None and plan.due_ms <= draft.now_ms
    evicts = seen.evict_at_ms is not None and seen.evict_at_ms <= draft.now_ms
    if not renews and not mends and not evicts:
        return False
    ask_for_key_packages(draft, seen.additions)
    if not (renews or evicts or seen.removals or seen.rejects):
        # Additions that cannot be made yet are no reason to resolve branches more often than once a minute.
        merges = seen.needs_merge and draft.now_ms >= draft.state.last_merge_ms + MERGE_PAUSE_MS
        has_reason = merges or bool(ready_key_packages(draft, seen.additions))
        if not (has_reason and _claims_are_settled(draft, seen.additions)):
            return False
    if seen.needs_merge:
        draft.update(last_merge_ms=draft.now_ms)
    if not renews:
        committer = plan.bereaved or committer
    return send_commit(draft, plan, committer, renews=renews) is not None


def ask_for_key_packages(draft: Draft, devices: Iterable[Device]) -> None:
    """Ask for the key packages of devices to be added, once a minute at most."""
    state = draft.state
    ready = set(ready_key_packages(draft, tuple(devices)))
    wanted = tuple(
        device
        for device in devices
        if device not in ready and (device not in state.claims or state.claims[device] + CLAIM_RETRY_MS <= draft.now_ms)
    )
    if wanted:
        draft.update(claims=state.claims.update(dict.fromkeys(wanted, draft.now_ms)))
        for device in wanted:
            put_claim(draft, device, draft.now_ms)
        draft.send(ClaimWanted(wanted, state.cipher_suite))


def _claims_are_settled(draft: Draft, devices: tuple[Device, ...]) -> bool:
    """Tell whether every device is ready, or has been waited for long enough not to hold up the others."""
    ready = set(ready_key_packages(draft, devices))
    return all(device in ready or draft.state.claims.get(device, 0) + CLAIM_PATIENCE_MS <= draft.now_ms for device in devices)


def _vote_if_due(draft: Draft, plan: Plan) -> bool:
    """Vote again where an own device's vote is not on the head's chain (docs/protocol.md, Section 8).

    Where the head is not followed, every own device votes for what is, once: below the fork, or its vote decides nothing.
    """
    # Only a commit can stand against what is not followed where nothing does yet.
    if plan.held is None or is_undecided(draft.state, plan.head):
        return False
    state = draft.state
    voted = False
    for device, own in state.agent.devices.items():
        if _is_voted(state, device, plan.head) or state.pending_votes.get(device) == plan.head:
            continue
        index = find_usable_leaf(state, plan.head, device)
        if index is None or device.user_id not in plan.survey.situation.joined:
            continue
        send_vote(draft, index, own, plan.head)
        voted = True
    return voted


def _is_voted(state: RoomState, device: Device, stand: CommitRef) -> bool:
    """Tell whether a device's vote needs no other: it is on the chain, or there is none where none is needed."""
    targets = state.tally.vote(device)
    if not targets:
        return not state.shunned
    return any(state.graph.is_ancestor(ref, stand) and not is_undecided(state, ref) for ref in targets)


def purge(draft: Draft) -> int | None:
    """Delete secrets whose time is over, or whose devices are; return when to look again, in milliseconds."""
    plaintexts_ms = _purge_plaintexts(draft)
    _leave_with_devices(draft)
    state = draft.state
    if state.stand is None:
        return plaintexts_ms
    entry = state.entries[state.stand]
    params = read_params(entry.group.context.extensions)
    expiry = expired_epochs(
        state.tally,
        state.stand,
        (device_of(leaf) for _, leaf in entry.group.tree.members()),
        [_retained(draft, ref, held) for ref, held in state.epochs.items()],
        lambda ref: state.entries[ref].received_at_ms,
        retain_seconds=params.retain_seconds,
        retain_epochs=params.retain_epochs,
        now_ms=draft.now_ms,
    )
    for ref in expiry.epochs:
        _delete_epoch(draft, ref)  # SQ-04
    for ref in expiry.message_secrets:
        _drop_message_secrets(draft, ref)
    for ref in expiry.external_keys:
        _drop_external_key(draft, ref)
    if expiry.epochs:
        put_meta(draft)
        sweep_keys(draft)
    return min((at_ms for at_ms in (plaintexts_ms, expiry.look_again_ms) if at_ms is not None), default=None)


def _leave_with_devices(draft: Draft) -> None:
    """Let go of what only own devices that are deleted for good were members of: the head too, which would never be left."""
    if not draft.state.gone:
        return
    is_changed = False
    for ref, held in draft.state.epochs.items():
        own = {index: held.state.public.tree.leaf(index) for index in held.state.own_leaves}
        kept = frozenset(index for index, leaf in own.items() if leaf is None or device_of(leaf) not in draft.state.gone)
        if kept == held.state.own_leaves:
            continue
        is_changed = True
        if kept:
            _keep(draft, ref, replace(held, state=replace(held.state, own_leaves=kept)))
        else:
            _delete_epoch(draft, ref)
    if is_changed:
        put_meta(draft)
        sweep_keys(draft)


def _retained(draft: Draft, ref: CommitRef, held: HeldEpoch) -> RetainedEpoch:
    since = held.succeeded_at_ms or draft.state.entries[ref].received_at_ms
    secrets = held.state.secrets
    return RetainedEpoch(ref, since, bool(secrets.sender_data_secret), bool(secrets.external_secret))


def _delete_epoch(draft: Draft, ref: CommitRef) -> None:
    draft.update(epochs=draft.state.epochs.delete(ref), expired=draft.state.expired.set(ref, True))
    draft.delete(Table.EPOCH, ref)
    put_expired(draft, ref)
    draft.notify(NoticeKind.EPOCH_DELETED, ref)


def _keep(draft: Draft, ref: CommitRef, held: HeldEpoch) -> None:
    draft.update(epochs=draft.state.epochs.set(ref, held))
    put_epoch(draft, ref, held)


def _drop_message_secrets(draft: Draft, ref: CommitRef) -> None:
    held = draft.state.epochs[ref]
    _keep(draft, ref, replace(held, state=held.state.without_message_secrets()))


def _drop_external_key(draft: Draft, ref: CommitRef) -> None:
    held = draft.state.epochs[ref]
    _keep(draft, ref, replace(held, state=held.state.without_external_secret()))


def _purge_plaintexts(draft: Draft) -> int | None:
    """Delete plaintexts whose time is over, or whose readers are deleted; return when the next one's time is."""
    gone = draft.state.gone
    over = [
        key
        for key, plaintext in draft.state.plaintexts.items()
        if plaintext.delete_at_ms <= draft.now_ms or (plaintext.readers and all(device in gone for device in plaintext.readers))
    ]
    if over:
        kept = draft.state.plaintexts.mutate()
        for key in over:
            del kept[key]
            draft.delete(Table.PLAINTEXT, key)
        draft.update(plaintexts=kept.finish())
    return min((plaintext.delete_at_ms for plaintext in draft.state.plaintexts.values()), default=None)


def next_wake_ms(draft: Draft) -> int | None:
    """Return when something is due that no input will bring about, in milliseconds."""
    state, now_ms = draft.state, draft.now_ms
    times = [] if state.look_again_ms is None else [state.look_again_ms]
    if state.away_since_ms:
        times.append(max(state.away_since_ms + DEEP_SWITCH_MS, now_ms + 1))
    seen = survey(state, now_ms)
    if wanted_device_lists(state, now_ms):
        times.append(now_ms + 1)
    if seen.until_ms is not None:
        times.append(seen.until_ms)
    plan = make_plan(state, now_ms)
    if plan is not None:
        if plan.due_ms is not None:
            times.append(_commit_wake_ms(draft, plan))
        if seen.evict_at_ms is not None:
            times.append(max(seen.evict_at_ms, seen.free_ms, now_ms + 1))
        if seen.renewal is not None:
            times.append(max(seen.renewal[1], seen.free_ms, now_ms + 1))
        join_ms = next_join_ms(state, plan, now_ms)
        if join_ms is not None:
            times.append(max(join_ms, now_ms + 1))
    return min(times, default=None)


def _commit_wake_ms(draft: Draft, plan: Plan) -> int:
    due = plan.due_ms if plan.due_ms is not None else draft.now_ms
    waiting = [draft.state.claims[device] for device in plan.survey.additions if device in draft.state.claims]
    if due <= draft.now_ms and waiting:
        patience = [asked + CLAIM_PATIENCE_MS for asked in waiting if asked + CLAIM_PATIENCE_MS > draft.now_ms]
        merge = [draft.state.last_merge_ms + MERGE_PAUSE_MS] if plan.survey.needs_merge else []
        return max(min([*patience, *merge, min(waiting) + CLAIM_RETRY_MS]), draft.now_ms + 1)
    return max(due, draft.now_ms + 1)
