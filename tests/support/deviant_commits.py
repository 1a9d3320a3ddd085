"""Commits of a room that a member made wrong on purpose: signed and tagged as they should be, but for the breach."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nacl.bindings import (
    crypto_core_ed25519_scalar_add,
    crypto_core_ed25519_scalar_mul,
    crypto_core_ed25519_scalar_reduce,
    crypto_scalarmult_ed25519_base_noclamp,
    crypto_sign_seed_keypair,
)

from dmls.engine.agent import DevicePolicy, OwnDevice
from dmls.engine.nodes import epoch_id, find_leaf
from dmls.engine.state import RoomState
from dmls.forks.aad import EpochPointer, commit_ref, make_commit_aad, make_node_ref
from dmls.forks.graph import Device
from dmls.ids import CommitRef, LeafIndex
from dmls.matrix.bodies import CommitBody, EventPointer, Inline, content_of, parse_body
from dmls.mls.codec import Lazy, decode
from dmls.mls.crypto.labels import labelled
from dmls.mls.crypto.randomness import Random
from dmls.mls.crypto.suites import CipherSuite
from dmls.mls.framing.public_message import protect_public
from dmls.mls.framing.signing import content_tbs
from dmls.mls.group.leaf import Client
from dmls.mls.group.process import process_commit
from dmls.mls.group.state import GroupState
from dmls.mls.group.transition import follow_commit
from dmls.mls.group.welcome import make_group_info
from dmls.mls.messages.commit import HPKECiphertext, UpdatePath
from dmls.mls.messages.extensions import ExternalPub, make_extension
from dmls.mls.messages.group_info import GroupInfo
from dmls.mls.messages.message import AuthenticatedContent, MLSMessage, PublicMessage, encode_message
from dmls.mls.messages.proposal import Add, Remove
from dmls.mls.messages.registry import ExtensionType, WireFormat
from tests.support.forge import forge_commit, sign_group_info

__all__ = ["Deviant", "garble_path"]


@dataclass
class _Author:
    """What `forge_commit` wants to know of an author."""

    suite: CipherSuite
    client: Client
    state: GroupState
    leaf: LeafIndex
    random: Random


def garble_path(path: UpdatePath, places: Sequence[int]) -> UpdatePath:
    """Spoil what some nodes of a path, counted from below, are encrypted to: nobody of those below can open it."""

    def garble(sealed: HPKECiphertext) -> HPKECiphertext:
        return replace(sealed, ciphertext=sealed.ciphertext[:-1] + bytes([sealed.ciphertext[-1] ^ 1]))

    nodes = list(path.nodes)
    for place in places:
        sealed = Lazy.pack(HPKECiphertext, [garble(item) for item in nodes[place].encrypted_path_secret])
        nodes[place] = replace(nodes[place], encrypted_path_secret=sealed)
    return replace(path, nodes=tuple(nodes))


def _sign_anew(seed: bytes, message: bytes, random: Random) -> bytes:
    """Sign with Ed25519 and a nonce drawn at random, which nobody can tell from the one that the message and key should give."""
    public_key = crypto_sign_seed_keypair(seed)[0]
    scalar = bytearray(hashlib.sha512(seed).digest()[:32])
    scalar[0] &= 248
    scalar[31] = scalar[31] & 127 | 64
    nonce = crypto_core_ed25519_scalar_reduce(random(64))
    point = crypto_scalarmult_ed25519_base_noclamp(nonce)
    challenge = crypto_core_ed25519_scalar_reduce(hashlib.sha512(point + public_key + message).digest())
    product = crypto_core_ed25519_scalar_mul(challenge, crypto_core_ed25519_scalar_reduce(bytes(scalar) + bytes(32)))
    return point + crypto_core_ed25519_scalar_add(nonce, product)


class Deviant:
    """A member of a room that commits by hand."""

    def __init__(self, state: RoomState, device: Device, random: Random) -> None:
        """`state` is that of the service with the member's keys."""
        self.state = state
        self.own: OwnDevice = state.agent.devices[device]
        self.random = random

    def commit(
        self,
        parent: CommitRef,
        *proposals: Add | Remove,
        vote_seq: int = 900,
        witness: RoomState | None = None,
        epoch: bytes | None = None,
        pointer_ref: CommitRef | None = None,
        alter_info: Callable[[GroupInfo], GroupInfo] = lambda info: info,
        **breach: Callable[[Any], Any],
    ) -> dict[str, Any]:
        """Return the content of a commit's event; `breach` are arguments of `forge_commit`.

        With `witness`, a service that can follow the commit, its GroupInfo lets others join. The signed pointer names
        `pointer_ref` and `epoch` instead of the parent and its epoch id.
        """
        held = self.state.epochs[parent].state
        leaf = find_leaf(held.public.tree, self.own.device)
        assert leaf is not None
        suite = held.public.suite
        author = _Author(suite, self.own.client, held, leaf, self.random)
        pointer = EpochPointer(pointer_ref or parent, epoch_id(held) if epoch is None else epoch)
        aad = make_commit_aad(pointer, vote_seq)
        alter = breach.pop("alter_content", lambda content: content)
        message = forge_commit(
            author,  # type: ignore[arg-type]
            *proposals,
            alter_content=lambda content: alter(replace(content, authenticated_data=aad)),
            **breach,  # type: ignore[arg-type]
        )
        return self._content(parent, held, leaf, message, witness, alter_info)

    def sign_again(self, parent: CommitRef, event: dict[str, Any]) -> dict[str, Any]:
        """Return an event that carries the same commit under another signature, which is as good."""
        held = self.state.epochs[parent].state
        suite, context = held.public.suite, held.public.context
        body = parse_body(event)
        assert isinstance(body, CommitBody)
        assert isinstance(body.message, Inline)
        public = decode(MLSMessage, body.message.data).body
        assert isinstance(public, PublicMessage)
        signed = labelled("FramedContentTBS", content_tbs(WireFormat.PUBLIC_MESSAGE, public.content, context))
        signature = _sign_anew(bytes(self.own.client.signature_private_key), signed, self.random)
        content = AuthenticatedContent(WireFormat.PUBLIC_MESSAGE, public.content, signature, public.confirmation_tag)
        message = encode_message(protect_public(suite, content, context, held.secrets.membership_key))
        leaf = find_leaf(held.public.tree, self.own.device)
        assert leaf is not None
        return self._content(parent, held, leaf, message, None, lambda info: info)

    def _content(
        self,
        parent: CommitRef,
        held: GroupState,
        leaf: LeafIndex,
        message: bytes,
        witness: RoomState | None,
        alter_info: Callable[[GroupInfo], GroupInfo],
    ) -> dict[str, Any]:
        suite = held.public.suite
        public = decode(MLSMessage, message).body
        assert isinstance(public, PublicMessage)
        content = AuthenticatedContent(WireFormat.PUBLIC_MESSAGE, public.content, public.signature, public.confirmation_tag)
        ref = commit_ref(suite, content)
        transition = follow_commit(held.public, content, DevicePolicy())
        if witness is not None:
            seen = process_commit(witness.epochs[parent].state, transition, dict(witness.ring.keys))
            info = make_group_info(seen.state, self.own.client, leaf, extensions=(make_node_ref(ref),))
        else:
            pub = make_extension(
                ExtensionType.EXTERNAL_PUB, ExternalPub(bytes(suite.derive_key_pair(self.random(32)).public_key))
            )
            group = transition.group
            unsigned = GroupInfo(group.context, (make_node_ref(ref), pub), group.confirmation_tag, leaf, b"")
            info = sign_group_info(suite, unsigned, self.own.client)
        info = sign_group_info(suite, alter_info(info), self.own.client)
        entry = self.state.entries[parent]
        keyframe = self.state.entries[entry.keyframe].node.event_id
        body = CommitBody(
            ciphersuite=suite.id,
            message=Inline(message),
            group_info=Inline(encode_message(info)),
            keyframe=EventPointer(keyframe),
            welcome=None,
            epoch=entry.node.epoch,
            epoch_id=None,
            parent_event=entry.node.event_id,
            commit_ref=ref,
            resolves=(),
            new_epoch_id=None,
        )
        return dict(content_of(body))
