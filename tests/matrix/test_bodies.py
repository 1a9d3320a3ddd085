from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmls.errors import CodecError, CryptoError, DMLSError, LimitError, UnknownVariantError, UnsupportedError
from dmls.ids import CommitRef, EpochId, EventId, LeafIndex, RoomId
from dmls.matrix.blobs import CONTENT_LIMIT, Blob, blob_pointers, check_blob, fill, spill
from dmls.matrix.bodies import (
    ALGORITHM,
    MAX_BLOB,
    BlobPointer,
    Body,
    CommitBody,
    EventPointer,
    GenesisBody,
    Inline,
    MessageBody,
    Payload,
    Predecessor,
    Resolved,
    Vote,
    VoteBody,
    WelcomeBody,
    content_of,
    encode_payload,
    parse_body,
    parse_payload,
)
from dmls.matrix.encoding import MAX_INTEGER, encode_base64, encode_canonical_json, parse_json_object

ROOM = RoomId("!jMaHiUuQXWdQlQKVDN:127.0.0.1:18441")
REF = CommitRef(b"\x01" * 32)
EPOCH = EpochId(b"\x02" * 32)
EVENT = EventId("$aI1ci")
BLOB = BlobPointer("mxc://hs1/dmls-00", b"\x03" * 32, 70_000)
VOTE = Vote(LeafIndex(3), 17, b"\x04" * 64)

BODIES: list[Body] = [
    GenesisBody(1, Inline(b"group info"), BLOB),
    GenesisBody(1, Inline(b""), Inline(b"tree"), Predecessor(ROOM, REF, EPOCH)),
    CommitBody(1, Inline(b"commit"), BLOB, EventPointer(EVENT)),
    CommitBody(
        7,
        BLOB,
        Inline(b"info"),
        Inline(b"tree"),
        welcome=Inline(b"welcome"),
        epoch=5,
        epoch_id=EPOCH,
        parent_event=EVENT,
        commit_ref=REF,
        resolves=(Resolved(REF, EVENT), Resolved(REF)),
        new_epoch_id=EPOCH,
    ),
    MessageBody(Inline(b"message")),
    MessageBody(BLOB, VOTE, 5, EPOCH, EVENT),
    VoteBody(REF, LeafIndex(0), 1, b"\x05" * 64),
    WelcomeBody(ROOM, Inline(b"welcome"), REF, EVENT),
    WelcomeBody(ROOM, BLOB),
]

refs = st.sampled_from([8, 32, 48, 64]).flatmap(lambda size: st.binary(min_size=size, max_size=size))
events = st.text(st.characters(min_codepoint=0x21, exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40).map(
    lambda text: EventId("$" + text)
)
rooms = st.sampled_from([ROOM, RoomId("!op2Ft50Qa6OxHgebFI3ZyKyQvlGwPBg8gVTV5hDOTcE")])
pointers = st.builds(
    BlobPointer,
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=60),
    st.binary(min_size=32, max_size=32),
    st.integers(0, MAX_BLOB),
)
xs = st.builds(Inline, st.binary(max_size=50)) | pointers
leaves = st.integers(0, 2**32 - 1)
numbers = st.integers(0, MAX_INTEGER)
suites = st.integers(0, 2**16 - 1)
votes = st.builds(Vote, leaves, numbers, st.binary(max_size=70))
maybe = {"epoch": st.none() | numbers, "epoch_id": st.none() | refs}
bodies: st.SearchStrategy[Body] = (
    st.builds(GenesisBody, suites, xs, xs, st.none() | st.builds(Predecessor, rooms, refs, refs))
    | st.builds(
        CommitBody,
        suites,
        xs,
        xs,
        xs | st.builds(EventPointer, events),
        welcome=st.none() | xs,
        parent_event=st.none() | events,
        commit_ref=st.none() | refs,
        resolves=st.lists(st.builds(Resolved, refs, st.none() | events), max_size=3).map(tuple),
        new_epoch_id=st.none() | refs,
        **maybe,
    )
    | st.builds(MessageBody, xs, st.none() | votes, commit_event=st.none() | events, **maybe)
    | st.builds(VoteBody, refs, leaves, numbers, st.binary(max_size=70))
    | st.builds(WelcomeBody, rooms, xs, st.none() | refs, st.none() | events)
)


@given(bodies)
def test_every_body_is_read_back_from_its_bytes(body: Body) -> None:
    assert parse_body(parse_json_object(encode_canonical_json(content_of(body)))) == body


@pytest.mark.parametrize("body", BODIES)
def test_unknown_fields_are_ignored(body: Body) -> None:
    assert parse_body({**content_of(body), "org.example": {"a": [1]}}) == body


def test_contents_have_the_fields_of_the_protocol() -> None:
    assert content_of(BODIES[3]) == {
        "algorithm": "org.dmls.v1",
        "kind": "commit",
        "ciphersuite": 7,
        "epoch": 5,
        "epoch_id": encode_base64(EPOCH),
        "parent_event": "$aI1ci",
        "message": {"blob": {"uri": "mxc://hs1/dmls-00", "sha256": encode_base64(b"\x03" * 32), "size": 70_000}},
        "commit_ref": encode_base64(REF),
        "resolves": [{"commit_ref": encode_base64(REF), "event": "$aI1ci"}, {"commit_ref": encode_base64(REF)}],
        "new_epoch_id": encode_base64(EPOCH),
        "group_info": {"inline": "aW5mbw"},
        "keyframe": {"inline": "dHJlZQ"},
        "welcome": {"inline": "d2VsY29tZQ"},
    }
    assert content_of(BODIES[2])["keyframe"] == {"event": "$aI1ci"}
    assert content_of(BODIES[5])["vote"] == {"leaf": 3, "seq": 17, "signature": encode_base64(b"\x04" * 64)}
    assert [content_of(body)["kind"] for body in BODIES[::2]] == ["genesis", "commit", "message", "vote", "welcome"]


REQUIRED = [(body, name) for body in BODIES for name in content_of(body) if name not in {"algorithm", "kind"}]
HINTS = {"epoch", "epoch_id", "parent_event", "commit_ref", "resolves", "new_epoch_id", "commit_event"}
WRONG: list[Any] = [
    True,
    -1,
    1.5,
    2**53,
    "",
    "A",
    "AA==",
    "a event",
    [],
    [1],
    {},
    {"inline": "A"},
    {"inline": "AA", "event": "$a"},
    {"blob": {}},
    {"blob": {"uri": "mxc://a/b", "sha256": "AA", "size": 1}},
    {"blob": {"uri": "", "sha256": encode_base64(bytes(32)), "size": 1}},
    {"blob": {"uri": "a b", "sha256": encode_base64(bytes(32)), "size": 1}},
    {"blob": {"uri": "mxc://a/b", "sha256": encode_base64(bytes(32)), "size": MAX_BLOB + 1}},
    {"event": "a"},
]


@pytest.mark.parametrize(("body", "name"), REQUIRED)
def test_malformed_field_is_refused_and_malformed_hint_ignored(body: Body, name: str) -> None:
    is_hint = name in HINTS and not (isinstance(body, VoteBody) and name == "commit_ref")
    for wrong in WRONG:
        if name == "resolves" and wrong == []:
            continue
        content = {**content_of(body), name: wrong}
        if name == "signature" and wrong in ("", "AA"):
            continue
        if is_hint:
            absent: dict[str, Any] = {name: () if name == "resolves" else None}
            assert parse_body(content) == replace(body, **absent)
        else:
            with pytest.raises(CodecError):
                parse_body(content)


@pytest.mark.parametrize(("body", "name"), REQUIRED)
def test_only_hints_and_optional_fields_may_be_absent(body: Body, name: str) -> None:
    content = content_of(body)
    del content[name]
    optional = HINTS | {"predecessor", "welcome", "vote"}
    if isinstance(body, VoteBody):
        optional -= {"commit_ref"}
    if isinstance(body, WelcomeBody):
        optional -= {"welcome"}
    if name in optional:
        assert type(parse_body(content)) is type(body)
    else:
        with pytest.raises(CodecError):
            parse_body(content)


def test_malformed_event_of_a_resolved_head_is_ignored_alone() -> None:
    content = content_of(BODIES[3])
    content["resolves"][0]["event"] = "not an event"
    parsed = parse_body(content)
    assert isinstance(parsed, CommitBody)
    assert parsed.resolves == (Resolved(REF), Resolved(REF))


@pytest.mark.parametrize("name", ["leaf", "seq", "signature"])
def test_malformed_vote_of_a_message_is_refused(name: str) -> None:
    content = content_of(BODIES[5])
    del content["vote"][name]
    with pytest.raises(CodecError, match=name):
        parse_body(content)


def test_keyframe_by_event_is_for_commits_only() -> None:
    with pytest.raises(CodecError):
        parse_body({**content_of(BODIES[0]), "keyframe": {"event": "$a"}})


@pytest.mark.parametrize("algorithm", [None, "m.megolm.v1.aes-sha2", 1, [ALGORITHM]])
def test_another_algorithm_is_unsupported(algorithm: object) -> None:
    with pytest.raises(UnsupportedError):
        parse_body({**content_of(BODIES[0]), "algorithm": algorithm})


@pytest.mark.parametrize("kind", [None, "", "Commit", 1, ["commit"], {}])
def test_unknown_kind_is_refused(kind: object) -> None:
    with pytest.raises(UnknownVariantError):
        parse_body({**content_of(BODIES[0]), "kind": kind})


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | texts
    | st.sampled_from(["AAAA", "$event", ROOM, encode_base64(REF)]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            texts | st.sampled_from(["inline", "blob", "event", "uri", "sha256", "size", "commit_ref"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@given(st.sampled_from(BODIES), st.data())
def test_any_content_gives_a_body_or_a_typed_error(body: Body, data: st.DataObject) -> None:
    content = content_of(body)
    for name in data.draw(st.lists(st.sampled_from(sorted(content)), max_size=3)):
        content[name] = data.draw(values)
    try:
        parsed = parse_body(content)
    except DMLSError:
        return
    assert parse_body(content_of(parsed)) == parsed


def uri(digest: bytes) -> str:
    return f"mxc://hs1/dmls-{digest.hex()}"


def size_of(body: Body) -> int:
    return len(encode_canonical_json(content_of(body)))


def test_body_that_fits_is_not_spilled() -> None:
    for body in BODIES:
        assert spill(body, uri) == (body, ())


def test_largest_fields_are_spilled_until_the_content_fits() -> None:
    commit = CommitBody(1, Inline(b"m" * 20_000), Inline(b"g" * 100_000), Inline(b"k" * 30_000), welcome=Inline(b"w" * 19_000))
    small, blobs = spill(commit, uri)
    assert [blob.data[:1] for blob in blobs] == [b"g", b"k"]
    assert size_of(small) <= CONTENT_LIMIT
    assert isinstance(small.message, Inline)
    assert isinstance(small.welcome, Inline)
    for blob in blobs:
        assert blob == Blob(uri(hashlib.sha256(blob.data).digest()), hashlib.sha256(blob.data).digest(), blob.data)
    assert blob_pointers(small) == (small.group_info, small.keyframe)
    assert fill(small, {blob.sha256: blob.data for blob in blobs}) == commit


def test_limit_is_exact() -> None:
    for extra in range(8):
        message = MessageBody(Inline(bytes(44_900 + extra)))
        body, blobs = spill(message, uri, limit=size_of(message))
        assert (body, blobs) == (message, ())
        body, blobs = spill(message, uri, limit=size_of(message) - 1)
        assert len(blobs) == 1
        assert size_of(body) < 300


def test_equal_fields_are_one_blob() -> None:
    genesis = GenesisBody(1, Inline(b"x" * 50_000), Inline(b"x" * 50_000))
    small, blobs = spill(genesis, uri)
    assert len(blobs) == 1
    assert fill(small, {blobs[0].sha256: blobs[0].data}) == genesis


@given(st.lists(st.integers(0, 3_000), min_size=4, max_size=4), st.integers(1_000, 3_000))
def test_spilled_body_is_filled_again(sizes: list[int], limit: int) -> None:
    fields = [Inline(bytes([number]) * size) for number, size in enumerate(sizes)]
    commit = CommitBody(1, fields[0], fields[1], fields[2], welcome=fields[3])
    small, blobs = spill(commit, uri, limit)
    assert size_of(small) <= limit
    assert fill(small, {blob.sha256: blob.data for blob in blobs}) == commit
    if blobs:
        kept = [x for x in (small.message, small.group_info, small.keyframe, small.welcome) if isinstance(x, Inline)]
        assert min(len(blob.data) for blob in blobs) >= max((len(inline.data) for inline in kept), default=0)


def test_body_that_cannot_fit_is_refused() -> None:
    commit = CommitBody(1, Inline(b""), Inline(b""), Inline(b""), resolves=(Resolved(REF, EVENT),) * 2_000)
    with pytest.raises(LimitError):
        spill(commit, uri)


def test_missing_blob_leaves_its_pointer() -> None:
    assert fill(BODIES[5], {}) == BODIES[5]


def test_blob_is_checked_against_its_pointer() -> None:
    data = b"ratchet tree"
    pointer = BlobPointer("mxc://hs1/x", hashlib.sha256(data).digest(), len(data))
    assert check_blob(pointer, data) == Inline(data)
    for wrong, other in [(data + b"!", pointer), (data[:-1] + b"!", pointer), (data, replace(pointer, size=len(data) + 1))]:
        with pytest.raises(CryptoError):
            check_blob(other, wrong)
    with pytest.raises(CryptoError):
        fill(MessageBody(pointer), {pointer.sha256: b"other"})


contents = st.dictionaries(
    texts,
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-MAX_INTEGER, MAX_INTEGER)
        | st.floats(allow_nan=False, allow_infinity=False)
        | texts,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60), contents, rooms)
def test_payload_is_read_back(kind: str, content: dict[str, Any], room: RoomId) -> None:
    payload = Payload(kind, content, room)
    assert parse_payload(encode_payload(payload)) == payload


@pytest.mark.parametrize(
    "plaintext",
    [
        b"",
        b"[]",
        b"{}",
        b'{"type":"","content":{},"room_id":"!a:b"}',
        b'{"type":1,"content":{},"room_id":"!a:b"}',
        b'{"type":"a","content":[],"room_id":"!a:b"}',
        b'{"type":"a","room_id":"!a:b"}',
        b'{"type":"a","content":{},"room_id":"a:b"}',
        b'{"type":"a","content":{}}',
        '{{"type":"{}","content":{{}},"room_id":"!a:b"}}'.format("ä" * 128).encode(),
    ],
)
def test_other_plaintext_is_refused(plaintext: bytes) -> None:
    with pytest.raises(CodecError):
        parse_payload(plaintext)


@pytest.mark.parametrize(
    "payload",
    [
        Payload("", {}, ROOM),
        Payload("a" * 256, {}, ROOM),
        Payload("\ud800", {}, ROOM),
        Payload("a", {}, RoomId("a")),
        Payload("a", {"a": float("nan")}, ROOM),
        Payload("a", {"a": b""}, ROOM),
    ],
)
def test_payload_that_nobody_could_read_is_not_written(payload: Payload) -> None:
    with pytest.raises(CodecError):
        encode_payload(payload)


def test_plaintext_is_not_in_the_repr() -> None:
    assert "hunter2" not in repr(Payload("m.room.message", {"body": "hunter2"}, ROOM))
