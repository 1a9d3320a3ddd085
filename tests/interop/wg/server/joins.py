"""Entering a group: by Welcome, and from outside."""

from __future__ import annotations

import os
from collections.abc import Sequence

from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.group.commit import CommitOptions
from dmls.mls.group.external import create_external_commit
from dmls.mls.group.follower import PublicGroup, follow
from dmls.mls.group.psks import name_psk
from dmls.mls.group.state import GroupState
from dmls.mls.group.welcome import JoinOptions, choose_tree, join
from dmls.mls.messages.group_info import GroupInfo
from dmls.mls.messages.psk import ExternalPSK
from dmls.mls.messages.welcome import Welcome
from tests.interop.proto import mls_client_pb2 as pb
from tests.interop.wg.server.clients import LIMITS, NO_PSKS, PendingJoin, create_client, now, open_body
from tests.interop.wg.server.member import Member
from tests.interop.wg.server.proposals import find_member

__all__ = ["follow_group_info", "join_by_welcome", "join_externally"]


def join_by_welcome(
    pending: PendingJoin,
    welcome: bytes,
    ratchet_tree: bytes,
    *,
    encrypt_handshake: bool,
    predecessors: Sequence[GroupState] = (),
) -> Member:
    """Join by Welcome; an empty `ratchet_tree` means that the Welcome carries the tree.

    With `predecessors`, epochs of one group, the new group must continue one of them.
    """
    open_groups = {state.public.context.group_id for state in predecessors if state.closed_by is None}
    options = JoinOptions(psks=pending.psks, now=now(), limits=LIMITS, open_groups=open_groups, predecessors=predecessors)
    joined = join(pending.suite, open_body(welcome, Welcome), pending.bundle, ratchet_tree=ratchet_tree or None, options=options)
    return Member(pending.client, joined.state, joined.private_keys, encrypt_handshake=encrypt_handshake, psks=pending.psks)


def follow_group_info(message: bytes, ratchet_tree: bytes) -> tuple[PublicGroup, GroupInfo]:
    """Validate a GroupInfo from outside; an empty `ratchet_tree` means that it carries the tree itself."""
    group_info = open_body(message, GroupInfo)
    suite = cipher_suite(group_info.group_context.cipher_suite)
    return follow(suite, group_info, choose_tree(suite, group_info, ratchet_tree or None, LIMITS)), group_info


def join_externally(
    message: bytes,
    ratchet_tree: bytes,
    identity: bytes,
    psks: Sequence[pb.PreSharedKey],
    *,
    remove_prior: bool,
    encrypt_handshake: bool,
) -> tuple[Member, bytes]:
    """Join by external commit, in place of an earlier leaf of `identity` if asked to; return the member and the commit."""
    group, group_info = follow_group_info(message, ratchet_tree)
    client = create_client(group.suite, identity)
    commit = create_external_commit(
        group,
        group_info,
        client,
        os.urandom,
        replaces=find_member(group.tree, identity) if remove_prior else None,
        psks=[(name_psk(group.suite, ExternalPSK(psk.psk_id), os.urandom), psk.psk_secret) for psk in psks],
        options=CommitOptions(now=now(), limits=LIMITS),
    )
    kept = NO_PSKS
    for psk in psks:
        kept = kept.add_external(psk.psk_id, psk.psk_secret)
    return Member(client, commit.state, commit.private_keys, encrypt_handshake=encrypt_handshake, psks=kept), commit.message
