"""Groups that continue another: after a ReInit, and as a branch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from dmls.errors import InvalidArgumentError, StateError
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.group.commit import CommitOptions, StagedCommit
from dmls.mls.group.successor import create_branch, create_successor
from dmls.mls.messages.credential import BasicCredential
from dmls.mls.messages.extensions import Extension
from dmls.mls.messages.key_package import KeyPackage
from dmls.mls.messages.message import encode_message
from tests.interop.wg.server.clients import LIMITS, PendingJoin, create_client, lifetime, now, open_body
from tests.interop.wg.server.joins import join_by_welcome
from tests.interop.wg.server.member import Member

__all__ = ["ClosedGroup", "Founded", "branch_off", "enter_branch"]


@dataclass(frozen=True)
class Founded:
    """The founder of a group, and what lets the others in."""

    member: Member
    welcome: bytes
    ratchet_tree: bytes
    """Empty where the Welcome carries the tree."""


def _options(*, force_path: bool, external_tree: bool) -> CommitOptions:
    return CommitOptions(force_path=force_path, welcome_with_tree=not external_tree, now=now(), limits=LIMITS)


def _found(predecessor: Member, pending: PendingJoin, staged: StagedCommit, *, external_tree: bool) -> Founded:
    member = Member(
        pending.client, staged.state, staged.private_keys, encrypt_handshake=predecessor.encrypt_handshake, psks=pending.psks
    )
    welcome = b"" if staged.welcome is None else encode_message(staged.welcome)
    return Founded(member, welcome, member.encode_tree() if external_tree else b"")


def _identity(member: Member) -> bytes:
    if not isinstance(member.client.credential, BasicCredential):
        raise InvalidArgumentError("credentials are basic ones")
    return member.client.credential.identity


class ClosedGroup:
    """A member of a group that a ReInit closed, and the key package for its successor."""

    def __init__(self, member: Member) -> None:
        if member.state.closed_by is None:
            raise StateError("the group is not closed by a ReInit")
        suite = cipher_suite(member.state.closed_by.cipher_suite)
        self.member = member
        self.pending = PendingJoin.create(suite, create_client(suite, _identity(member)))

    def found_successor(self, key_packages: Sequence[bytes], *, force_path: bool, external_tree: bool) -> Founded:
        """Found the successor, with everybody else's key packages."""
        staged = create_successor(
            self.member.state,
            self.pending.client,
            [open_body(message, KeyPackage) for message in key_packages],
            lifetime(),
            os.urandom,
            options=_options(force_path=force_path, external_tree=external_tree),
        )
        return _found(self.member, self.pending, staged, external_tree=external_tree)

    def join_successor(self, welcome: bytes, ratchet_tree: bytes) -> Member:
        """Join the successor that another has founded."""
        return join_by_welcome(
            self.pending,
            welcome,
            ratchet_tree,
            encrypt_handshake=self.member.encrypt_handshake,
            predecessors=[self.member.state],
        )


def branch_off(
    member: Member,
    group_id: bytes,
    extensions: Sequence[Extension],
    key_packages: Sequence[bytes],
    *,
    force_path: bool,
    external_tree: bool,
) -> Founded:
    """Found a branch, in which the founder is a client of its own."""
    pending = PendingJoin.create(member.suite, create_client(member.suite, _identity(member)))
    staged = create_branch(
        member.state,
        group_id,
        pending.client,
        [open_body(message, KeyPackage) for message in key_packages],
        lifetime(),
        os.urandom,
        extensions=extensions,
        options=_options(force_path=force_path, external_tree=external_tree),
    )
    return _found(member, pending, staged, external_tree=external_tree)


def enter_branch(member: Member, pending: PendingJoin, welcome: bytes, ratchet_tree: bytes) -> Member:
    """Join a branch of a member's group, made in this epoch or in one of the last."""
    return join_by_welcome(pending, welcome, ratchet_tree, encrypt_handshake=member.encrypt_handshake, predecessors=member.epochs)
