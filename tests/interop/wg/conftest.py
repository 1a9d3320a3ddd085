"""Two servers of our own for a whole test process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.interop.wg.processes import serving
from tests.interop.wg.runner.run import Peer


@pytest.fixture(scope="session")
def addresses() -> Iterator[list[str]]:
    """Two servers' addresses, each server a process of its own."""
    with serving("one", "two") as found:
        yield found


@pytest.fixture
def peers(addresses: list[str]) -> Iterator[list[Peer]]:
    """The two servers, connected."""
    with ExitStack() as stack:
        yield [stack.enter_context(Peer.connect(address)) for address in addresses]
