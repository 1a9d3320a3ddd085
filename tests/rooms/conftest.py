from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rooms.homes import World


@pytest.fixture
def world(tmp_path: Path, seed: int) -> Iterator[World]:
    """Two homeservers that know nothing yet."""
    made = World(tmp_path, seed)
    made.home("hs1")
    made.home("hs2")
    yield made
    made.close()
