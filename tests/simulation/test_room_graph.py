"""The simulated rooms: who may do what, and which of two conflicting states holds."""

from __future__ import annotations

from dmls.ids import RoomId, ServerName, UserId
from dmls.matrix.events import Membership
from dmls.simulation.homeserver import Homeserver
from dmls.simulation.room_graph import GraphEvent, RoomGraph

ALICE, BOB, CAROL = UserId("@alice:one"), UserId("@bob:two"), UserId("@carol:two")
JOIN, LEAVE, BAN = Membership.JOIN, Membership.LEAVE, Membership.BAN


class Federation:
    """Two homeservers in one room; alice made it, bob moderates."""

    def __init__(self) -> None:
        self.graph = RoomGraph({ALICE: 100, BOB: 50})
        self.one, self.two = (Homeserver(ServerName(name), RoomId("!room:one"), self.graph) for name in ("one", "two"))
        self.ts_ms = 0

    def change(self, server: Homeserver, sender: UserId, user: UserId, membership: Membership) -> GraphEvent:
        """Let a homeserver make a member event and take it in."""
        self.ts_ms += 1
        event = server.set_membership(sender, user, membership, self.ts_ms)
        assert event is not None
        self.pass_on(event, server)
        return event

    def pass_on(self, event: GraphEvent, *servers: Homeserver) -> None:
        """Give homeservers an event, and all that they lack before it."""
        for server in servers or (self.one, self.two):
            list(server.take(event.event_id))

    def joined(self) -> Federation:
        """All three in the room."""
        for user in (ALICE, BOB, CAROL):
            self.pass_on(self.change(self.one, user, user, JOIN))
        return self


def test_only_who_has_the_power_removes_others() -> None:
    room = Federation().joined()
    assert room.one.set_membership(CAROL, BOB, LEAVE, 9) is None
    assert room.one.set_membership(BOB, ALICE, BAN, 9) is None
    assert room.one.set_membership(BOB, CAROL, BAN, 9) is not None


def test_who_is_banned_cannot_join_until_the_ban_ends() -> None:
    room = Federation().joined()
    room.change(room.one, BOB, CAROL, BAN)
    assert room.one.set_membership(CAROL, CAROL, JOIN, 9) is None
    room.change(room.one, ALICE, CAROL, LEAVE)
    room.change(room.one, CAROL, CAROL, JOIN)
    assert room.one.membership(CAROL) is JOIN


def test_a_ban_overrules_what_the_banned_moderator_did_at_the_same_time() -> None:
    room = Federation().joined()
    ban = room.change(room.one, ALICE, BOB, BAN)
    kick = room.change(room.two, BOB, CAROL, LEAVE)
    assert room.two.membership(CAROL) is LEAVE
    room.pass_on(ban)
    room.pass_on(kick)
    assert room.one.state == room.two.state
    assert room.one.membership(BOB) is BAN
    # The state of the second homeserver has gone backwards: its users see carol in again.
    assert room.one.membership(CAROL) is JOIN


def test_states_agree_in_whichever_order_the_events_come() -> None:
    room = Federation().joined()
    ban = room.change(room.one, ALICE, CAROL, BAN)
    rejoin = [room.change(room.two, CAROL, CAROL, LEAVE), room.change(room.two, CAROL, CAROL, JOIN)]
    room.pass_on(rejoin[1], room.one)
    room.pass_on(ban, room.two)
    assert room.one.state == room.two.state
    assert room.one.membership(CAROL) is BAN


def test_an_event_of_somebody_who_is_out_by_now_is_soft_failed_and_told_to_be_from_before() -> None:
    room = Federation().joined()
    message = room.two.send_encrypted(CAROL, {"kind": "message"}, 9)
    assert message is not None
    room.pass_on(message, room.two)
    leave = room.change(room.two, CAROL, CAROL, LEAVE)
    late = room.two.send_encrypted(BOB, {"kind": "message"}, 10)
    assert late is not None
    room.change(room.one, ALICE, BOB, BAN)
    room.pass_on(leave, room.one)
    room.pass_on(late, room.one)
    assert room.one.room_event(message).before_departure is True
    assert not room.one.room_event(message).soft_failed
    assert room.one.room_event(late).before_departure is False
    assert room.one.room_event(late).soft_failed
