"""Attacks with leaves: devices that their users know nothing of, and joins in others' names."""

from __future__ import annotations

from dmls.engine.agent import devices_of
from dmls.ids import DeviceId, UserId
from dmls.simulation.attackers.attacker import Attacker

__all__ = ["add_ghosts", "join_as_others", "join_with_minted_devices"]


def _victims(attacker: Attacker) -> list[UserId]:
    head = attacker.head()
    known = None if head is None else attacker.hoard.epochs.get(head)
    if known is None:
        return []

    return sorted({device.user_id for device in devices_of(known.group.tree).values()} - {attacker.user})


def add_ghosts(attacker: Attacker) -> None:
    """Commit leaves that claim to be new devices of others and of who is not in the room, all with the attacker's keys."""
    head = attacker.head()
    if head is None:
        return
    users = [*_victims(attacker), UserId("@nobody:nowhere")]
    adds = [attacker.ghost(user)[1] for user in users]
    attacker.send_commit(attacker.commit(head, adds))


def join_as_others(attacker: Attacker) -> None:
    """Join by external commit with credentials of other users, in the attacker's own events."""
    head = attacker.head()
    for user in _victims(attacker):
        content = None if head is None else attacker.join(head, attacker.mint(user, DeviceId("STOLEN")).client)
        if content is not None:
            attacker.send(content)


def join_with_minted_devices(attacker: Attacker) -> None:
    """Join again and again with new devices of the attacker's own user that no device list names."""
    head = attacker.head()
    for number in range(3):
        minted = attacker.mint(attacker.user, DeviceId(f"MINTED{number}"))
        content = None if head is None else attacker.join(head, minted.client)
        if content is not None:
            attacker.send(content)
