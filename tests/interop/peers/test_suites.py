"""Every cipher suite that another implementation offers: members of both, from either side."""

from __future__ import annotations

import pytest

from tests.interop.peers.abilities import SUITES, can
from tests.interop.peers.conftest import Peers
from tests.interop.peers.conversation import Conversation, make_member


@pytest.mark.parametrize("turned", [False, True], ids=["we create", "they create"])
@pytest.mark.parametrize(("name", "suite"), [(name, suite) for name, suites in SUITES.items() for suite in suites if suite != 1])
def test_a_group_in_every_suite(peers: Peers, name: str, suite: int, turned: bool) -> None:
    first, second = (name, "dmls") if turned else ("dmls", name)
    a, b, c, d = (make_member(peers[peer], suite=suite) for peer in (first, second, first, second))
    room = Conversation(a, suite=suite)
    room.commit(a, room.adding(b))
    room.commit(b)
    room.commit(b, room.adding(c))
    room.say(a, b"hello")
    room.say(b, b"hello, too")
    room.commit(c)
    ours = next(member for member in room.members if member.peer.name == "dmls")
    if can(name, "external_join"):
        room.join_externally(d, ours)
        room.join_externally(make_member(peers[first], suite=suite), ours)
    room.commit(a, room.removing(b))
    for member in room.members:
        room.commit(member)
        room.say(member, b"x" * 300)
