"""What dmls computes in an operation, counted by a cipher suite that does the same and keeps count."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass

from benchmarks.group_operations.catalogue import Operation, Setting
from benchmarks.group_operations.contestants.dmls import KEY_SCHEDULES, DMLSContestant
from benchmarks.group_operations.floor import Counts
from benchmarks.group_operations.groups import Groups
from benchmarks.group_operations.results import OURS, PUNCTURABLE
from benchmarks.group_operations.stage import Stage
from dmls.mls.crypto.operations import OperationCounts, count_operations
from tests.interop.peers.peer import LocalPeer

__all__ = ["Counter"]


@dataclass(frozen=True)
class Counter:
    """A member of a group whose operations are counted."""

    contestant: DMLSContestant
    counts: OperationCounts
    stage: Stage
    size: int

    @classmethod
    def seat(cls, groups: Groups, name: str = OURS) -> Counter:
        """Let it take a seat, as one of the contestants that are dmls."""
        suite, counts = count_operations(groups.suite)
        contestant = DMLSContestant(
            suite, KEY_SCHEDULES["pprf" if name == PUNCTURABLE else "rfc9420"], groups.random, int(time.time())
        )
        stage = groups.seat(LocalPeer(name, contestant), contestant.do_hello())
        return cls(contestant, counts, stage, groups.size)

    def count(self, operation: Operation) -> Counts:
        """Do an operation once, and return what that took; long messages are not measured."""
        peer = LocalPeer(OURS, self.contestant)
        setting = Setting(self.stage, self.size, peer.call, 1, 1)
        self.contestant.do_prepare(operation.name, **operation.material(setting))
        run = self.contestant.make_run()
        self.counts.reset()
        run()
        made = asdict(self.counts)
        return Counts(
            base_multiplications=made["base_multiplications"],
            exchanges=made["variable_multiplications"],
            signatures=made["signatures"],
            verifications=made["verifications"],
            aeads=made["aead_seals"] + made["aead_opens"],
            macs=made["macs"],
            hashes=made["hashes"],
        )
