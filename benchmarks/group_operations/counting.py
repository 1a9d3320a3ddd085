"""What dmls computes in an operation, counted by a cipher suite that does the same and keeps count."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from benchmarks.group_operations.catalogue import Operation, Setting
from benchmarks.group_operations.contestants.dmls import DMLSContestant
from benchmarks.group_operations.floor import Counts
from benchmarks.group_operations.groups import Groups
from benchmarks.group_operations.results import OURS
from benchmarks.group_operations.stage import Stage
from dmls.mls.crypto.operations import OperationCounts, count_operations
from tests.interop.peers.peer import LocalPeer

__all__ = ["Counter"]


@dataclass(frozen=True)
class Counter:
    """A member of a group whose operations are counted."""

    peer: LocalPeer
    contestant: DMLSContestant
    counts: OperationCounts
    stage: Stage
    size: int

    @classmethod
    def seat(cls, groups: Groups, name: str = OURS) -> Counter:
        """Let it take a seat, as one of the contestants that are dmls."""
        suite, counts = count_operations(groups.suite)
        peer, contestant, stage = groups.seat_ours(suite, name)
        return cls(peer, contestant, counts, stage, groups.size)

    def count(self, operation: Operation) -> Counts:
        """Do an operation once, and return what that took; long messages are not measured."""
        setting = Setting(self.stage, self.size, self.peer.call, 1, 1)
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
