"""Random walks of 200 steps over mixed groups; `make soak` takes more of them, each time others."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping

import pytest

from tests.interop.peers.conftest import Peers
from tests.interop.peers.walk import LEAST, MOST, Mix, Walk

_STEPS = 200
_IS_SOAK = bool(os.environ.get("DMLS_SOAK"))
_WALKS = range(8 if _IS_SOAK else 2)
_MIXES = [
    Mix("all that take public messages", {"dmls": 3, "mls-rs": 3, "ts-mls": 2, "core-crypto": 2}),
    Mix("mls-rs and core-crypto", {"dmls": 1, "mls-rs": 2, "core-crypto": 2}),
    Mix("both forms of messages", {"dmls": 2, "mls-rs": 2, "ts-mls": 1}, forms=("public", "private")),
    Mix("all that take private messages", {"dmls": 2, "gbp-stack": 2, "ts-mls": 1}, forms=("private",)),
    Mix("cipher suite 2", {"dmls": 3, "ts-mls": 1, "core-crypto": 2}, suite=2),
]


def _seed(number: int) -> int:
    given = os.environ.get("DMLS_SEED")
    if given is not None:
        return int(given)
    return secrets.randbits(32) if _IS_SOAK else number


@pytest.mark.parametrize("number", _WALKS)
@pytest.mark.parametrize("mix", _MIXES, ids=lambda mix: mix.name)
def test_a_mixed_group_agrees_after_every_step(peers: Peers, mix: Mix, number: int) -> None:
    walk = Walk({name: peers[name] for name in ("dmls", *mix.weights)}, mix, _seed(number))
    walk.run(_STEPS)
    assert LEAST <= len(walk.room.members) <= MOST
    assert _few(walk.counts) == []


def _few(counts: Mapping[str, int]) -> list[str]:
    """Name what every walk does and this one did not."""
    return [kind for kind in ("add", "remove", "refresh", "say", "burst", "come_back", "reload") if counts.get(kind, 0) == 0]
