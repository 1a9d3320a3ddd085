"""What makes an MLS group a DMLS group (docs/protocol.md, Section 2), beyond RFC 9420."""

from __future__ import annotations

from dmls.errors import InvalidCommitError, InvalidGroupInfoError
from dmls.forks.aad import DMLS_NODE_REF, DMLS_PARAMS, KeySchedule, make_params, read_params
from dmls.forks.pprf import init_secret_rule
from dmls.ids import RoomId
from dmls.matrix.identifiers import group_id
from dmls.mls.group.follower import PublicGroup
from dmls.mls.messages.commit import Commit
from dmls.mls.messages.extensions import Extension, RequiredCapabilities, make_extension, read_extension
from dmls.mls.messages.message import Member
from dmls.mls.messages.proposal import Add, ExternalInit, Remove
from dmls.mls.messages.registry import CredentialType, ExtensionType
from dmls.mls.schedule.key_schedule import InitSecretRule

__all__ = ["check_commit_profile", "check_group_profile", "group_extensions", "rule_of"]


def group_extensions(room_id: RoomId, key_schedule: KeySchedule = KeySchedule.PPRF) -> tuple[Extension, ...]:
    """Return the GroupContext extensions of a new group: its parameters, and that every member must understand them."""
    required = RequiredCapabilities((DMLS_PARAMS, DMLS_NODE_REF), (), (CredentialType.BASIC,))
    return (
        make_params(room_id, key_schedule),
        make_extension(ExtensionType.REQUIRED_CAPABILITIES, required),
    )


def rule_of(group: PublicGroup) -> InitSecretRule:
    """Return the init-secret rule that a group's parameters name."""
    return init_secret_rule(read_params(group.context.extensions).key_schedule)


def check_group_profile(group: PublicGroup, room_id: RoomId) -> None:
    """Check that a group is the DMLS group of a room.

    Raises:
        InvalidGroupInfoError, UnsupportedError, CodecError: it is another room's, or lacks the parameters.
    """
    context = group.context
    params = read_params(context.extensions)
    if context.group_id != group_id(room_id) or params.room_id != room_id.encode():
        raise InvalidGroupInfoError("the group is not that of the room")
    required = read_extension(context.extensions, ExtensionType.REQUIRED_CAPABILITIES, RequiredCapabilities)
    if required is None or DMLS_PARAMS not in required.extension_types:
        raise InvalidGroupInfoError("the group does not require its parameters of every member")


def check_commit_profile(group: PublicGroup, commit: Commit, sender: object) -> None:
    """Check what this profile allows in a commit: a path by the same device, and inline additions and removals only.

    The parameters are thereby fixed for the life of the group, and no proposal can get lost in a fork.

    Raises:
        InvalidCommitError: there is anything else.
    """
    if commit.path is None:
        raise InvalidCommitError("every commit of a DMLS group has a path")
    if isinstance(sender, Member) and group.tree.find_signature_key(commit.path.leaf_node.signature_key) != sender.leaf_index:
        raise InvalidCommitError("a device that changes its signature key is another device and joins anew")
    if not all(isinstance(proposal, Add | Remove | ExternalInit) for proposal in commit.proposals):
        raise InvalidCommitError("a commit of a DMLS group adds and removes, inline, and nothing else")
