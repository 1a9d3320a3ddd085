"""What the head rule costs, by the length of a room's life: a new commit, a vote, a user who leaves, and a restart.

    python -m benchmarks.head_rule [NODES ...]

Eight users with two devices each commit and vote in turn. At every fifth epoch two of them commit at once; the loser is
resolved by the next commit, and half of the time it is the winner that came second.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from dmls.forks.committer import needs_merge, unresolved_side_heads
from dmls.forks.graph import VIRTUAL_ROOT, Device, Node, Vote
from dmls.forks.retention import RetainedEpoch, expired_epochs
from dmls.forks.tally import EMPTY_TALLY, Tally
from dmls.ids import CommitRef, DeviceId, EventId, UserId

__all__ = ["Life", "measure", "show"]

USERS = tuple(UserId(f"@user{number}:hs{number % 3}") for number in range(8))
DEVICES = tuple(Device(user, DeviceId(name), sha256(user.encode() + name.encode()).digest()) for user in USERS for name in "AB")
FORK_EVERY = 5
REPEAT = 100


@dataclass
class Life:
    """The nodes and votes of a room as they come, from a seed."""

    rng: random.Random = field(default_factory=lambda: random.Random(1))
    seq: int = 0

    def commit(self, parent: Node | None, author: Device, resolves: Sequence[CommitRef] = ()) -> Node:
        """Make a node."""
        self.seq += 1
        ref = CommitRef(self.rng.randbytes(32))
        return Node(
            commit_ref=ref,
            parent_ref=VIRTUAL_ROOT if parent is None else parent.commit_ref,
            event_id=EventId(f"${self.seq}"),
            sender=author.user_id,
            author=author,
            epoch=0 if parent is None else parent.epoch + 1,
            vote_seq=self.seq if parent else 0,
            content_hash=ref,
            is_genesis=parent is None,
            adds=() if parent else DEVICES,
            resolves=tuple(resolves),
        )

    def vote(self, node: Node, device: Device) -> Vote:
        """Make a vote."""
        self.seq += 1
        return Vote(device, node.commit_ref, self.seq)

    def until(self, length: int) -> Iterator[Node | Vote]:
        """Go through what comes until the head's chain has so many nodes."""
        head = self.commit(None, DEVICES[0])
        yield head
        losers: list[CommitRef] = []
        for number in range(1, length):
            first, second, *others = self.rng.sample(DEVICES, 4)
            best = self.commit(head, first, losers)
            losers = []
            if number % FORK_EVERY:
                yield best
            else:
                rival = self.commit(head, second)
                losers.append(rival.commit_ref)
                yield from self.rng.sample([best, rival], 2)
            # All vote for the one that goes on.
            yield from (self.vote(best, device) for device in (*others, second))
            head = best


def live(length: int) -> tuple[Life, Tally, list[Vote]]:
    """Return a room after a life, its tally, and all votes."""
    life, tally, votes = Life(), EMPTY_TALLY.with_joined(USERS), list[Vote]()
    for item in life.until(length):
        if isinstance(item, Vote):
            tally = tally.cast(item)
            votes.append(item)
        else:
            tally = tally.add(item)
    return life, tally, votes


def measure(length: int) -> dict[str, float]:
    """Return the median cost of each thing in milliseconds, in a room whose head has so many nodes above it."""
    life, tally, votes = live(length)
    graph, head = tally.graph, tally.head()
    if head is None:
        raise RuntimeError("the room has no head")
    chain = graph.chain(head)
    tip = graph.node(head)
    old = graph.node(chain[length // 2])
    retained = [RetainedEpoch(ref, 0) for ref in chain[-16:]]
    extended = tally.add(life.commit(tip, DEVICES[0]))
    forked = tally.add(life.commit(graph.node(chain[-2]), DEVICES[0]))

    def judge() -> object:
        judged = unresolved_side_heads(forked, head), needs_merge(forked, head)
        params = {"retain_seconds": 259_200, "retain_epochs": 16, "now_ms": 7_200_000}
        return judged, expired_epochs(forked, head, DEVICES, retained, lambda _: 0, **params)

    found = {
        "commit on the head": _median(lambda: tally.add(life.commit(tip, DEVICES[1]))),
        "vote for the head": _median(lambda: extended.cast(life.vote(extended.graph.node(extended.head() or head), DEVICES[2]))),
        "commit far up": _median(lambda: tally.add(life.commit(old, DEVICES[1]))),
        "vote far up": _median(lambda: tally.cast(life.vote(old, DEVICES[2]))),
        "branches and retention": _median(judge),
        "user leaves": _median(lambda: tally.with_joined(USERS[1:]), 3),
        "restart": _median(lambda: Tally.build(graph, votes, USERS), 1),
    }
    if tally.head() != Tally.build(graph, votes, USERS).head():
        raise RuntimeError("the head that was kept is another one")
    return found


def _median(run: Callable[[], object], repeat: int = REPEAT) -> float:
    spent = []
    for _ in range(repeat):
        start = time.perf_counter()
        run()
        spent.append(time.perf_counter() - start)
    return 1_000 * statistics.median(spent)


def show(lengths: Sequence[int], found: Sequence[dict[str, float]]) -> None:
    """Print what was measured."""
    for length, medians in zip(lengths, found, strict=True):
        print(f"{length:>6} nodes, ms: " + ", ".join(f"{what} {value:.3f}" for what, value in medians.items()))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure rooms of the given lengths."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lengths", metavar="NODES", type=int, nargs="*", default=[500, 5_000])
    lengths = parser.parse_args(arguments).lengths
    show(lengths, [measure(length) for length in lengths])


if __name__ == "__main__":
    main()
