"""Epoch graphs for tests: by name for stories, by seed for floods."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from hashlib import sha256

from dmls.forks.graph import EMPTY_GRAPH, VIRTUAL_ROOT, Device, EpochGraph, Node, Vote
from dmls.forks.tally import Tally
from dmls.ids import CommitRef, DeviceId, EventId, UserId
from tests.support.naive_head import Fact, NaiveRoom, Signature

__all__ = ["Story", "arrive", "compute_head", "make_device", "naive_room", "random_room", "ref_of"]


def ref_of(name: str) -> CommitRef:
    """Return the commit_ref of a node by its name."""
    return CommitRef(sha256(name.encode()).digest())


def make_device(name: str) -> Device:
    """Make the device `user/device@server`, such as `alice/1@hs1`; `alice/1'@hs1` is the same device with another key."""
    user, _, rest = name.partition("/")
    device, _, server = rest.partition("@")
    return Device(UserId(f"@{user}:{server}"), DeviceId(device.rstrip("'")), sha256(name.encode()).digest())


class Story:
    """Builds a graph step by step. Nodes have names; each device counts its own votes."""

    def __init__(self, *joined: str) -> None:
        self.graph = EMPTY_GRAPH
        self.votes: list[Vote] = []
        self.joined = {UserId(f"@{user.replace('@', ':')}") for user in joined}
        self._names: dict[CommitRef, str] = {}
        self._seqs: dict[Device, int] = {}

    def genesis(self, name: str, by: str, **facts: object) -> Story:
        return self.commit(name, "", by, is_genesis=True, vote_seq=0, **facts)

    def commit(self, name: str, parent: str, by: str, **facts: object) -> Story:
        """Add a node; `facts` are fields of Node, devices and nodes given by name."""
        author = make_device(by)
        fields: dict[str, object] = {"vote_seq": self._next_seq(author), "content_hash": ref_of(name)}
        for key, value in facts.items():
            if key in ("adds", "removes") and isinstance(value, Iterable):
                fields[key] = tuple(make_device(device) for device in value)
            elif key in ("resolves", "rejects") and isinstance(value, Iterable):
                fields[key] = tuple(map(ref_of, value))
            elif key == "twin_of" and isinstance(value, str):
                original = self.graph.node(ref_of(value))
                fields |= {"vote_seq": original.vote_seq, "content_hash": original.content_hash}
            else:
                fields[key] = value
        parent_ref = ref_of(parent) if parent else VIRTUAL_ROOT
        node = Node(
            commit_ref=ref_of(name),
            parent_ref=parent_ref,
            event_id=EventId(f"${name}"),
            sender=author.user_id,
            author=author,
            epoch=self.graph.node(parent_ref).epoch + 1 if parent else 0,
            **fields,  # type: ignore[arg-type]
        )
        self.graph = self.graph.add(node)
        self._names[node.commit_ref] = name
        return self

    def vote(self, by: str, name: str, seq: int | None = None, *, is_spent: bool = False) -> Story:
        device = make_device(by)
        self.votes.append(Vote(device, ref_of(name), self._next_seq(device) if seq is None else seq, is_spent))
        return self

    def correct(self, name: str, **flags: bool) -> Story:
        self.graph = self.graph.replace(replace(self.graph.node(ref_of(name)), **flags))  # type: ignore[arg-type]
        return self

    @property
    def head(self) -> str | None:
        ref = self.tally.head()
        return None if ref is None else self._names[ref]

    @property
    def tally(self) -> Tally:
        return Tally.build(self.graph, self.votes, self.joined)

    def supporters(self, name: str) -> set[str]:
        return {user.partition(":")[0][1:] for user in self.tally.supporters(ref_of(name))}

    def names(self, refs: Iterable[CommitRef]) -> list[str]:
        return [self._names[ref] for ref in refs]

    def _next_seq(self, device: Device) -> int:
        self._seqs[device] = self._seqs.get(device, 0) + 1
        return self._seqs[device]


def compute_head(
    graph: EpochGraph, votes: Iterable[Vote], joined: Iterable[UserId], without: Collection[CommitRef] = ()
) -> CommitRef | None:
    """Return the head of a graph, counted from scratch."""
    return Tally.build(graph, votes, joined).head(without)


def arrive(nodes: Sequence[Node]) -> EpochGraph:
    """Make a graph as events come in: a node whose parent is missing is parked until the parent is there."""
    graph = EMPTY_GRAPH
    parked: dict[CommitRef, list[Node]] = {}
    for node in nodes:
        ready = [node]
        while ready:
            next_node = ready.pop()
            if next_node.is_genesis or next_node.is_anchor or next_node.parent_ref in graph:
                graph = graph.add(next_node)
                ready += parked.pop(next_node.commit_ref, [])
            else:
                parked.setdefault(next_node.parent_ref, []).append(next_node)
    return graph


def random_room(rng: random.Random, size: int) -> tuple[list[Node], list[Vote], set[UserId]]:
    """Make nodes, votes and joined users in which every clause of the head rule is met often."""
    users = [f"{name}@hs{1 + number % 2}" for number, name in enumerate("abcd"[: rng.randint(2, 4)])]
    devices = [make_device(f"{user.replace('@', f'/{number}@')}") for user in users for number in range(rng.choice((1, 2, 2)))]
    nodes: list[Node] = []
    for number in range(size):
        ref = CommitRef(rng.randbytes(4))
        author = rng.choice(devices)
        parent = rng.choice(nodes) if nodes and (number > 1 or rng.random() < 0.9) else None
        if nodes and rng.random() < 0.12:
            nodes.append(replace(rng.choice(nodes), commit_ref=ref, event_id=EventId("$twin")))
            continue
        others = [device for device in devices if device != author]
        nodes.append(
            Node(
                commit_ref=ref,
                parent_ref=parent.commit_ref if parent else VIRTUAL_ROOT,
                event_id=EventId(f"${number}"),
                sender=author.user_id,
                author=author,
                epoch=parent.epoch + 1 if parent else 0,
                vote_seq=rng.randint(1, 5) if parent else 0,
                content_hash=ref,
                is_genesis=parent is None,
                is_external=parent is not None and rng.random() < 0.2,
                by_create_sender=parent is None and rng.random() < 0.3,
                adds=tuple(rng.sample(others, rng.choice((0, 0, 1)) if others else 0)),
                removes=tuple(rng.sample(devices, rng.choice((0, 0, 1)))),
                logout=rng.random() < 0.1,
                before_departure=rng.random() < 0.1,
                is_spent=rng.random() < 0.1,
            )
        )
    votes = [
        Vote(rng.choice(devices), rng.choice(nodes).commit_ref, rng.randint(1, 6), rng.random() < 0.1)
        for _ in range(rng.randint(0, size))
    ]
    joined = {device.user_id for device in devices if rng.random() < 0.75}
    return nodes, votes, joined


def naive_room(nodes: Iterable[Node], votes: Iterable[Vote], joined: Iterable[UserId]) -> NaiveRoom:
    """Translate for the other implementation."""

    def plain(device: Device) -> tuple[str, str, bytes]:
        return device.user_id, device.device_id, device.signature_key

    facts = [
        Fact(
            node.commit_ref,
            node.parent_ref,
            plain(node.author),
            node.vote_seq,
            node.content_hash,
            node.is_external,
            node.by_create_sender,
            tuple(map(plain, node.adds)),
            tuple(map(plain, node.removes)),
            node.logout,
            node.before_departure,
            node.is_spent,
        )
        for node in nodes
    ]
    signatures = [Signature(plain(vote.device), vote.commit_ref, vote.vote_seq, vote.is_spent) for vote in votes]
    return NaiveRoom(facts, signatures, set(joined))
