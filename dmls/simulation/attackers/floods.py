"""Attacks by sheer number: events that wait for ever, copies of what was sent, contents of any shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dmls.forks.aad import EpochPointer
from dmls.matrix.bodies import ALGORITHM
from dmls.simulation.attackers.attacker import Attacker

__all__ = ["flood_with_commits", "flood_with_made_up_parents", "replay_others_events", "replay_own_events", "send_rubbish"]

_MANY = 40


def flood_with_made_up_parents(attacker: Attacker) -> None:
    """Send commits and messages of epochs that nobody has ever made."""
    head = attacker.head()
    if head is None:
        return
    size = attacker.hoard.suite.hash_size
    for _ in range(_MANY):
        made = attacker.commit(head, names=EpochPointer(attacker.rng.randbytes(size), b""))
        if made is None:
            return
        attacker.send({**made.content, "parent_event": f"${attacker.rng.randbytes(16).hex()}"})


def flood_with_commits(attacker: Attacker) -> None:
    """Send many commits on the head, each another child of it."""
    head = attacker.head()
    for _ in range(_MANY // 2):
        if head is not None:
            attacker.send_commit(attacker.commit(head))


def replay_own_events(attacker: Attacker) -> None:
    """Send everything once more that the attacker's user has ever sent, under other event ids."""
    for event_id, content in list(attacker.setting.encrypted_events()):
        if attacker.setting.sender_of(event_id) == attacker.user:
            attacker.send(content)


def replay_others_events(attacker: Attacker) -> None:
    """Send everything once more that others have sent, as the attacker's user."""
    events = [
        content
        for event_id, content in attacker.setting.encrypted_events()
        if attacker.setting.sender_of(event_id) != attacker.user
    ]
    for content in attacker.rng.sample(events, min(len(events), _MANY)):
        attacker.send(content)


def send_rubbish(attacker: Attacker) -> None:
    """Send contents with fields that are missing, of other types, or taken from other events."""
    events = [dict(content) for _, content in attacker.setting.encrypted_events()]
    for _ in range(_MANY):
        content = attacker.rng.choice(events) if events else {}
        attacker.send(_spoilt(attacker, content, events))
    attacker.send({"algorithm": ALGORITHM, "kind": "vote", "commit_ref": "", "leaf": -1, "seq": 1 << 60, "signature": None})
    attacker.send({})


def _spoilt(attacker: Attacker, content: Mapping[str, Any], events: list[dict[str, Any]]) -> dict[str, Any]:
    spoilt = dict(content)
    names = sorted(spoilt)
    for name in attacker.rng.sample(names, min(len(names), 2)):
        value = spoilt[name]
        choice = attacker.rng.randrange(4)
        if choice == 0:
            del spoilt[name]
        elif choice == 1:
            spoilt[name] = attacker.rng.choice(events).get(name, [])
        elif choice == 2:
            spoilt[name] = [value, {"inline": "AAAA"}]
        elif isinstance(value, Mapping) and isinstance(value.get("inline"), str) and value["inline"]:
            text = value["inline"]
            at = attacker.rng.randrange(len(text))
            spoilt[name] = {"inline": text[:at] + ("B" if text[at] == "A" else "A") + text[at + 1 :]}
    return spoilt
