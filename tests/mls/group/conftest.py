"""The groups that most tests of refusals begin with."""

from __future__ import annotations

import random

import pytest

from dmls.mls.crypto.suites import cipher_suite
from tests.support.groups import Party, Room, room_of
from tests.support.successors import Closed, Open


@pytest.fixture
def room(rng: random.Random) -> Room:
    """Four members, of whom the first has added the others."""
    return room_of(rng)[0]


@pytest.fixture
def newcomer(rng: random.Random) -> Party:
    """Somebody who is not a member."""
    return Party(cipher_suite(1), "newcomer", rng.randbytes)


@pytest.fixture
def closed(rng: random.Random) -> Closed:
    """A group of four that was closed, and its members to be in the successor."""
    return Closed(rng)


@pytest.fixture
def opened(rng: random.Random) -> Open:
    """A group of four, and three of them as they will be in a branch."""
    return Open(rng)
