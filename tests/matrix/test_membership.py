from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmls.errors import CodecError, DMLSError, InvalidArgumentError
from dmls.ids import EventId, UserId
from dmls.matrix.encoding import encode_canonical_json, parse_json_object
from dmls.matrix.events import MemberEvent, Membership
from dmls.matrix.membership import RoomFacts, RoomMembership

ALICE, BOB, CAROL = UserId("@alice:hs1"), UserId("@bob:hs1"), UserId("@carol:hs2")
JOIN, LEAVE, BAN, INVITE, KNOCK = Membership.JOIN, Membership.LEAVE, Membership.BAN, Membership.INVITE, Membership.KNOCK


def event(name: str, user: UserId, membership: Membership, *auth: str, by: UserId | None = None) -> MemberEvent:
    return MemberEvent(EventId(name), user, by or user, membership, tuple(EventId(name) for name in ("$create", "$power", *auth)))


ALICE_IN = event("$alice", ALICE, JOIN)
INVITED = event("$invite", BOB, INVITE, "$alice", by=ALICE)
JOINED = event("$join", BOB, JOIN, "$invite")
RENAMED = event("$rename", BOB, JOIN, "$join")
LEFT = event("$leave", BOB, LEAVE, "$rename")
KICKED = event("$kick", BOB, LEAVE, "$alice", "$join", by=ALICE)
BANNED = event("$ban", BOB, BAN, "$alice", "$leave", by=ALICE)
BACK = event("$back", BOB, JOIN, "$leave")
OUT = event("$out", BOB, BAN, "$alice", "$back", by=ALICE)


def state(*events: MemberEvent) -> RoomMembership:
    """A room that went through these events, one after the other."""
    room = RoomMembership()
    for one in events:
        room = room.with_changes({one.user_id: one})
    return room


def test_empty_room_has_nobody() -> None:
    room = RoomMembership()
    assert room.joined() == room.invited() == room.needs_readmission() == room.users() == frozenset()
    assert room.member_event(BOB) is None
    assert room.join_event(BOB) is None
    assert not room.is_spent(EventId("$join"))


def test_full_state_replaces_the_one_before() -> None:
    room = state(ALICE_IN, JOINED).with_state([ALICE_IN, event("$carol", CAROL, JOIN)])
    assert room.joined() == {ALICE, CAROL}
    assert room.member_event(BOB) is None
    assert room.users() == {ALICE, BOB, CAROL}


def test_change_of_state_leaves_the_others_alone() -> None:
    room = state(ALICE_IN, JOINED, KICKED)
    assert room.joined() == {ALICE}
    assert room.member_event(BOB) == KICKED
    assert room.join_event(BOB) is None
    assert room.join_event(ALICE) == ALICE_IN


def test_value_is_not_changed_by_its_successors() -> None:
    room = state(ALICE_IN, JOINED)
    room.with_changes({BOB: KICKED})
    room.with_state([])
    room.remember([BANNED])
    assert room.joined() == {ALICE, BOB}
    assert room == state(ALICE_IN, JOINED)


def test_member_event_that_is_gone_is_no_membership() -> None:
    room = state(ALICE_IN, JOINED).with_changes({BOB: None, CAROL: None})
    assert room.joined() == {ALICE}
    assert room.needs_readmission() == frozenset()
    assert not room.is_spent(JOINED.event_id)
    assert room.users() == {ALICE, BOB}
    assert room.with_changes({BOB: JOINED}).joined() == {ALICE, BOB}


@pytest.mark.parametrize("removal", [LEFT, KICKED, BANNED])
def test_join_before_a_leave_kick_or_ban_is_spent(removal: MemberEvent) -> None:
    room = state(ALICE_IN, INVITED, JOINED, RENAMED, LEFT, removal)
    assert room.is_spent(JOINED.event_id)
    assert not room.is_spent(ALICE_IN.event_id)
    back = room.with_changes({BOB: JOINED})
    assert back.joined() == {ALICE}
    assert back.needs_readmission() == {BOB}
    assert back.join_event(BOB) == JOINED


def test_change_of_the_display_name_does_not_spend_a_join() -> None:
    room = state(ALICE_IN, INVITED, JOINED, RENAMED)
    assert room.spent_joins() == frozenset()
    assert room.joined() == {ALICE, BOB}


def test_leave_spends_the_join_before_a_change_of_the_display_name_too() -> None:
    assert state(INVITED, JOINED, RENAMED, LEFT).spent_joins() == {JOINED.event_id, RENAMED.event_id}


@pytest.mark.parametrize(
    ("events", "ended_by"),
    [
        ((JOINED, KICKED), KICKED),
        ((JOINED, RENAMED, LEFT), LEFT),
        ((JOINED, RENAMED, LEFT, BANNED), LEFT),
        ((JOINED, RENAMED, LEFT, BACK, OUT), OUT),
        ((JOINED, RENAMED, LEFT, event("$again", BOB, INVITE, "$alice", "$leave", by=ALICE)), LEFT),
        ((), None),
    ],
)
def test_a_departure_is_what_ended_the_last_join(events: Sequence[MemberEvent], ended_by: MemberEvent | None) -> None:
    room = state(ALICE_IN, *events)
    assert room.departure(BOB) == ended_by
    # The homeserver may show the timeline before the state, or take a change of the state back.
    assert room.with_changes({BOB: None}).departure(BOB) == ended_by
    assert RoomMembership.load(room.encode_facts(), map(room.encode_member, room.users())).departure(BOB) == ended_by


def test_a_departure_whose_join_is_not_known_is_that_of_the_state() -> None:
    assert RoomMembership().with_state([ALICE_IN, KICKED]).departure(BOB) == KICKED
    assert state(ALICE_IN, INVITED).departure(BOB) is None


@pytest.mark.parametrize("current", [JOINED, RENAMED])
def test_a_departure_is_known_from_the_timeline_alone(current: MemberEvent) -> None:
    room = state(ALICE_IN, INVITED, JOINED, RENAMED).with_changes({BOB: current})
    assert room.departure(BOB) is None
    assert room.remember([LEFT]).departure(BOB) == LEFT
    assert room.remember([LEFT, BANNED]).departure(BOB) == LEFT


def test_of_two_departures_that_one_counts_which_the_state_rests_on() -> None:
    room = state(ALICE_IN, INVITED, JOINED)
    left = event("$left", BOB, LEAVE, "$join")
    both = room.remember([left, KICKED])
    assert both.departure(BOB) == KICKED
    assert both.with_changes({BOB: left}).departure(BOB) == left
    assert both.with_changes({BOB: KICKED}).departure(BOB) == KICKED


def test_only_joins_are_spent() -> None:
    room = state(INVITED, JOINED, RENAMED, LEFT, BANNED)
    assert not any(room.is_spent(one.event_id) for one in (INVITED, LEFT, BANNED))
    assert not room.is_spent(EventId("$create"))


def test_join_after_a_leave_is_not_spent() -> None:
    room = state(INVITED, JOINED, RENAMED, LEFT, BACK)
    assert room.joined() == {BOB}
    assert not room.is_spent(BACK.event_id)


def test_join_that_the_leave_did_not_know_is_not_spent() -> None:
    room = state(INVITED, JOINED).remember([RENAMED, KICKED])
    assert room.spent_joins() == {JOINED.event_id}
    assert room.with_changes({BOB: RENAMED}).joined() == {BOB}


def test_user_with_a_spent_join_is_readmitted_by_the_next_member_event() -> None:
    room = state(INVITED, JOINED, KICKED).with_changes({BOB: JOINED})
    assert room.needs_readmission() == {BOB}
    readmitted = room.with_changes({BOB: RENAMED})
    assert readmitted.needs_readmission() == frozenset()
    assert readmitted.joined() == {BOB}


def test_removal_of_one_user_spends_no_join_of_another() -> None:
    room = state(ALICE_IN, JOINED, KICKED)
    assert ALICE_IN.event_id in KICKED.auth_events
    assert room.spent_joins() == {JOINED.event_id}


def test_declined_invite_and_withdrawn_knock_spend_nothing() -> None:
    declined = event("$decline", BOB, LEAVE, "$invite")
    knocked = event("$knock", CAROL, KNOCK)
    withdrawn = event("$withdraw", CAROL, LEAVE, "$knock")
    assert state(ALICE_IN, INVITED, declined, knocked, withdrawn).spent_joins() == frozenset()


def test_join_is_spent_when_the_link_in_between_comes_last() -> None:
    room = RoomMembership().remember([LEFT, JOINED])
    assert room.spent_joins() == frozenset()
    assert room.remember([RENAMED]).spent_joins() == {JOINED.event_id, RENAMED.event_id}


def test_circle_of_auth_events_ends() -> None:
    first = event("$a", BOB, LEAVE, "$b")
    second = event("$b", BOB, JOIN, "$a")
    assert RoomMembership().remember([first, second]).spent_joins() == {second.event_id}


def test_long_chain_needs_no_deep_stack() -> None:
    renames = [event(f"$r{number}", BOB, JOIN, f"$r{number - 1}") for number in range(5_000)]
    leave = event("$leave", BOB, LEAVE, "$r4999")
    assert len(RoomMembership().remember([leave, *reversed(renames)]).spent_joins()) == 5_000
    assert len(RoomMembership().remember([*renames, leave]).spent_joins()) == 5_000


@pytest.mark.parametrize(
    ("visibility", "option", "expected"),
    [
        ("invited", True, {BOB}),
        ("shared", True, {BOB}),
        ("world_readable", True, {BOB}),
        ("joined", True, set()),
        ("something", True, set()),
        ("shared", False, set()),
    ],
)
def test_invited_users_count_by_visibility_and_option(visibility: str, option: bool, expected: set[UserId]) -> None:
    room = state(ALICE_IN, INVITED).with_facts(RoomFacts(history_visibility=visibility, invite_members=option))
    assert room.invited() == expected
    assert room.joined() == {ALICE}


def test_invited_users_are_nobody_by_default() -> None:
    assert state(INVITED).invited() == frozenset()


def test_event_of_another_user_is_refused() -> None:
    with pytest.raises(InvalidArgumentError):
        RoomMembership().with_changes({ALICE: JOINED})


def test_two_events_of_one_user_are_no_state() -> None:
    with pytest.raises(InvalidArgumentError):
        RoomMembership().with_state([JOINED, RENAMED])


@pytest.mark.parametrize(
    "other",
    [event("$join", BOB, LEAVE, "$invite"), event("$join", ALICE, JOIN, "$invite"), event("$join", BOB, JOIN)],
)
def test_event_id_with_other_contents_is_refused_and_changes_nothing(other: MemberEvent) -> None:
    room = state(JOINED)
    with pytest.raises(InvalidArgumentError):
        room.remember([RENAMED, other])
    assert room == state(JOINED)


def test_past_events_are_those_outside_of_the_resolved_state() -> None:
    room = state(ALICE_IN, INVITED, JOINED, LEFT).remember([BANNED])
    assert room.past_events() == (BANNED, INVITED, JOINED)
    assert room.with_changes({BOB: None}).past_events() == (BANNED, INVITED, JOINED, LEFT)


def test_users_whose_record_changed() -> None:
    room = state(ALICE_IN, JOINED)
    assert room.changed_users(RoomMembership()) == {ALICE, BOB}
    assert room.with_state([ALICE_IN, JOINED]).changed_users(room) == frozenset()
    assert room.with_changes({BOB: KICKED}).changed_users(room) == {BOB}
    assert room.with_changes({BOB: None}).changed_users(room) == {BOB}
    assert room.remember([BANNED]).changed_users(room) == {BOB}


def events_of(user: UserId, name: str) -> st.SearchStrategy[list[MemberEvent]]:
    """Member events of one user, each with any of the earlier ones of the user in its auth events."""

    def build(choices: list[tuple[Membership, list[int]]]) -> list[MemberEvent]:
        return [
            event(f"${name}{number}", user, membership, *(f"${name}{back % (number + 1)}" for back in links), f"$other{number}")
            for number, (membership, links) in enumerate(choices)
        ]

    return st.lists(st.tuples(st.sampled_from(Membership), st.lists(st.integers(0, 20), max_size=3)), max_size=12).map(build)


histories = st.tuples(events_of(ALICE, "a"), events_of(BOB, "b"), events_of(CAROL, "c")).map(
    lambda lists: list(itertools.chain(*lists))
)


def spent_by_definition(events: Sequence[MemberEvent]) -> set[EventId]:
    known = {one.event_id: one for one in events}
    spent: set[EventId] = set()
    for removal in events:
        chain: set[EventId] = set()
        pending = list(removal.auth_events) if removal.membership in (LEAVE, BAN) else []
        while pending:
            event_id = pending.pop()
            if event_id in known and event_id not in chain and known[event_id].user_id == removal.user_id:
                chain.add(event_id)
                pending.extend(known[event_id].auth_events)
        spent.update(event_id for event_id in chain if known[event_id].membership is JOIN)
    return spent


@given(histories, st.randoms(use_true_random=False))
def test_spent_joins_depend_on_the_events_alone(events: list[MemberEvent], rng: random.Random) -> None:
    current = {user: rng.choice([None, *(one for one in events if one.user_id == user)]) for user in (ALICE, BOB, CAROL)}
    rooms = []
    for _ in range(3):
        order = events + [one for one in events if rng.random() < 0.5]
        rng.shuffle(order)
        room = RoomMembership()
        for one in order:
            change = rng.randrange(3)
            if change == 0:
                room = room.remember([one])
            elif change == 1:
                room = room.with_changes({rng.choice([ALICE, BOB, CAROL]): None} | {one.user_id: one})
            else:
                room = room.with_state([one])
        rooms.append(room.with_changes(current))
    assert rooms[0] == rooms[1] == rooms[2]
    assert rooms[0].spent_joins() == spent_by_definition(events)
    assert rooms[0].joined() | rooms[0].needs_readmission() == {
        user for user, one in current.items() if one is not None and one.membership is JOIN
    }
    assert len({frozenset(room.joined()) for room in rooms}) == 1
    reloaded = [RoomMembership.load(room.encode_facts(), map(room.encode_member, room.users())) for room in rooms]
    assert reloaded == rooms
    assert len({tuple(room.encode_member(user) for user in sorted(room.users())) for room in rooms}) == 1


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
facts = st.builds(RoomFacts, st.none() | st.just(ALICE), st.none() | texts, texts, st.none() | texts, st.booleans())


@given(facts)
def test_facts_are_read_back(value: RoomFacts) -> None:
    room = RoomMembership().with_facts(value)
    assert RoomMembership.load(room.encode_facts(), []) == room
    assert room.facts == value


def test_unknown_user_has_no_record() -> None:
    with pytest.raises(InvalidArgumentError):
        RoomMembership().encode_member(BOB)


FACTS = RoomMembership().encode_facts()
RECORD = state(JOINED, KICKED).encode_member(BOB)


@pytest.mark.parametrize(
    "records",
    [
        [b""],
        [b"{}"],
        [RECORD, RECORD],
        [RECORD.replace(b'"current":"$kick"', b'"current":"$other"')],
        [RECORD.replace(b'"membership":"join"', b'"membership":"joined"')],
        [RECORD.replace(b'"user_id":"@bob:hs1"}]', b'"user_id":"@alice:hs1"}]')],
        [RECORD.replace(b'"$kick"', b'"$join"')],
        [RECORD, state(event("$join", ALICE, JOIN)).encode_member(ALICE)],
    ],
)
def test_record_of_something_else_is_refused(records: list[bytes]) -> None:
    with pytest.raises(CodecError):
        RoomMembership.load(FACTS, records)


@pytest.mark.parametrize("data", [b"", b"{}", b'{"history_visibility":"shared"}', FACTS.replace(b"false", b"0")])
def test_facts_of_something_else_are_refused(data: bytes) -> None:
    with pytest.raises(CodecError):
        RoomMembership.load(data, [])


junk = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text()) | st.dictionaries(st.text(), st.text())


@given(st.sampled_from(["user_id", "current", "events"]), st.data())
def test_any_record_is_read_or_gives_a_typed_error(name: str, data: st.DataObject) -> None:
    content = parse_json_object(RECORD)
    if name == "events":
        content["events"][0][data.draw(st.sampled_from(["event_id", "user_id", "sender", "membership", "auth_events"]))] = (
            data.draw(junk)
        )
    else:
        content[name] = data.draw(junk)
    try:
        room = RoomMembership.load(FACTS, [encode_canonical_json(content)])
    except DMLSError:
        return
    assert RoomMembership.load(FACTS, map(room.encode_member, room.users())) == room
