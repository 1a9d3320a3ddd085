"""What of a commit event anybody can read and check, whether or not its parent is known."""

from __future__ import annotations

from dmls.engine.agent import DevicePolicy, device_of
from dmls.errors import InvalidCommitError, InvalidGroupInfoError, InvalidMessageError
from dmls.forks.aad import commit_ref, read_node_ref
from dmls.forks.graph import Device
from dmls.ids import CommitRef, LeafIndex, UserId
from dmls.matrix.bodies import CommitBody, Inline
from dmls.mls.codec import decode
from dmls.mls.crypto.suites import CipherSuite, cipher_suite
from dmls.mls.group.follower import PublicGroup, check_group_info_signature
from dmls.mls.group.transition import Transition
from dmls.mls.messages.commit import Commit, UpdatePath
from dmls.mls.messages.group_info import GroupInfo
from dmls.mls.messages.message import AuthenticatedContent, MLSMessage, PublicMessage
from dmls.mls.messages.registry import WireFormat

__all__ = [
    "POLICY",
    "check_author",
    "check_group_info",
    "commit_of",
    "content_of_commit",
    "inline",
    "path_of",
    "read_commit",
    "read_group_info",
    "transition_devices",
]

POLICY = DevicePolicy()


def inline(field: object) -> bytes:
    """Return the bytes of a field whose blob is here.

    Raises:
        InvalidMessageError: it is not.
    """
    if not isinstance(field, Inline):
        raise InvalidMessageError("a blob of the event is not here")
    return field.data


def content_of_commit(message: PublicMessage) -> AuthenticatedContent:
    """Return the content of a commit, as its node is named after."""
    return AuthenticatedContent(WireFormat.PUBLIC_MESSAGE, message.content, message.signature, message.confirmation_tag)


def read_commit(body: CommitBody) -> tuple[PublicMessage, CommitRef]:
    """Return the commit of an event, and its node's name.

    Raises:
        DMLSError: it is malformed, or no commit.
    """
    message = decode(MLSMessage, inline(body.message)).body
    if not isinstance(message, PublicMessage) or not isinstance(message.content.content, Commit):
        raise InvalidCommitError("a commit is a public message")
    return message, commit_ref(cipher_suite(body.ciphersuite), content_of_commit(message))


def commit_of(content: AuthenticatedContent) -> Commit:
    """Return what a commit's content says.

    Raises:
        InvalidCommitError: it is no commit.
    """
    if not isinstance(content.content.content, Commit):
        raise InvalidCommitError("not a commit")
    return content.content.content


def read_group_info(encoded: bytes) -> GroupInfo:
    """Return the GroupInfo beside a commit.

    Raises:
        CodecError, InvalidGroupInfoError: it is none.
    """
    group_info = decode(MLSMessage, encoded).body
    if not isinstance(group_info, GroupInfo):
        raise InvalidGroupInfoError("not a GroupInfo")
    return group_info


def path_of(content: AuthenticatedContent) -> UpdatePath:
    """Return a commit's path, whose leaf is its author's in the new epoch.

    Raises:
        InvalidCommitError: it has none.
    """
    path = commit_of(content).path
    if path is None:
        raise InvalidCommitError("every commit of a DMLS group has a path")
    return path


def check_author(sender: UserId, author: Device) -> None:
    """Check that an event was sent by the user whose leaf made its commit.

    Raises:
        InvalidCommitError: it was not.
    """
    if sender != author.user_id:
        raise InvalidCommitError("the event's sender is not the user of the author's leaf")


def check_group_info(suite: CipherSuite, ref: CommitRef, group: PublicGroup, committer: LeafIndex, group_info: GroupInfo) -> None:
    """Check that the GroupInfo beside a commit is of the epoch it makes, by its author, so that newcomers are not misled.

    Raises:
        InvalidGroupInfoError, SignatureError, CodecError: it is not.
    """
    if group_info.group_context != group.context:
        raise InvalidGroupInfoError("the GroupInfo is not of the commit's epoch")
    if group_info.confirmation_tag != group.confirmation_tag or group_info.signer != committer:
        raise InvalidGroupInfoError("the GroupInfo is not by the commit's author")
    if read_node_ref(group_info.extensions) != ref:
        raise InvalidGroupInfoError("the GroupInfo names another node")
    check_group_info_signature(suite, group_info, group.tree)


def transition_devices(transition: Transition) -> tuple[tuple[Device, ...], tuple[Device, ...]]:
    """Return the devices a commit adds and removes; one that joins by itself counts as added."""
    added = [device_of(key_package.leaf_node) for _, key_package in transition.applied.added]
    removed = tuple(device_of(leaf) for _, leaf in transition.applied.removed)
    if transition.is_external and transition.commit.path is not None:
        added.append(device_of(transition.commit.path.leaf_node))
    return tuple(added), removed
