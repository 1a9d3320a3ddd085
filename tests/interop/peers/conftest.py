"""The peers of a test run: each is started once, when a test first needs it, and ended with the run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.interop.peers.installed import missing, start
from tests.interop.peers.peer import Peer


class Peers:
    """The running peers by name. Asking for one that is not installed skips the test and says what installs it."""

    def __init__(self) -> None:
        self._running: dict[str, Peer] = {}

    def __getitem__(self, name: str) -> Peer:
        if name not in self._running:
            reason = missing(name)
            if reason is not None:
                pytest.skip(reason)
            self._running[name] = start(name)
        return self._running[name]

    def close(self) -> None:
        """End all."""
        for peer in self._running.values():
            peer.close()


@pytest.fixture(scope="session")
def peers() -> Iterator[Peers]:
    """All implementations, started as they are needed."""
    running = Peers()
    yield running
    running.close()
