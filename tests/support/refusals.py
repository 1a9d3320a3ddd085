"""What it means that a commit or an Update is refused: by everybody, for the same reason, and without a trace."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dmls.mls.codec import decode
from dmls.mls.group.follower import open_public_message
from dmls.mls.group.transition import follow_commit
from dmls.mls.messages.message import MLSMessage
from dmls.mls.messages.proposal import Update
from tests.support.breaches import Breach
from tests.support.forge import forge_commit, sign_leaf
from tests.support.groups import ANYBODY, Party, Room, fresh_update, refusing

__all__ = ["refuse_commit", "refuse_update", "spoilt_update"]


def refuse_commit(
    room: Room,
    message: bytes,
    rule: str,
    *,
    by: Iterable[Party] | None = None,
    in_public: bool = True,
    psks: Any = None,
    **options: Any,
) -> None:
    """All but the first member, or those given, refuse a commit; so does the follower, unless only a secret tells."""
    for party in room.members[1:] if by is None else by:
        with refusing(rule, party):
            party.receive(message, psks=psks, **options)
    content = open_public_message(room.follower, decode(MLSMessage, message)) if rule[:3] != "FRM" else None
    if content is None:
        with refusing(rule):
            open_public_message(room.follower, decode(MLSMessage, message))
    elif in_public:
        with refusing(rule):
            follow_commit(room.follower, content, ANYBODY, **options)
    else:
        follow_commit(room.follower, content, ANYBODY, **options)


def spoilt_update(party: Party, breach: Breach, *, group_id: bytes | None = None, index: int | None = None) -> Update:
    """An Update whose leaf is altered before it is signed, for the given group and place."""
    made = fresh_update(party).leaf_node
    group = party.state.public.context.group_id if group_id is None else group_id
    return Update(sign_leaf(party.suite, breach(made), party.client, group, party.leaf if index is None else index))


def refuse_update(room: Room, update: Update, rule: str) -> None:
    """The second member's Update is only remembered; neither committing it nor a commit of it goes through."""
    alice, bob, *_ = room.members
    reference = room.propose(bob, update)
    with refusing(rule, alice):
        alice.stage(reference)
    # Nothing can be sealed to an unsound key.
    excluded = frozenset({bob.leaf}) if rule == "LN-25" else None
    refuse_commit(room, forge_commit(alice, reference, excluded=excluded), rule)
