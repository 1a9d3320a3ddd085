"""What a member can see of others that lie, were cloned, or are shown something else (docs/protocol.md, Section 8).

An alarm is a notice. It rests on what is signed, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from dmls.engine.effects import NoticeKind
from dmls.engine.nodes import epoch_id
from dmls.engine.state import Draft
from dmls.forks.aad import EpochPointer
from dmls.forks.graph import Device
from dmls.forks.retention import MAX_RIVAL_HEADS
from dmls.ids import CommitRef

__all__ = ["note_pointers", "note_rivals", "note_vote"]


def note_pointers(draft: Draft, pointers: Iterable[EpochPointer], device: Device) -> None:
    """Say so if somebody names an epoch that is held here by another epoch id: they have other secrets for it."""
    named: dict[CommitRef, set[bytes]] = {}
    for pointer in pointers:
        if pointer.epoch_id:
            named.setdefault(CommitRef(pointer.commit_ref), set()).add(pointer.epoch_id)
    for ref, names in named.items():
        held = draft.state.epochs.get(ref)
        if held is not None and names != {epoch_id(held.state)}:
            draft.notify(NoticeKind.FORK_ALARM, ref, _name(device))


def note_vote(draft: Draft, device: Device, vote_seq: int, ref: CommitRef) -> None:
    """Say so if a device used a vote_seq for two votes: it was cloned, or put back from a copy. `ref` is what the last is for."""
    if draft.state.tally.is_equivocal(device, vote_seq):
        draft.notify(NoticeKind.EQUIVOCATION, ref, _name(device))


def note_rivals(draft: Draft, count: int) -> None:
    """Say so, once, when there are more rival heads than secrets are kept for."""
    is_crowded = count > MAX_RIVAL_HEADS
    if is_crowded == draft.state.is_crowded:
        return
    draft.update(is_crowded=is_crowded)
    if is_crowded:
        draft.notify(NoticeKind.FORK_ALARM, draft.state.head or CommitRef(b""), f"{count} rival heads")


def _name(device: Device) -> str:
    return f"{device.user_id} {device.device_id}"
