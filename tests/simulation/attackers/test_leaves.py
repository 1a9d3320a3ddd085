"""Leaves that are not what they claim to be never receive a message."""

from __future__ import annotations

from dmls.engine.effects import EncryptOutcome
from dmls.ids import DeviceId
from dmls.simulation.attacked import VILLAIN
from dmls.simulation.attackers.attacker import Attacker
from dmls.simulation.attackers.comebacks import begin_another_group, join_again
from dmls.simulation.attackers.leaves import add_ghosts, join_as_others, join_with_minted_devices
from dmls.simulation.schedule import Cut, Heal, LogOut
from tests.support.siege import ALICE, BOB, CAROL, ONE, TWO, Siege


def test_ghosts_of_other_users_are_removed_before_anybody_sends() -> None:
    siege = Siege()
    head = siege.head()
    (event,) = siege.attack(add_ghosts, rest_ms=500)
    result = siege.result(siege.bob, event)
    # The commit is valid, and the ghosts were members: nobody judges a commit by a device list.
    assert result is not None
    assert result.commit_ref in siege.bob.state.entries
    ghosts = siege.bob.state.graph.node(result.commit_ref).adds
    assert {ghost.user_id for ghost in ghosts} == {ALICE, BOB, CAROL, "@nobody:nowhere"}
    message = siege.say(CAROL)
    assert message.event_id is not None
    assert message.readers == set(siege.room.directory.own)
    assert siege.bob.state.graph.is_ancestor(head, siege.head())
    assert not siege.members() & set(ghosts)
    assert not siege.heal()


def test_a_join_in_anothers_name_is_refused() -> None:
    siege = Siege()
    members, head = siege.members(), siege.head()
    for event in siege.attack(join_as_others):
        result = siege.result(siege.alice, event)
        assert result is not None
        assert result.outcome == "rejected"
        assert "sender" in result.message
    assert (siege.members(), siege.head()) == (members, head)


def test_devices_of_ones_own_that_no_list_names_go_again() -> None:
    siege = Siege()
    siege.attack(join_with_minted_devices, rest_ms=0)
    message = siege.say(ALICE)
    assert message.readers <= set(siege.room.directory.own)
    assert not siege.heal()
    assert {device.device_id for device in siege.members() if device.user_id == VILLAIN} == {"MALLORY"}


def test_a_ghost_whose_own_server_cannot_be_asked_blocks_for_ten_seconds_and_is_removed_then() -> None:
    siege = Siege()
    siege.room.do(Cut(((ONE, TWO), (TWO, ONE))))
    siege.attack(_add_ghost_of_bob, rest_ms=500)
    ghost = next(device for device in siege.members_for(siege.alice) if device.device_id == "GHOST1")
    said = siege.say(ALICE)
    assert (said.event_id, said.last_outcome) == (None, EncryptOutcome.UNVOUCHED)
    siege.room.rest(15_000)
    assert said.event_id
    assert ghost not in said.readers
    assert siege.own(BOB) in said.readers
    siege.room.do(Heal())
    assert not siege.heal()


def _add_ghost_of_bob(mallory: Attacker) -> None:
    head = mallory.head()
    assert head is not None
    mallory.send_commit(mallory.commit(head, [mallory.ghost(BOB)[1]]))


def test_a_device_that_is_logged_out_stays_out_whatever_branch_adds_it_again() -> None:
    siege = Siege()
    siege.room.do(LogOut(VILLAIN, DeviceId("MALLORY")))
    siege.attack(begin_another_group)
    siege.attack(join_again)
    siege.room.rest(60_000)
    assert siege.users() == {ALICE, BOB, CAROL}
    said = siege.say(ALICE)
    siege.mallory.study()
    assert said.event_id
    assert siege.mallory.hoard.read(said.event_id) is None
