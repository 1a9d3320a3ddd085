"""How a contestant comes into the group that it is measured in."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from benchmarks.group_operations.contestants.dmls import KEY_SCHEDULES, DMLSContestant
from benchmarks.group_operations.results import OURS, PUNCTURABLE
from benchmarks.group_operations.stage import Stage, make_stage
from dmls.mls.crypto.randomness import Random
from dmls.mls.crypto.suites import CipherSuite
from tests.interop.peers.peer import LocalPeer, Peer

__all__ = ["Groups"]


def _key_schedule(name: str) -> str:
    return "pprf" if name == PUNCTURABLE else "rfc9420"


@dataclass
class Groups:
    """Makes groups of one size and kind of tree, one for each contestant; of full ones, the base is made once.

    Without a tree there is but a group of two, in which nobody sits.
    """

    suite: CipherSuite
    size: int
    tree: str
    random: Random
    advance: Callable[[], None] = lambda: None
    _bases: dict[tuple[str, str], Stage] = field(default_factory=dict)

    def seat(self, peer: Peer, hello: Mapping[str, str]) -> Stage:
        """Let a contestant into a group, and return that.

        Raises:
            PeerError: it cannot take its seat.
        """
        if not self.tree:
            return make_stage(self.suite, 2, self.random, int(time.time()))[0]
        schedule, way, handshake = _key_schedule(peer.name), hello["seat"], hello["handshake"]
        if way == "build":
            peer.call("build", tree=self.tree, size=self.size)
            return self._base(schedule, handshake)
        key_package = bytes.fromhex(peer.call("key_package")["key_package"])
        if self.tree == "fresh" or way == "follow":
            stage, welcome = self._make(schedule, handshake, key_package)
            peer.call("join", welcome=welcome.hex())
            if self.tree == "full":
                stage, messages = stage.fill(self.advance)
                peer.call("follow", messages=[message.hex() for message in messages])
            return stage
        stage, welcome = self._base(schedule, handshake).seat(key_package)
        peer.call("join", welcome=welcome.hex())
        return stage.process(bytes.fromhex(peer.call("update")["commit"])) if way == "update" else stage

    def seat_ours(self, suite: CipherSuite, name: str = OURS) -> tuple[LocalPeer, DMLSContestant, Stage]:
        """Let one of the contestants that are dmls take a seat in this process; `suite` may be one that counts."""
        contestant = DMLSContestant(suite, KEY_SCHEDULES[_key_schedule(name)], self.random, int(time.time()))
        peer = LocalPeer(name, contestant)
        return peer, contestant, self.seat(peer, contestant.do_hello())

    def _base(self, schedule: str, handshake: str) -> Stage:
        if (schedule, handshake) not in self._bases:
            stage, _ = self._make(schedule, handshake)
            self._bases[schedule, handshake] = stage.fill(self.advance)[0] if self.tree == "full" else stage
        return self._bases[schedule, handshake]

    def _make(self, schedule: str, handshake: str, key_package: bytes | None = None) -> tuple[Stage, bytes]:
        rule, now = KEY_SCHEDULES[schedule], int(time.time())
        return make_stage(self.suite, self.size, self.random, now, rule=rule, key_package=key_package, handshake=handshake)
