"""The events that carry own nodes and votes, and the to-device messages beside them (docs/protocol.md, Section 5)."""

from __future__ import annotations

from collections.abc import Sequence

from dmls.engine.agent import OwnDevice
from dmls.engine.effects import BlobToUpload, EventToSend, ToDeviceToSend
from dmls.engine.nodes import epoch_id
from dmls.engine.state import Draft, NodeEntry
from dmls.forks.graph import Device
from dmls.ids import CommitRef
from dmls.matrix.blobs import spill
from dmls.matrix.bodies import (
    CommitBody,
    EventPointer,
    GenesisBody,
    Inline,
    Resolved,
    VoteBody,
    WelcomeBody,
    content_of,
)
from dmls.matrix.encoding import encode_canonical_json
from dmls.mls.messages.message import encode_message
from dmls.mls.messages.welcome import Welcome

__all__ = ["emit", "emit_commit", "emit_welcome"]

RESOLVED_HINTS = 64
"""How many of the side heads that a commit resolves its event names: a hint, while what is signed can go into a blob."""


def emit(draft: Draft, sender: Device, body: GenesisBody | CommitBody | VoteBody, ref: CommitRef = CommitRef(b"")) -> None:
    """Send an event, what does not fit into it ahead as blobs."""
    server = draft.state.agent.server_name
    if not isinstance(body, VoteBody):
        body, blobs = spill(body, lambda digest: f"mxc://{server}/dmls-{digest.hex()}")
        for blob in blobs:
            draft.send(BlobToUpload(blob.uri, blob.sha256, blob.data))
    draft.send(EventToSend(sender.user_id, encode_canonical_json(content_of(body)), ref))


def emit_commit(
    draft: Draft,
    own: OwnDevice,
    entry: NodeEntry,
    parent: NodeEntry,
    message: bytes,
    welcome: Welcome | None,
    side_heads: Sequence[CommitRef],
) -> None:
    """Send the event of an own commit. `welcome` is for those whom it adds and whose keys are not held here."""
    state, node = draft.state, entry.node
    keyframe: Inline | EventPointer
    if entry.keyframe == node.commit_ref:
        keyframe = Inline(entry.group.tree.encode())
    else:
        keyframe = EventPointer(state.entries[entry.keyframe].node.event_id)
    held = state.epochs.get(parent.node.commit_ref)
    body = CommitBody(
        ciphersuite=entry.group.suite.id,
        message=Inline(message),
        group_info=Inline(entry.group_info),
        keyframe=keyframe,
        welcome=None if welcome is None else Inline(encode_message(welcome)),
        epoch=parent.node.epoch,
        epoch_id=None if held is None else epoch_id(held.state),
        parent_event=parent.node.event_id or None,
        commit_ref=node.commit_ref,
        resolves=tuple(Resolved(ref, state.entries[ref].node.event_id or None) for ref in side_heads[:RESOLVED_HINTS]),
        new_epoch_id=epoch_id(state.epochs[node.commit_ref].state),
    )
    emit(draft, own.device, body, node.commit_ref)


def emit_welcome(draft: Draft, own: OwnDevice, devices: Sequence[Device], ref: CommitRef, welcome: Welcome) -> None:
    """Send the Welcome to the devices that the commit `ref` adds; the commit's event carries it too."""
    server = draft.state.agent.server_name
    body = WelcomeBody(draft.state.room_id, Inline(encode_message(welcome)), ref)
    spilled, blobs = spill(body, lambda digest: f"mxc://{server}/dmls-{digest.hex()}")
    for blob in blobs:
        draft.send(BlobToUpload(blob.uri, blob.sha256, blob.data))
    content = encode_canonical_json(content_of(spilled))
    for device in devices:
        draft.send(ToDeviceToSend(own.device.user_id, device.user_id, device.device_id, content))
