from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmls.errors import InvalidArgumentError
from dmls.ids import RoomId, UserId
from dmls.matrix.identifiers import (
    group_id,
    parse_device_id,
    parse_event_id,
    parse_room_id,
    parse_server_name,
    parse_user_id,
    server_of,
)

HASH = "op2Ft50Qa6OxHgebFI3ZyKyQvlGwPBg8gVTV5hDOTcE"
PARSERS = [parse_device_id, parse_event_id, parse_room_id, parse_server_name, parse_user_id]


@pytest.mark.parametrize("name", ["example.org", "example.org:8448", "127.0.0.1:18441", "[::1]", "[2001:db8::1]:8448", "a"])
def test_server_name_is_accepted(name: str) -> None:
    assert parse_server_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ":8448",
        "example.org:",
        "example.org:123456",
        "example.org:8a",
        "ex ample",
        "ex_ample",
        "[::1",
        "é.org",
        "a\n",
        "a:1\n",
    ],
)
def test_server_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgumentError):
        parse_server_name(name)


@pytest.mark.parametrize(
    ("user", "server"),
    [
        ("@alice:127.0.0.1:18441", "127.0.0.1:18441"),
        ("@alice:example.org", "example.org"),
        ("@:example.org", "example.org"),
        ("@ÄB c:[::1]:8448", "[::1]:8448"),
    ],
)
def test_user_id_names_its_server(user: str, server: str) -> None:
    assert server_of(parse_user_id(user)) == server


@pytest.mark.parametrize("user", ["", "alice:example.org", "@alice", "@alice:", "@a\0b:example.org", "@alice:exa mple", "!a:b"])
def test_user_id_is_refused(user: str) -> None:
    with pytest.raises(InvalidArgumentError):
        parse_user_id(user)


@pytest.mark.parametrize("room", ["!jMaHiUuQXWdQlQKVDN:127.0.0.1:18441", "!ä:example.org", "!" + HASH])
def test_room_id_of_both_forms_is_the_group_id(room: str) -> None:
    assert group_id(parse_room_id(room)) == room.encode()


@pytest.mark.parametrize(
    "room",
    [
        "",
        "!",
        "!:example.org",
        "!short",
        "!" + HASH + "x",
        "!" + HASH[:-1],
        "!" + HASH[:-1] + "F",  # the last character has bits that no hash has
        "!" + HASH[:-1] + "/",
        "#room:example.org",
        "$" + HASH,
        "!a\0b:example.org",
        "!a:",
    ],
)
def test_room_id_is_refused(room: str) -> None:
    with pytest.raises(InvalidArgumentError):
        parse_room_id(room)


def test_group_id_of_something_else_is_refused() -> None:
    with pytest.raises(InvalidArgumentError):
        group_id(RoomId("@alice:example.org"))


@pytest.mark.parametrize("event", ["$" + HASH, "$" + HASH.replace("o", "/"), "$143273582443PhrSn:example.org"])
def test_event_id_is_accepted(event: str) -> None:
    assert parse_event_id(event) == event


@pytest.mark.parametrize("event", ["", "$", HASH, "$a b", "$a\n", "$a\x7f", "$a\0"])
def test_event_id_is_refused(event: str) -> None:
    with pytest.raises(InvalidArgumentError):
        parse_event_id(event)


@pytest.mark.parametrize("device", ["KRMQPTOXBO", "a b", "ä"])
def test_device_id_is_accepted(device: str) -> None:
    assert parse_device_id(device) == device


@pytest.mark.parametrize("device", ["", "a\0b", "x" * 256])
def test_device_id_is_refused(device: str) -> None:
    with pytest.raises(InvalidArgumentError):
        parse_device_id(device)


@pytest.mark.parametrize(
    ("parse", "start", "end"),
    [(parse_user_id, "@", ":example.org"), (parse_room_id, "!", ":example.org"), (parse_event_id, "$", "")],
)
def test_identifiers_have_at_most_255_bytes(parse: Callable[[object], str], start: str, end: str) -> None:
    room = 255 - len(start) - len(end)
    assert parse(start + "a" * room + end)
    assert parse(start + "ä" * (room // 2) + end)
    for middle in ["a" * (room + 1), "ä" * (room // 2 + 1)]:
        with pytest.raises(InvalidArgumentError):
            parse(start + middle + end)


@pytest.mark.parametrize("parse", PARSERS)
@pytest.mark.parametrize("value", [None, 1, b"@alice:example.org", ["@alice:example.org"], "\ud800", "@\ud800:example.org"])
def test_other_types_and_lone_surrogates_are_refused(parse: Callable[[object], str], value: object) -> None:
    with pytest.raises(InvalidArgumentError):
        parse(value)


@given(st.sampled_from(PARSERS), st.text(st.characters()) | st.from_regex(r"[@!$#][^:]*(:[a-z.]*(:[0-9]*)?)?"))
def test_any_text_is_taken_unchanged_or_refused(parse: Callable[[object], str], text: str) -> None:
    with contextlib.suppress(InvalidArgumentError):
        assert parse(text) == text


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters=":\0"), max_size=50))
def test_server_of_any_user_is_found(localpart: str) -> None:
    assert server_of(UserId(f"@{localpart}:hs.example:1")) == "hs.example:1"
