"""Who was put out reads nothing that is said afterwards, and moves no head."""

from __future__ import annotations

import pytest

from dmls.engine.effects import EncryptOutcome
from dmls.ids import DeviceId
from dmls.matrix.events import Membership
from dmls.simulation.attacked import VILLAIN
from dmls.simulation.attackers import comebacks
from dmls.simulation.attackers.attacker import Attacker
from dmls.simulation.attackers.catalogue import ATTACKS
from dmls.simulation.attackers.hoard import Hoard
from dmls.simulation.memory import MemoryDriver
from dmls.simulation.schedule import Change, Cut, Heal, LogIn, LogOut
from tests.support.siege import ALICE, BOB, CAROL, EVIL, ONE, TWO, Siege


def test_what_is_said_while_the_attacker_is_in_it_can_read() -> None:
    siege = Siege()
    said = [siege.say(user) for user in (ALICE, BOB, CAROL)]
    siege.mallory.study()
    assert all(message.event_id and siege.mallory.hoard.read(message.event_id) for message in said)


@pytest.mark.parametrize("is_stubborn", [False, True])
@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_after_a_ban_no_attack_moves_a_head_or_reads_a_word(name: str, is_stubborn: bool) -> None:
    siege = Siege(is_stubborn=is_stubborn)
    siege.ban()
    siege.say(ALICE)
    head = siege.head()
    siege.attack(ATTACKS[name])
    said = [siege.say(user) for user in (ALICE, BOB, CAROL)]
    assert siege.heads() == {head}, "nothing that the attacker sent made anybody move or commit"
    assert all(message.event_id for message in said)
    siege.mallory.study()
    assert not any(message.event_id and siege.mallory.hoard.read(message.event_id) for message in said)
    assert VILLAIN not in siege.users()
    assert not siege.heal()


def test_self_update_against_own_removal_stays_on_a_side_branch() -> None:
    siege = Siege(is_stubborn=True)
    siege.ban()
    siege.say(ALICE)
    head = siege.head()
    siege.attack(comebacks.renew_own_leaf)
    made = siege.mallory.made
    assert made
    assert all(ref in siege.bob.state.entries for ref in made), "the commits are valid, only they do not count"
    assert siege.heads() == {head}
    assert not siege.heal()


def test_late_external_commits_that_one_side_sees_change_no_head() -> None:
    siege = Siege()
    siege.ban()
    head = siege.head()
    siege.attack(lambda mallory: _join_for(mallory, head))
    assert (siege.mallory.made[-1] in siege.alice.state.entries) != (siege.mallory.made[-1] in siege.bob.state.entries)
    assert siege.heads() == {head}
    assert not siege.heal()


def _join_for(mallory: Attacker, head: bytes) -> None:
    content = mallory.join(head)  # type: ignore[arg-type]
    assert content is not None
    mallory.send(content, to=[ONE])


def test_back_dated_commits_are_no_older_than_their_arrival() -> None:
    siege = Siege(is_stubborn=True)
    siege.ban()
    siege.say(BOB)
    head = siege.head()
    events = siege.attack(comebacks.back_date_commits)
    assert all(siege.room.graph[event].ts_ms == 1 for event in events)
    assert events
    assert siege.heads() == {head}
    assert not siege.heal()


def test_a_kicked_moderator_that_goes_on_alone_costs_the_others_a_readmission_and_nothing_else() -> None:
    siege = Siege(power=50, is_stubborn=True)
    siege.room.do(Change(ALICE, VILLAIN, Membership.LEAVE))
    siege.room.rest(5_000)
    siege.attack(comebacks.rule_alone)
    assert siege.room.homeservers[EVIL].membership(BOB) is Membership.BAN, "its own homeserver believes it"
    assert siege.room.homeservers[TWO].membership(BOB) is Membership.JOIN, "the others do not"
    # The bans stand beside the kick. Whether they held for a while on some homeserver, the room's events do not tell.
    assert siege.alice.state.membership.needs_readmission() == {BOB, CAROL}
    assert siege.say(BOB).last_outcome == EncryptOutcome.NEEDS_READMISSION
    assert siege.say(ALICE).readers == {siege.own(ALICE)}
    for user in (BOB, CAROL):
        siege.room.do(Change(user, user, Membership.JOIN))
    siege.room.rest(120_000)
    siege.attack(comebacks.rule_alone)
    assert siege.say(BOB).readers == {siege.own(user) for user in (ALICE, BOB, CAROL)}, "it works once"
    assert not siege.heal()


def test_who_is_put_out_while_the_homeservers_are_cut_off_is_out_on_both_sides_in_the_end() -> None:
    siege = Siege(is_stubborn=True)
    siege.room.do(Cut(((ONE, TWO), (TWO, ONE), (ONE, EVIL), (EVIL, ONE))))
    siege.ban()
    said = siege.say(ALICE)
    assert said.number in siege.room.unreadable
    # Bob's side does not know yet, and goes along with the attacker.
    siege.attack(lambda mallory: mallory.send_commit(mallory.commit(siege.bob.state.head), to=[TWO]))  # type: ignore[arg-type]
    assert siege.bob.state.head == siege.mallory.made[-1]
    siege.say(BOB)
    siege.room.do(Heal())
    assert not siege.heal()
    assert siege.users() == {ALICE, BOB, CAROL}
    siege.mallory.study()
    assert siege.mallory.hoard.read(said.event_id or siege.mallory.events[0]) is None


def test_who_stole_a_device_reads_nothing_that_is_said_after_its_log_out() -> None:
    siege = Siege()
    siege.room.do(LogIn(BOB, DeviceId("STOLEN"), hosted=False))
    siege.room.rest(60_000)
    (client,) = siege.room.clients
    assert isinstance(client, MemoryDriver)
    thief = Hoard(siege.room.suite)
    thief.take(client.state, client.bundles)
    before = siege.say(ALICE)
    siege.room.do(LogOut(BOB, DeviceId("STOLEN")))
    siege.room.rest(5_000)
    after = [siege.say(user) for user in (ALICE, CAROL)]
    for event_id, content in siege.room.encrypted_events():
        thief.see(event_id, content)
    thief.think()
    assert before.event_id
    assert thief.read(before.event_id)
    assert all(message.event_id for message in after)
    assert not any(message.event_id and thief.read(message.event_id) for message in after)
