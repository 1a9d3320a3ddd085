"""The group that most tests of refusals begin with."""

from __future__ import annotations

import random

import pytest

from dmls.mls.crypto.suites import cipher_suite
from tests.support.groups import Party, Room, room_of


@pytest.fixture
def room(rng: random.Random) -> Room:
    """Four members, of whom the first has added the others."""
    return room_of(rng)[0]


@pytest.fixture
def newcomer(rng: random.Random) -> Party:
    """Somebody who is not a member."""
    return Party(cipher_suite(1), "newcomer", rng.randbytes)
