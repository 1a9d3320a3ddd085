"""Games with the head rule: a random room in many orders of arrival, each checked after every arrival by the plain second rule.

    python -m tests.support.head_games FIRST NUMBER [FIRST NUMBER ...]

plays the games of so many seeds from each first one on, and prints a digest of what was found, which must not depend on the hash
seed of the interpreter.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from dmls.forks.graph import EpochGraph, Node, Vote
from dmls.forks.tally import EMPTY_TALLY, Tally
from dmls.ids import CommitRef, UserId
from tests.support.epoch_graphs import naive_room, random_room

__all__ = ["play", "play_all"]

_MOST_FOR_ALL_ORDERS = 6
_ORDERS = 20
_LOOKED_AT = 2


@dataclass(frozen=True)
class _Room:
    nodes: tuple[Node, ...]
    votes: tuple[Vote, ...]
    joined: frozenset[UserId]
    withheld: frozenset[CommitRef]
    """Nodes that never arrive."""

    @property
    def arriving(self) -> list[Node]:
        return [node for node in self.nodes if node.commit_ref not in self.withheld]


def _make_room(rng: random.Random, size: int) -> _Room:
    nodes, votes, joined = random_room(rng, size)
    refs = [node.commit_ref for node in nodes]
    nodes = [
        replace(
            node,
            resolves=tuple(rng.sample(refs, rng.choice((0, 0, 1)))),
            is_anchor=not node.is_genesis and rng.random() < 0.15,
        )
        for node in nodes
    ]
    withheld = rng.sample(refs, rng.choice((0, 0, 0, 1)))
    return _Room(tuple(nodes), tuple(votes), frozenset(joined), frozenset(withheld))


def play(seed: int) -> bytes:
    """Play the game of one seed; return what its heads were.

    Raises:
        AssertionError: the implementations differ; the message says how to repeat it.
    """
    rng = random.Random(seed)
    kind = rng.choice((_every_order, _many_orders, _changes))
    try:
        return b"".join(kind(rng))
    except Exception as error:
        raise AssertionError(f"repeat with: python -m tests.support.head_games {seed} 1") from error


def play_all(first: int, number: int) -> str:
    """Play the games of so many seeds; return a digest of all heads."""
    digest = sha256()
    for seed in range(first, first + number):
        digest.update(play(seed))
    return digest.hexdigest()


@dataclass(frozen=True)
class _Verdict:
    """What the plain second rule says of some nodes."""

    head: bytes | None
    without: tuple[bytes, ...]
    """Nodes to be left out."""
    head_without: bytes | None
    supporters: dict[bytes, set[str]]
    counting: set[bytes]
    side_heads: list[bytes]

    @classmethod
    def of(cls, nodes: Sequence[Node], votes: Sequence[Vote], joined: Iterable[UserId], rng: random.Random) -> _Verdict:
        naive = naive_room(nodes, votes, joined)
        head = naive.head()
        without = tuple(rng.sample(sorted(naive.facts), min(2, len(nodes))))
        chain = [fact.ref for fact in naive.facts.values() if head in naive.below(fact.ref)]
        resolved = {ref for node in nodes if node.commit_ref in chain for ref in node.resolves}
        tips = [ref for ref in sorted(naive.facts) if not naive.children(ref)]
        return cls(
            head,
            without,
            naive.head(without),
            {ref: naive.supporters(fact) for ref, fact in naive.facts.items()},
            {ref for ref, fact in naive.facts.items() if naive.counts(fact)},
            [ref for ref in tips if ref != head and ref not in resolved],
        )

    def check(self, tally: Tally) -> bytes:
        """Compare all that a tally says of its nodes; return the head, empty for none."""
        head = tally.head()
        assert head == self.head
        assert tally.head([CommitRef(ref) for ref in self.without]) == self.head_without
        assert {ref: tally.support(ref) for ref in tally.graph} == {ref: len(users) for ref, users in self.supporters.items()}
        assert {ref: tally.supporters(ref) for ref in tally.graph} == self.supporters
        assert {ref for ref in tally.graph if tally.counts(ref)} == self.counting
        authors = {ref: tally.graph.node(ref).sender for ref in tally.graph}
        assert all(tally.is_alone(ref) == (self.supporters[ref] <= {user}) for ref, user in authors.items())
        assert head is None or list(tally.side_heads(head)) == self.side_heads
        return head or b""


def _check(tally: Tally, votes: Sequence[Vote], rng: random.Random) -> bytes:
    """Compare a tally that was kept with one that is counted from scratch and with the second rule."""
    nodes = [tally.graph.node(ref) for ref in tally.graph]
    verdict = _Verdict.of(nodes, votes, tally.joined, rng)
    scratch = Tally.build(EpochGraph.build(nodes), votes, tally.joined)
    assert scratch.graph == tally.graph
    assert scratch.votes == tally.votes
    verdict.check(scratch)
    return verdict.check(tally)


def _add(tally: Tally, parked: dict[CommitRef, list[Node]], node: Node) -> Tally:
    """Add a node if its parent is there, and then all that waited for it."""
    ready = [node]
    while ready:
        node = ready.pop()
        if node.is_genesis or node.is_anchor or node.parent_ref in tally.graph:
            tally = tally.add(node)
            ready += parked.pop(node.commit_ref, [])
        else:
            parked.setdefault(node.parent_ref, []).append(node)
    return tally


# The kinds of games


def _every_order(rng: random.Random) -> Iterator[bytes]:
    """Let up to six nodes arrive in every order in which a child waits for its parent; the votes are there before them."""
    room = _make_room(rng, rng.randint(1, _MOST_FOR_ALL_ORDERS))
    start = EMPTY_TALLY.with_joined(room.joined)
    for vote in room.votes:
        start = start.cast(vote)
    verdicts: dict[frozenset[CommitRef], _Verdict] = {}
    waiting = [(start, room.arriving)]
    while waiting:
        tally, rest = waiting.pop()
        present = frozenset(tally.graph)
        if present not in verdicts:
            nodes = [tally.graph.node(ref) for ref in sorted(present)]
            verdicts[present] = _Verdict.of(nodes, room.votes, room.joined, rng)
        verdicts[present].check(tally)
        ready = [node for node in rest if node.is_genesis or node.is_anchor or node.parent_ref in present]
        waiting += [(tally.add(node), [other for other in rest if other is not node]) for node in ready]
    return (verdicts[present].head or b"-" for present in sorted(verdicts, key=sorted))


def _many_orders(rng: random.Random) -> Iterator[bytes]:
    """Let more nodes arrive in twenty orders, mixed with the votes; two of them are looked at after each arrival."""
    room = _make_room(rng, rng.randint(_MOST_FOR_ALL_ORDERS + 1, 14))
    items: list[Node | Vote] = [*room.arriving, *room.votes]
    verdict: _Verdict | None = None
    for order in range(_ORDERS):
        tally = EMPTY_TALLY.with_joined(room.joined)
        parked: dict[CommitRef, list[Node]] = {}
        votes: list[Vote] = []
        for item in rng.sample(items, len(items)):
            if isinstance(item, Vote):
                tally = tally.cast(item)
                votes.append(item)
            else:
                tally = _add(tally, parked, item)
            if order < _LOOKED_AT:
                _check(tally, votes, rng)
        if verdict is None:
            verdict = _Verdict.of([tally.graph.node(ref) for ref in tally.graph], votes, room.joined, rng)
        yield verdict.check(tally) or b"-"


def _changes(rng: random.Random) -> Iterator[bytes]:
    """Let everything change: users come and go, what the homeserver says is corrected, votes are spent, own commits refused."""
    room = _make_room(rng, rng.randint(1, 10))
    users = sorted({node.sender for node in room.nodes} | {vote.device.user_id for vote in room.votes})
    items = [*room.arriving, *room.votes, *["join"] * 4, *["correct"] * 3, "withdraw", *["drop"] * 2]
    tally, parked, votes = EMPTY_TALLY, dict[CommitRef, list[Node]](), list[Vote]()
    for item in rng.sample(items, len(items)):
        refs = sorted(tally.graph)
        if isinstance(item, Node):
            tally = _add(tally, parked, item)
        elif isinstance(item, Vote):
            tally = tally.cast(item)
            votes.append(item)
        elif item == "join":
            tally = tally.with_joined(user for user in users if rng.random() < 0.6)
        elif item == "correct" and refs:
            node = tally.graph.node(rng.choice(refs))
            tally = tally.correct(
                replace(
                    node,
                    is_spent=rng.random() < 0.5,
                    before_departure=rng.random() < 0.5,
                    by_create_sender=node.is_genesis and rng.random() < 0.5,
                )
            )
        elif item == "withdraw" and votes:
            vote = rng.choice(votes)
            tally = tally.withdraw(vote)
            votes = [other for other in votes if other != vote]
        elif item == "drop" and refs:
            tally = tally.drop(rng.choice(tally.graph.leaves()))
        yield _check(tally, votes, rng) or b"-"


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    for begin, count in zip(numbers[::2], numbers[1::2], strict=True):
        print(play_all(begin, count))
