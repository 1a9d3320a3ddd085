"""Matrix identifiers, checked once where they come in (Matrix specification, Appendices, Section 4.3).

Every function takes any value, so that a field of parsed JSON can be handed over as it is, and raises InvalidArgumentError for
everything that is not an identifier of its kind. Identifiers are compared byte for byte and never normalised.
"""

from __future__ import annotations

import re

from dmls.errors import InvalidArgumentError
from dmls.ids import DeviceId, EventId, GroupId, RoomId, ServerName, UserId

__all__ = [
    "MAX_IDENTIFIER",
    "group_id",
    "parse_device_id",
    "parse_event_id",
    "parse_room_id",
    "parse_server_name",
    "parse_user_id",
    "server_of",
]

MAX_IDENTIFIER = 255
"""Greatest length of an identifier in bytes of UTF-8, sigil and server name included."""

# The port is part of the name: `example.org` and `example.org:8448` are two servers.
_SERVER_NAME = re.compile(r"(?:\[[0-9A-Fa-f:.]{2,45}\]|[0-9A-Za-z.-]{1,255})(?::[0-9]{1,5})?", re.ASCII)
_EVENT_ID = re.compile(r"\$[^\x00-\x20\x7f]+")
_HASH = re.compile(r"[0-9A-Za-z_-]{42}[048AEIMQUYcgkosw]", re.ASCII)


def parse_server_name(value: object) -> ServerName:
    """Checks a server name: a host name, an IPv4 address or an IPv6 address in brackets, and a port of 1 to 5 digits if any.

    Raises:
        InvalidArgumentError: `value` is not a server name.
    """
    name = _text(value, "server name")
    if _SERVER_NAME.fullmatch(name) is None:
        raise InvalidArgumentError("not a server name")
    return ServerName(name)


def parse_user_id(value: object) -> UserId:
    """Checks a user ID, `@localpart:server`.

    The localpart may be any text without `:` and NUL, the empty text included: users with such names exist in old rooms.

    Raises:
        InvalidArgumentError: `value` is not a user ID.
    """
    text = _text(value, "user ID")
    localpart, colon, server = text[1:].partition(":")
    if not text.startswith("@") or not colon or "\0" in localpart:
        raise InvalidArgumentError("not a user ID")
    parse_server_name(server)
    return UserId(text)


def parse_room_id(value: object) -> RoomId:
    """Checks a room ID: `!local:server`, or from room version 12 on `!` and the hash of the create event (43 characters).

    Raises:
        InvalidArgumentError: `value` is neither.
    """
    text = _text(value, "room ID")
    local, colon, server = text[1:].partition(":")
    if not text.startswith("!") or not local or "\0" in local:
        raise InvalidArgumentError("not a room ID")
    if colon:
        parse_server_name(server)
    elif _HASH.fullmatch(local) is None:
        raise InvalidArgumentError("a room ID without a server must be `!` and an unpadded URL-safe base64 hash")
    return RoomId(text)


def parse_event_id(value: object) -> EventId:
    """Checks an event ID: `$` and at least one more character, no white space and no control character.

    What follows the `$` depends on the room version and means nothing to anybody but the homeserver.

    Raises:
        InvalidArgumentError: `value` is not an event ID.
    """
    text = _text(value, "event ID")
    if _EVENT_ID.fullmatch(text) is None:
        raise InvalidArgumentError("not an event ID")
    return EventId(text)


def parse_device_id(value: object) -> DeviceId:
    """Checks a device ID: any text of 1 to 255 bytes without NUL.

    Raises:
        InvalidArgumentError: `value` is not a device ID.
    """
    text = _text(value, "device ID")
    if "\0" in text:
        raise InvalidArgumentError("not a device ID")
    return DeviceId(text)


def server_of(user_id: UserId) -> ServerName:
    """Names the homeserver of a user; a localpart has no colon, so all after the first one is the server, port included."""
    return ServerName(user_id.partition(":")[2])


def group_id(room_id: RoomId) -> GroupId:
    """Gives the MLS group ID of a room, which is the room ID in UTF-8 (at most 255 bytes).

    Raises:
        InvalidArgumentError: `room_id` is not a room ID.
    """
    return GroupId(parse_room_id(room_id).encode())


def _text(value: object, what: str) -> str:
    """Checks that `value` is 1 to 255 bytes of text that UTF-8 can say."""
    if not isinstance(value, str):
        raise InvalidArgumentError(f"a {what} must be a string")
    if not 0 < len(value) <= MAX_IDENTIFIER:
        raise InvalidArgumentError(f"a {what} must have 1 to {MAX_IDENTIFIER} bytes")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise InvalidArgumentError(f"a {what} must not hold lone surrogates") from None
    if size > MAX_IDENTIFIER:
        raise InvalidArgumentError(f"a {what} must have 1 to {MAX_IDENTIFIER} bytes")
    return value
