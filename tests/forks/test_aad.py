from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmls.errors import (
    CodecError,
    InvalidCommitError,
    InvalidGroupInfoError,
    InvalidMessageError,
    SignatureError,
    UnsupportedError,
    UsageError,
)
from dmls.forks.aad import (
    DMLS_NODE_REF,
    DMLS_PARAMS,
    DmlsCommitAAD,
    DMLSMessage,
    DmlsMessageAAD,
    DmlsParams,
    EpochPointer,
    Farewell,
    KeySchedule,
    commit_ref,
    content_hash,
    decode_commit_aad,
    decode_identity,
    decode_message_aad,
    encode_identity,
    genesis_ref,
    make_commit_aad,
    make_message_aad,
    make_node_ref,
    make_params,
    make_vote,
    read_node_ref,
    read_params,
    sign_vote,
    verify_vote,
)
from dmls.ids import CommitRef, DeviceId, GroupId, LeafIndex, RoomId, UserId
from dmls.mls.codec import decode, encode, encode_opaque
from dmls.mls.crypto.suites import CIPHER_SUITES, CipherSuite, cipher_suite
from dmls.mls.messages.commit import Commit
from dmls.mls.messages.extensions import Extension, make_extension
from dmls.mls.messages.message import ApplicationData, AuthenticatedContent, FramedContent, Member, MLSMessage, PrivateMessage
from dmls.mls.messages.registry import ContentType, ProtocolVersion, WireFormat

SUITE = cipher_suite(1)
ROOM = RoomId("!room:hs1")
PARENT = EpochPointer(b"\x01" * 32, b"\x02" * 32)
CONTENT = AuthenticatedContent(
    WireFormat.PUBLIC_MESSAGE,
    FramedContent(b"!room:hs1", 7, Member(3), b"aad", Commit((), None)),
    b"signature",
    b"tag",
)

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
pointers = st.builds(EpochPointer, st.binary(max_size=40), st.binary(max_size=40))


def test_params_are_on_the_wire_as_documented() -> None:
    extension = make_params(ROOM)
    assert extension.extension_type == DMLS_PARAMS == 0xF0D1
    assert extension.extension_data == b"\x01\x02\x01" + (259_200).to_bytes(4, "big") + b"\x00\x10" + b"\x09!room:hs1"


def test_params_are_read_back() -> None:
    extensions = (Extension(1, b""), make_params(ROOM, KeySchedule.RFC9420, 3_600, 4))
    assert read_params(extensions) == DmlsParams(1, KeySchedule.RFC9420, 1, 3_600, 4, b"!room:hs1")


def test_group_without_params_is_refused() -> None:
    with pytest.raises(InvalidGroupInfoError):
        read_params((Extension(1, b""),))


@pytest.mark.parametrize("field", ["version", "head_rule"])
@pytest.mark.parametrize("value", [0, 2])
def test_params_of_another_version_or_head_rule_are_refused(field: str, value: int) -> None:
    params = replace(DmlsParams(1, KeySchedule.PPRF, 1, 1, 1, b"!r"), **{field: value})  # type: ignore[arg-type]
    with pytest.raises(UnsupportedError):
        read_params((make_extension(DMLS_PARAMS, params),))


@pytest.mark.parametrize(("seconds", "epochs"), [(0, 16), (604_801, 16), (259_200, 0)])
def test_retention_out_of_range_is_refused(seconds: int, epochs: int) -> None:
    params = DmlsParams(1, KeySchedule.PPRF, 1, seconds, epochs, b"!r")
    with pytest.raises(InvalidGroupInfoError):
        read_params((make_extension(DMLS_PARAMS, params),))
    with pytest.raises(UsageError):
        make_params(ROOM, retain_seconds=seconds, retain_epochs=epochs)


@pytest.mark.parametrize("data", [b"", b"\x01\x00\x01\x00\x00\x00\x01\x00\x01\x00", b"\x01\x03\x01\x00\x00\x00\x01\x00\x01\x00"])
def test_params_that_do_not_decode_are_refused(data: bytes) -> None:
    with pytest.raises(CodecError):
        read_params((Extension(DMLS_PARAMS, data),))


def test_group_info_names_its_node() -> None:
    extension = make_node_ref(CommitRef(b"\x05" * 32))
    assert (extension.extension_type, extension.extension_data) == (0xF0D2, b"\x20" + b"\x05" * 32)
    assert read_node_ref((extension,)) == b"\x05" * 32
    with pytest.raises(InvalidGroupInfoError):
        read_node_ref(())
    with pytest.raises(CodecError):
        read_node_ref((Extension(DMLS_NODE_REF, b"\x05"),))


@given(user=names, device=names)
def test_identity_is_read_back(user: str, device: str) -> None:
    assert decode_identity(encode_identity(UserId(user), DeviceId(device))) == (user, device)


@pytest.mark.parametrize("identity", [b"", b"\x01\xff\x01a", b"\x01a\x01\xff", b"\x01a\x01b\x00"])
def test_identity_that_does_not_decode_is_refused(identity: bytes) -> None:
    with pytest.raises(CodecError):
        decode_identity(identity)


@given(
    parent=pointers,
    vote_seq=st.integers(1, 2**63 - 1),
    resolves=st.lists(pointers, max_size=3),
    rejects=st.lists(pointers, max_size=3),
    logout=st.sampled_from(Farewell),
    state_events=st.lists(names, max_size=3),
)
def test_commit_aad_is_read_back(
    parent: EpochPointer,
    vote_seq: int,
    resolves: list[EpochPointer],
    rejects: list[EpochPointer],
    logout: int,
    state_events: list[str],
) -> None:
    data = make_commit_aad(parent, vote_seq, resolves=resolves, rejects=rejects, logout=logout, state_events=state_events)
    aad = decode_commit_aad(data)
    assert (aad.parent, aad.vote_seq, aad.logout) == (parent, vote_seq, int(logout))
    assert (list(aad.resolves), list(aad.rejects)) == (resolves, rejects)
    assert [event.decode() for event in aad.state_events] == state_events


def test_commit_aad_is_on_the_wire_as_documented() -> None:
    parent, side_head = EpochPointer(b"pp", b"e"), EpochPointer(b"s", b"")
    data = make_commit_aad(parent, 5, resolves=[side_head], logout=True, state_events=["$a", "$b"])
    assert data == b"\x01\x02pp\x01e\x03\x01s\x00\x00\0\0\0\0\0\0\0\x05\x01\x06\x02$a\x02$b"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"version": 2}, UnsupportedError),
        ({"vote_seq": 2**63}, InvalidCommitError),
        ({"logout": 3}, InvalidCommitError),
        ({"state_events": (b"$",) * 33}, InvalidCommitError),
    ],
)
def test_commit_aad_out_of_range_is_refused(change: dict[str, object], error: type[Exception]) -> None:
    good = DmlsCommitAAD(1, PARENT, (), (), 2**63 - 1, 1, (b"$",) * 32)
    assert decode_commit_aad(encode(good)) == good
    with pytest.raises(error):
        decode_commit_aad(encode(replace(good, **change)))  # type: ignore[arg-type]


@pytest.mark.parametrize(("vote_seq", "events"), [(0, 0), (2**63, 0), (1, 33)])
def test_commit_aad_is_not_made_out_of_range(vote_seq: int, events: int) -> None:
    with pytest.raises(UsageError):
        make_commit_aad(PARENT, vote_seq, state_events=["$"] * events)


def test_message_aad_is_read_back_and_its_version_checked() -> None:
    assert decode_message_aad(make_message_aad(PARENT)) == DmlsMessageAAD(1, PARENT)
    with pytest.raises(UnsupportedError):
        decode_message_aad(encode(DmlsMessageAAD(2, PARENT)))


@given(data=st.binary(max_size=120))
def test_bytes_from_outside_decode_or_raise_typed_errors(data: bytes) -> None:
    for read in (decode_commit_aad, decode_message_aad, decode_identity):
        try:
            read(data)
        except (CodecError, UnsupportedError, InvalidCommitError):
            continue


@pytest.mark.parametrize("suite", CIPHER_SUITES, ids=lambda suite: str(suite.id))
def test_commit_ref_covers_content_signature_and_tag(suite: CipherSuite) -> None:
    ref = commit_ref(suite, CONTENT)
    label = b"DMLS 1.0 Commit Reference"
    value = b"\x00\x01" + encode(CONTENT.content) + encode_opaque(CONTENT.signature) + b"\x03tag"
    assert ref == hashlib.new(suite.hash_name, bytes([len(label)]) + label + bytes([len(value)]) + value).digest()
    assert commit_ref(suite, replace(CONTENT, signature=b"another")) != ref
    assert commit_ref(suite, replace(CONTENT, confirmation_tag=b"gat")) != ref
    assert commit_ref(suite, replace(CONTENT, content=replace(CONTENT.content, epoch=8))) != ref
    assert commit_ref(suite, replace(CONTENT, wire_format=WireFormat.PRIVATE_MESSAGE)) != ref


def test_what_is_no_commit_has_no_commit_ref() -> None:
    message = FramedContent(b"", 0, Member(0), b"", ApplicationData(b""))
    with pytest.raises(UsageError):
        commit_ref(SUITE, AuthenticatedContent(WireFormat.PRIVATE_MESSAGE, message, b"", None))


def test_twins_share_their_content_hash() -> None:
    twin = replace(CONTENT, signature=b"another", confirmation_tag=b"gat")
    assert content_hash(SUITE, twin.content) == content_hash(SUITE, CONTENT.content)
    assert content_hash(SUITE, replace(CONTENT.content, authenticated_data=b"")) != content_hash(SUITE, CONTENT.content)


def test_genesis_ref_is_labelled() -> None:
    label = b"DMLS 1.0 Genesis Reference"
    assert genesis_ref(SUITE, b"group info") == hashlib.sha256(bytes([len(label)]) + label + b"\x0agroup info").digest()


@pytest.mark.parametrize("suite", [cipher_suite(1), cipher_suite(2), cipher_suite(4)], ids=lambda suite: str(suite.id))
def test_vote_is_verified(suite: CipherSuite) -> None:
    keys = suite.generate_signature_key_pair(lambda size: bytes(range(1, size + 1)))
    vote = make_vote(GroupId(b"!room:hs1"), CommitRef(b"\x01" * 32), LeafIndex(2), 9)
    assert encode(vote) == b"\x09!room:hs1" + b"\x20" + b"\x01" * 32 + b"\0\0\0\x02" + b"\0\0\0\0\0\0\0\x09"
    signature = sign_vote(suite, keys.private_key, vote)
    verify_vote(suite, keys.public_key, vote, signature)
    for other in (
        replace(vote, group_id=b"!other"),
        replace(vote, commit_ref=b"\x02" * 32),
        replace(vote, leaf_index=3),
        replace(vote, vote_seq=8),
    ):
        with pytest.raises(SignatureError):
            verify_vote(suite, keys.public_key, other, signature)


def test_vote_out_of_range_is_neither_made_nor_accepted() -> None:
    keys = SUITE.generate_signature_key_pair(lambda size: bytes(range(1, size + 1)))
    vote = make_vote(GroupId(b""), CommitRef(b""), LeafIndex(0), 2**63 - 1)
    for vote_seq in (0, 2**63):
        with pytest.raises(UsageError):
            make_vote(GroupId(b""), CommitRef(b""), LeafIndex(0), vote_seq)
    unbeatable = replace(vote, vote_seq=2**63)
    with pytest.raises(InvalidMessageError):
        verify_vote(SUITE, keys.public_key, unbeatable, sign_vote(SUITE, keys.private_key, unbeatable))


def test_envelope_holds_a_message_and_the_epoch_that_opens_it() -> None:
    message = MLSMessage(ProtocolVersion.MLS10, PrivateMessage(b"g", 1, ContentType.APPLICATION, b"", b"s", b"c"))
    data = encode(DMLSMessage(message, b"\x01" * 32))
    assert data == encode(message) + b"\x20" + b"\x01" * 32
    assert decode(DMLSMessage, data) == DMLSMessage(message, b"\x01" * 32)
