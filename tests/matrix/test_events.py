from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmls.errors import InvalidArgumentError
from dmls.ids import EventId, UserId
from dmls.matrix.events import MAX_AUTH_EVENTS, MemberEvent, Membership, parse_member_event

FIELDS: dict[str, Any] = {
    "event_id": "$join",
    "user_id": "@bob:hs1",
    "sender": "@alice:hs1",
    "membership": "invite",
    "auth_events": ["$create", "$power"],
}


def test_member_event_is_checked_and_typed() -> None:
    assert parse_member_event(**FIELDS) == MemberEvent(
        EventId("$join"), UserId("@bob:hs1"), UserId("@alice:hs1"), Membership.INVITE, (EventId("$create"), EventId("$power"))
    )


def test_order_and_repetition_of_auth_events_do_not_matter() -> None:
    first = parse_member_event(**FIELDS | {"auth_events": ["$b", "$a", "$b"]})
    second = parse_member_event(**FIELDS | {"auth_events": ["$a", "$b"]})
    assert first == second
    assert hash(first) == hash(second)


@pytest.mark.parametrize(
    "wrong",
    [
        {"event_id": "join"},
        {"event_id": None},
        {"user_id": "bob"},
        {"sender": ""},
        {"membership": "joined"},
        {"membership": None},
        {"membership": ["join"]},
        {"auth_events": ["create"]},
        {"auth_events": [1]},
        {"auth_events": [f"${number}" for number in range(MAX_AUTH_EVENTS + 1)]},
    ],
)
def test_malformed_member_event_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError):
        parse_member_event(**FIELDS | wrong)


ANYTHING = st.none() | st.integers() | st.text() | st.lists(st.text()) | st.sampled_from(["$a", "@a:b", "join"])


@given(ANYTHING, ANYTHING, ANYTHING, ANYTHING, st.lists(ANYTHING, max_size=12))
def test_any_fields_give_a_member_event_or_a_typed_error(
    event_id: object, user_id: object, sender: object, membership: object, auth_events: list[object]
) -> None:
    try:
        event = parse_member_event(event_id, user_id, sender, membership, auth_events)
    except InvalidArgumentError:
        return
    assert (event.event_id, event.user_id, event.sender, event.membership) == (event_id, user_id, sender, membership)
