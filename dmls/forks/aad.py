"""What DMLS adds to MLS messages: extensions, authenticated data, references and votes (docs/protocol.md, Sections 2 and 4).

Links between epochs sit in the signed `authenticated_data` of a commit. The `decode_` and `read_` functions check what the wire
types cannot say, so that everybody refuses the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Final

from dmls.errors import CodecError, InvalidCommitError, InvalidGroupInfoError, InvalidMessageError, UnsupportedError, UsageError
from dmls.ids import CommitRef, DeviceId, GroupId, LeafIndex, RoomId, UserId
from dmls.mls.codec import Enum8, bounded, decode, encode, opaque, struct, uint8, uint16, uint32, uint64
from dmls.mls.crypto.suites import CipherSuite
from dmls.mls.messages.extensions import Extension, make_extension, read_extension
from dmls.mls.messages.message import AuthenticatedContent, FramedContent, MLSMessage

__all__ = [
    "DEFAULT_RETAIN_EPOCHS",
    "DEFAULT_RETAIN_SECONDS",
    "DMLS_NODE_REF",
    "DMLS_PARAMS",
    "HEAD_RULE",
    "MAX_RETAIN_SECONDS",
    "MAX_STATE_EVENTS",
    "MAX_VOTE_SEQ",
    "VERSION",
    "DMLSMessage",
    "DmlsCommitAAD",
    "DmlsIdentity",
    "DmlsMessageAAD",
    "DmlsNodeRef",
    "DmlsParams",
    "EpochPointer",
    "Farewell",
    "KeySchedule",
    "VoteTBS",
    "commit_ref",
    "content_hash",
    "decode_commit_aad",
    "decode_identity",
    "decode_message_aad",
    "encode_identity",
    "genesis_ref",
    "make_commit_aad",
    "make_message_aad",
    "make_node_ref",
    "make_params",
    "make_vote",
    "read_node_ref",
    "read_params",
    "sign_vote",
    "verify_vote",
]

DMLS_PARAMS: Final = 0xF0D1
"""Type of the GroupContext extension that holds DmlsParams; also required of every leaf."""
DMLS_NODE_REF: Final = 0xF0D2
"""Type of the GroupInfo extension that holds DmlsNodeRef."""

VERSION: Final = 1
HEAD_RULE: Final = 1
DEFAULT_RETAIN_SECONDS: Final = 259_200
MAX_RETAIN_SECONDS: Final = 604_800
DEFAULT_RETAIN_EPOCHS: Final = 16
MAX_VOTE_SEQ: Final = 2**63 - 1
"""Greatest vote_seq. A device counts from 1, since 0 is its vote as the maker of the genesis; others' 0 is accepted."""
MAX_STATE_EVENTS: Final = 32

_VOTE_LABEL: Final = "DMLS 1.0 Vote"


class KeySchedule(Enum8):
    """How the init secret of an epoch comes about."""

    RFC9420 = 1
    PPRF = 2


class Farewell(IntEnum):
    """What a commit says of all the devices that it removes."""

    NOTHING = 0
    GONE = 1
    """They are gone for good; it is their user's word."""
    STALE = 2
    """They have not renewed their keys for too long, and are added again when they show that they live."""


@struct
class DmlsParams:
    """The parameters of a group, the same in every epoch. `retain_seconds` in seconds, `room_id` in UTF-8."""

    version: uint8
    key_schedule: KeySchedule
    head_rule: uint8
    retain_seconds: uint32
    retain_epochs: uint16
    room_id: opaque


@struct
class DmlsIdentity:
    """`BasicCredential.identity` of a leaf: Matrix user and device ID in UTF-8."""

    user_id: opaque
    device_id: opaque


@struct
class EpochPointer:
    """Names an epoch. `epoch_id` is empty where the author does not know it; validity looks at `commit_ref` only."""

    commit_ref: opaque
    epoch_id: opaque


@struct
class DmlsCommitAAD:
    """Authenticated data of a commit. `state_events` are event IDs in UTF-8, for information; `logout` is one of `Farewell`."""

    version: uint8
    parent: EpochPointer
    resolves: bounded[EpochPointer]
    rejects: bounded[EpochPointer]
    vote_seq: uint64
    logout: uint8
    state_events: bounded[opaque]


@struct
class DmlsMessageAAD:
    """Authenticated data of an application message."""

    version: uint8
    epoch: EpochPointer


@struct
class VoteTBS:
    """What a vote signs. `leaf_index` is the voter's leaf in the tree of the epoch that `commit_ref` names."""

    group_id: opaque
    commit_ref: opaque
    leaf_index: uint32
    vote_seq: uint64


@struct
class DmlsNodeRef:
    """The epoch that a GroupInfo describes."""

    commit_ref: opaque


@struct
class DMLSMessage:
    """Envelope off Matrix. `dmls_epoch` is the ID of the epoch that is needed to open the message."""

    message: MLSMessage
    dmls_epoch: opaque


# Extensions and credentials


def make_params(
    room_id: RoomId,
    key_schedule: KeySchedule = KeySchedule.PPRF,
    retain_seconds: int = DEFAULT_RETAIN_SECONDS,
    retain_epochs: int = DEFAULT_RETAIN_EPOCHS,
) -> Extension:
    """Return the GroupContext extension of a new group.

    Raises:
        UsageError: the retention is out of range.
    """
    params = DmlsParams(VERSION, key_schedule, HEAD_RULE, retain_seconds, retain_epochs, room_id.encode())
    if not _is_retention(params):
        raise UsageError("retention is out of range")
    return make_extension(DMLS_PARAMS, params)


def read_params(extensions: Sequence[Extension]) -> DmlsParams:
    """Return the parameters of a group from the extensions of its GroupContext.

    Raises:
        InvalidGroupInfoError: there are none, or the retention is out of range.
        UnsupportedError: a version or head rule that is not known here.
        CodecError: the extension does not decode.
    """
    params = read_extension(extensions, DMLS_PARAMS, DmlsParams)
    if params is None:
        raise InvalidGroupInfoError("not a DMLS group: it has no parameters")
    if params.version != VERSION or params.head_rule != HEAD_RULE:
        raise UnsupportedError(f"DMLS version {params.version} with head rule {params.head_rule} is not implemented")
    if not _is_retention(params):
        raise InvalidGroupInfoError("retention is out of range")
    return params


def _is_retention(params: DmlsParams) -> bool:
    return 0 < params.retain_seconds <= MAX_RETAIN_SECONDS and params.retain_epochs > 0


def make_node_ref(ref: CommitRef) -> Extension:
    """Return the GroupInfo extension that names the epoch's node."""
    return make_extension(DMLS_NODE_REF, DmlsNodeRef(ref))


def read_node_ref(extensions: Sequence[Extension]) -> CommitRef:
    """Return the node that a GroupInfo names.

    Raises:
        InvalidGroupInfoError: it names none.
        CodecError: the extension does not decode.
    """
    node_ref = read_extension(extensions, DMLS_NODE_REF, DmlsNodeRef)
    if node_ref is None:
        raise InvalidGroupInfoError("the GroupInfo does not name its node")
    return CommitRef(node_ref.commit_ref)


def encode_identity(user_id: UserId, device_id: DeviceId) -> bytes:
    """Return the identity of a device's credential."""
    return encode(DmlsIdentity(user_id.encode(), device_id.encode()))


def decode_identity(identity: bytes) -> tuple[UserId, DeviceId]:
    """Return user and device of a credential's identity. Whether they are Matrix identifiers is not checked.

    Raises:
        CodecError: the bytes do not decode, or not to UTF-8.
    """
    claimed = decode(DmlsIdentity, identity)
    try:
        return UserId(claimed.user_id.decode()), DeviceId(claimed.device_id.decode())
    except UnicodeDecodeError:
        raise CodecError("user or device ID is not UTF-8") from None


# Authenticated data


def make_commit_aad(
    parent: EpochPointer,
    vote_seq: int,
    *,
    resolves: Sequence[EpochPointer] = (),
    rejects: Sequence[EpochPointer] = (),
    logout: int = 0,
    state_events: Sequence[str] = (),
) -> bytes:
    """Return the authenticated data of a commit.

    Raises:
        UsageError: `vote_seq` is out of range, or there are too many state events.
    """
    if not 0 < vote_seq <= MAX_VOTE_SEQ or len(state_events) > MAX_STATE_EVENTS:
        raise UsageError("vote_seq or the number of state events is out of range")
    events = tuple(event.encode() for event in state_events)
    return encode(DmlsCommitAAD(VERSION, parent, tuple(resolves), tuple(rejects), vote_seq, logout, events))


def decode_commit_aad(data: bytes) -> DmlsCommitAAD:
    """Decode and check the authenticated data of a commit.

    Raises:
        CodecError: the bytes do not decode.
        UnsupportedError: another version.
        InvalidCommitError: `vote_seq`, `logout` or the number of state events is out of range.
    """
    aad = decode(DmlsCommitAAD, data)
    if aad.version != VERSION:
        raise UnsupportedError(f"DMLS version {aad.version} is not implemented")
    if aad.vote_seq > MAX_VOTE_SEQ:
        raise InvalidCommitError("vote_seq is out of range")
    if aad.logout > Farewell.STALE:
        raise InvalidCommitError("logout says nothing that is known")
    if len(aad.state_events) > MAX_STATE_EVENTS:
        raise InvalidCommitError("too many state events")
    return aad


def make_message_aad(epoch: EpochPointer) -> bytes:
    """Return the authenticated data of an application message."""
    return encode(DmlsMessageAAD(VERSION, epoch))


def decode_message_aad(data: bytes) -> DmlsMessageAAD:
    """Decode and check the authenticated data of an application message.

    Raises:
        CodecError: the bytes do not decode.
        UnsupportedError: another version.
    """
    aad = decode(DmlsMessageAAD, data)
    if aad.version != VERSION:
        raise UnsupportedError(f"DMLS version {aad.version} is not implemented")
    return aad


# References


def commit_ref(suite: CipherSuite, content: AuthenticatedContent) -> CommitRef:
    """Return the reference of a commit, hash_size bytes: of all that its transcript hashes cover, so not of its membership tag.

    Raises:
        UsageError: `content` is no commit.
    """
    if content.confirmation_tag is None:
        raise UsageError("only a commit has a commit reference")
    return CommitRef(suite.ref_hash("DMLS 1.0 Commit Reference", encode(content)))


def genesis_ref(suite: CipherSuite, mls_message: bytes) -> CommitRef:
    """Return the reference of a genesis, hash_size bytes, from the encoded MLSMessage that holds its GroupInfo."""
    return CommitRef(suite.ref_hash("DMLS 1.0 Genesis Reference", mls_message))


def content_hash(suite: CipherSuite, content: FramedContent) -> bytes:
    """Return a hash, hash_size bytes, that two commits share iff they differ at most in signature and tags: twins."""
    return suite.hash(encode(content))


# Votes


def make_vote(group_id: GroupId, ref: CommitRef, leaf_index: LeafIndex, vote_seq: int) -> VoteTBS:
    """Return a vote to be signed.

    Raises:
        UsageError: `vote_seq` is out of range.
    """
    if not 0 < vote_seq <= MAX_VOTE_SEQ:
        raise UsageError("vote_seq is out of range")
    return VoteTBS(group_id, ref, leaf_index, vote_seq)


def sign_vote(suite: CipherSuite, signature_key: bytes, vote: VoteTBS) -> bytes:
    """Sign a vote with the private key of the leaf.

    Raises:
        CryptoError: the private key is invalid.
    """
    return suite.sign_with_label(signature_key, _VOTE_LABEL, encode(vote))


def verify_vote(suite: CipherSuite, signature_key: bytes, vote: VoteTBS, signature: bytes) -> None:
    """Check a vote against the public key of the leaf it names.

    Raises:
        InvalidMessageError: `vote_seq` is out of range.
        SignatureError: the signature is not of this leaf.
    """
    if vote.vote_seq > MAX_VOTE_SEQ:
        raise InvalidMessageError("vote_seq is out of range")
    suite.verify_with_label(signature_key, _VOTE_LABEL, encode(vote), signature)
