"""Founding a group that continues another: after a ReInit, or as a branch (RFC 9420, Sections 11.2 and 11.3).

The founder makes a group of its own at epoch 0 and adds everybody else with one commit, which nobody but itself processes, and
which injects a key of the old group. The others come in by Welcome: `JoinOptions.predecessors`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dmls.errors import CryptoError, InvalidLeafNodeError, NotAMemberError, StateError, UnsupportedError
from dmls.ids import LeafIndex
from dmls.mls.crypto.randomness import Random
from dmls.mls.crypto.suites import CipherSuite, cipher_suite
from dmls.mls.group.commit import CommitOptions, StagedCommit, create_commit
from dmls.mls.group.leaf import Client
from dmls.mls.group.predecessor import check_group_id, check_successor
from dmls.mls.group.psks import name_psk
from dmls.mls.group.state import GroupState, create_group
from dmls.mls.messages.commit import ProposalReference
from dmls.mls.messages.extensions import Extension
from dmls.mls.messages.key_package import KeyPackage
from dmls.mls.messages.leaf_node import Lifetime
from dmls.mls.messages.proposal import Add, PreSharedKey, ProposalBody
from dmls.mls.messages.psk import ResumptionPSK, ResumptionPSKUsage
from dmls.mls.messages.registry import ProtocolVersion
from dmls.mls.schedule.key_schedule import RFC9420_RULE, InitSecretRule

__all__ = ["create_branch", "create_successor"]

_FOUNDER = LeafIndex(0)
_DEFAULT_OPTIONS = CommitOptions()


def create_successor(
    predecessor: GroupState,
    client: Client,
    key_packages: Sequence[KeyPackage],
    lifetime: Lifetime,
    random: Random,
    *,
    rule: InitSecretRule = RFC9420_RULE,
    options: CommitOptions = _DEFAULT_OPTIONS,
) -> StagedCommit:
    """Found the group that a ReInit commit asked for; any member of the closed group may (RFC 9420, Section 11.2).

    Args:
        predecessor: the closed group, as of the epoch that the ReInit commit made.
        client: the founder. It signs with another key than before where the new cipher suite has another signature scheme.
        key_packages: new ones, of the new cipher suite, of all other members of the closed group.
        lifetime: of the founder's leaf.
        random: source of the new keys.
        rule: how init secrets come about in the new group.
        options: of the commit that adds the others; authenticated data, wire format and psks do not apply.

    Returns:
        The new group at epoch 1, with all new private keys and, unless the founder is alone, the Welcome for the others.

    Raises:
        StateError: the group is not closed by a ReInit.
        NotAMemberError: the state is nobody's who could found a successor.
        UnsupportedError: the version or cipher suite that was asked for is not implemented.
        InvalidLeafNodeError, InvalidKeyPackageError, InvalidProposalError, SignatureError: somebody does not fit the new group.
        InvalidWelcomeError: a member of the closed group is missing (RB-05).
    """
    reinit = predecessor.closed_by
    if reinit is None:
        raise StateError("the group is not closed by a ReInit", rule="CC-13")
    if reinit.version != ProtocolVersion.MLS10:
        raise UnsupportedError(f"MLS version {reinit.version} is not implemented")
    suite = cipher_suite(reinit.cipher_suite)
    extensions = reinit.extensions  # RB-15
    usage = ResumptionPSKUsage.REINIT
    return _found(predecessor, usage, suite, reinit.group_id, extensions, client, key_packages, lifetime, random, rule, options)


def create_branch(
    predecessor: GroupState,
    group_id: bytes,
    client: Client,
    key_packages: Sequence[KeyPackage],
    lifetime: Lifetime,
    random: Random,
    *,
    extensions: Sequence[Extension] = (),
    rule: InitSecretRule = RFC9420_RULE,
    options: CommitOptions = _DEFAULT_OPTIONS,
) -> StagedCommit:
    """Found a group of some members of another, which goes on (RFC 9420, Section 11.3).

    Args:
        predecessor: the group, as of its current epoch or of a past one that is still kept.
        group_id: of the new group.
        client: the founder.
        key_packages: new ones, of the same cipher suite, of the other members to be.
        lifetime: of the founder's leaf.
        random: source of the new keys.
        extensions: of the new group.
        rule: how init secrets come about in the new group.
        options: of the commit that adds the others; authenticated data, wire format and psks do not apply.

    Returns:
        The new group at epoch 1, with all new private keys and, unless the founder is alone, the Welcome for the others.

    Raises:
        StateError: the group is closed by a ReInit.
        NotAMemberError: the state is nobody's who could found a branch.
        InvalidLeafNodeError, InvalidKeyPackageError, InvalidProposalError, SignatureError: somebody does not fit the new group.
        InvalidWelcomeError: somebody is not a member of the group branched from (RB-12), or the id is that group's (WL-09).
    """
    if predecessor.closed_by is not None:
        raise StateError("a closed group is continued, not branched from")
    suite, usage = predecessor.public.suite, ResumptionPSKUsage.BRANCH
    check_group_id(group_id, (), predecessor)
    return _found(predecessor, usage, suite, group_id, extensions, client, key_packages, lifetime, random, rule, options)


def _found(
    predecessor: GroupState,
    usage: ResumptionPSKUsage,
    suite: CipherSuite,
    group_id: bytes,
    extensions: Sequence[Extension],
    client: Client,
    key_packages: Sequence[KeyPackage],
    lifetime: Lifetime,
    random: Random,
    rule: InitSecretRule,
    options: CommitOptions,
) -> StagedCommit:
    if not predecessor.own_leaves:
        raise NotAMemberError("only members continue a group", rule="RB-07")
    try:
        suite.check_signature_key(client.signature_key)
    except CryptoError as error:
        raise InvalidLeafNodeError("the client's signature key is none of the new cipher suite", rule="RB-09") from error
    created = create_group(
        suite, group_id, client, lifetime, random, extensions=extensions, rule=rule, policy=options.policy, limits=options.limits
    )
    old = predecessor.public.context
    link = name_psk(suite, ResumptionPSK(usage, old.group_id, old.epoch), random)  # RB-08
    key = predecessor.secrets.resumption_psk
    proposals: list[ProposalBody | ProposalReference] = [*(Add(key_package) for key_package in key_packages), PreSharedKey(link)]
    linking = replace(options, psks=lambda psk_id: key if psk_id == link else None, link=link)
    staged = create_commit(created.state, client, _FOUNDER, proposals, random, linking)
    check_successor(options.policy, predecessor, staged.state.public)
    return replace(staged, private_keys={**created.private_keys, **staged.private_keys})
