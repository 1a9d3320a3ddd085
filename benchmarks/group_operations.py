"""What a commit, a join and an external commit cost in groups of several sizes, beside the least they can cost.

    python -m benchmarks.group_operations --sizes 10 100 1000 --suite 1 --repeat 9

Trees are *full* where every member has committed once, so that every parent holds a key, and *fresh* where all were added by one
commit and no parent does. The floor of an operation is the time of the public-key operations that RFC 9420 asks for, timed on
the same machine in the same run; a commit seals one path secret for each node that is in the way, so on a fresh tree the
floor grows with the group.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from dmls.ids import LeafIndex
from dmls.mls.codec import decode, encode
from dmls.mls.crypto.operations import OperationCounts, count_operations
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CipherSuite, cipher_suite
from dmls.mls.group.commit import CommitOptions, create_commit
from dmls.mls.group.external import create_external_commit
from dmls.mls.group.follower import PublicGroup, follow
from dmls.mls.group.leaf import Client, KeyPackageBundle, create_key_package
from dmls.mls.group.process import open_message, process_handshake
from dmls.mls.group.state import GroupState, create_group
from dmls.mls.group.welcome import join, make_group_info
from dmls.mls.messages.credential import BasicCredential
from dmls.mls.messages.leaf_node import Lifetime
from dmls.mls.messages.message import MLSMessage, encode_message
from dmls.mls.messages.proposal import Add
from dmls.mls.tree.ratchet_tree import RatchetTree

ALWAYS = Lifetime(0, 2**64 - 1)
Operation = Callable[[], object]


@dataclass(frozen=True)
class Scene:
    """A group whose members are all at hand: one state, the clients by leaf, and all private keys by public key."""

    state: GroupState
    clients: tuple[Client, ...]
    keys: dict[bytes, Secret]

    @property
    def suite(self) -> CipherSuite:
        """The cipher suite of the group."""
        return self.state.public.suite

    def member(self, leaf: int, suite: CipherSuite | None = None) -> GroupState:
        """Return the state of one member, computing with another form of the suite if one is given."""
        return with_suite(replace(self.state, own_leaves=frozenset({LeafIndex(leaf)})), suite or self.suite)


def with_suite(state: GroupState, suite: CipherSuite) -> GroupState:
    """Return a state that computes with another form of its suite."""
    public = state.public
    tree = RatchetTree(suite, public.tree.root, public.tree._places)
    secret_tree = replace(state.secret_tree, suite=suite)
    return replace(state, public=replace(public, suite=suite, tree=tree), secret_tree=secret_tree)


def bit_reversed(size: int) -> Iterator[int]:
    """Yield 0 .. size - 1 so that the tree fills evenly, which keeps the commits that fill it small."""
    width = max(size - 1, 1).bit_length()
    order = (int(f"{number:0{width}b}"[::-1], 2) for number in range(1 << width))
    return (leaf for leaf in order if leaf < size)


def build(suite: CipherSuite, size: int, *, is_full: bool, advance: Callable[[], None]) -> Scene:
    """Make a group of `size` members."""
    clients = [Client.create(suite, BasicCredential(f"member {number}".encode()), os.urandom) for number in range(size)]
    created = create_group(suite, b"!benchmark:example.org", clients[0], ALWAYS, os.urandom)
    keys = dict(created.private_keys)
    bundles = [create_key_package(suite, client, ALWAYS, os.urandom) for client in clients[1:]]
    keys.update((bundle.key_package.leaf_node.encryption_key, bundle.encryption_private_key) for bundle in bundles)
    proposals = [Add(bundle.key_package) for bundle in bundles]
    staged = create_commit(created.state, clients[0], LeafIndex(0), proposals, os.urandom, CommitOptions(welcome_with_tree=False))
    state = replace(staged.state, own_leaves=frozenset(map(LeafIndex, range(size))))
    keys.update(staged.private_keys)
    for leaf in bit_reversed(size):
        if is_full:
            step = create_commit(state, clients[leaf], LeafIndex(leaf), (), os.urandom)
            state = step.state
            keys.update(step.private_keys)
        advance()
    return Scene(state, tuple(clients), keys)


@dataclass(frozen=True)
class Prices:
    """Milliseconds of the operations that RFC 9420 cannot do without."""

    key_pair: float
    seal: float
    open: float
    sign: float
    verify: float

    @classmethod
    def measure(cls, suite: CipherSuite) -> Prices:
        """Time them."""
        pair = suite.derive_key_pair(os.urandom(suite.hash_size))
        signer = suite.generate_signature_key_pair(os.urandom)
        group, scheme = suite.kem.group, suite.signature
        private, parsed = group.load(pair.private_key), scheme.load(signer.private_key)
        message = bytes(300)
        signature = scheme.sign(parsed, message)
        public_key = timed(lambda: group.public_key(group.load(pair.private_key)), 200)
        exchange = timed(lambda: group.exchange(private, pair.public_key), 200)
        return cls(
            public_key,
            public_key + exchange,
            exchange,
            timed(lambda: scheme.sign(parsed, message), 200),
            timed(lambda: scheme.verify(signer.public_key, message, signature), 200),
        )


@dataclass(frozen=True)
class Floor:
    """How often each of those is needed."""

    key_pairs: int = 0
    seals: int = 0
    opens: int = 0
    signatures: int = 0
    verifications: int = 0

    def milliseconds(self, prices: Prices) -> float:
        """Return what they cost together."""
        return (
            self.key_pairs * prices.key_pair
            + self.seals * prices.seal
            + self.opens * prices.open
            + self.signatures * prices.sign
            + self.verifications * prices.verify
        )


@dataclass(frozen=True)
class Result:
    """One operation on one group."""

    size: int
    tree: str
    operation: str
    milliseconds: float
    floor_milliseconds: float
    floor: Floor
    counts: OperationCounts
    bytes: int


def timed(operation: Operation, repeat: int) -> float:
    """Return the median time of an operation in milliseconds."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        operation()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000


def operations(scene: Scene, suite: CipherSuite) -> dict[str, tuple[Operation, Floor, int]]:
    """Return what is measured: the operation, its floor, and the size of the message that it makes or reads."""
    state, clients = scene.member(0, suite), scene.clients
    tree = scene.state.public.tree
    size = len(clients)
    path = tree.filtered_copath(LeafIndex(0))
    recipients = sum(sibling.resolution_size for _, sibling in path)
    staged = create_commit(scene.member(0), clients[0], LeafIndex(0), (), os.urandom)
    found: dict[str, tuple[Operation, Floor, int]] = {}

    def commit() -> object:
        return create_commit(state, clients[0], LeafIndex(0), (), os.urandom)

    found["create commit"] = (commit, Floor(key_pairs=len(path) + 1, seals=recipients, signatures=2), len(staged.message))

    def processing(leaf: int, message: bytes, keys: dict[bytes, Secret]) -> Operation:
        receiver = scene.member(leaf, suite)

        def process() -> object:
            content, opened = open_message(receiver, decode(MLSMessage, message))
            return process_handshake(opened, content, keys)

        return process

    for name, leaf, above in (("process commit, next to it", 1, len(path)), ("process commit, far away", size - 1, 1)):
        floor = Floor(key_pairs=above, opens=1, verifications=2)
        found[name] = (processing(leaf, staged.message, scene.keys), floor, len(staged.message))

    newcomer = Client.create(suite, BasicCredential(b"newcomer"), os.urandom)
    bundle = create_key_package(suite, newcomer, ALWAYS, os.urandom)
    addition = Add(bundle.key_package)

    def add() -> object:
        options = CommitOptions(force_path=True, welcome_with_tree=False)
        return create_commit(state, clients[0], LeafIndex(0), (addition,), os.urandom, options)

    added = create_commit(scene.member(0), clients[0], LeafIndex(0), (addition,), os.urandom, CommitOptions(force_path=True))
    if added.welcome is None:
        raise RuntimeError("nobody was welcomed")
    depth = len(added.state.public.tree.filtered_direct_path(LeafIndex(0)))
    found["commit an Add"] = (
        add,
        Floor(key_pairs=depth + 1, seals=recipients + 1, signatures=2, verifications=2),
        len(added.message),
    )
    found["join by Welcome"] = joining(suite, encode_message(added.welcome), bundle, size)
    found |= external(scene, suite, newcomer, processing)
    return found


def joining(suite: CipherSuite, message: bytes, bundle: KeyPackageBundle, size: int) -> tuple[Operation, Floor, int]:
    """Measure a join from the bytes of a Welcome that carries the tree."""

    def run() -> object:
        return join(suite, decode(MLSMessage, message).body, bundle)  # type: ignore[arg-type]

    return run, Floor(key_pairs=1, opens=1, verifications=size + 2), len(message)


def external(
    scene: Scene, suite: CipherSuite, joiner: Client, processing: Callable[[int, bytes, dict[bytes, Secret]], Operation]
) -> dict[str, tuple[Operation, Floor, int]]:
    """Measure an external commit: following the group first, joining, and what it costs a member."""
    size, tree = len(scene.clients), scene.state.public.tree
    info = make_group_info(scene.member(0), scene.clients[0], LeafIndex(0))
    encoded_info, encoded_tree = encode(info), tree.encode()

    def follow_group(used: CipherSuite = suite) -> PublicGroup:
        return follow(used, decode(type(info), encoded_info), RatchetTree.decode(used, encoded_tree))

    group = follow_group()
    plain = follow_group(scene.suite)
    staged = create_external_commit(plain, info, joiner, os.urandom)
    path = staged.state.public.tree.filtered_copath(staged.leaf_index)
    recipients = sum(sibling.resolution_size for _, sibling in path)
    return {
        "follow a GroupInfo": (follow_group, Floor(verifications=size + 1), len(encoded_info) + len(encoded_tree)),
        "external commit": (
            lambda: create_external_commit(group, info, joiner, os.urandom),
            Floor(key_pairs=len(path) + 1, seals=recipients + 1, signatures=2, verifications=1),
            len(staged.message),
        ),
        "process external commit": (
            processing(0, staged.message, scene.keys),
            Floor(key_pairs=2, opens=2, verifications=2),
            len(staged.message),
        ),
    }


def measure(scene: Scene, tree: str, repeat: int, prices: Prices, advance: Callable[[], None]) -> Iterator[Result]:
    """Time all operations on a group, then count what they do."""
    counting, counts = count_operations(scene.suite)
    timed_ones, counted_ones = operations(scene, scene.suite), operations(scene, counting)
    for name, (operation, floor, length) in timed_ones.items():
        milliseconds = timed(operation, repeat)
        counted, _, _ = counted_ones[name]
        counts.reset()
        counted()
        yield Result(len(scene.clients), tree, name, milliseconds, floor.milliseconds(prices), floor, replace(counts), length)
        advance()


def run(sizes: Sequence[int], suite: CipherSuite, repeat: int) -> tuple[Prices, list[Result]]:
    """Build all groups and measure all operations, with a progress bar on a terminal."""
    errors = Console(stderr=True)
    prices = Prices.measure(suite)
    results: list[Result] = []
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress:
        for size in sizes:
            for tree in ("full", "fresh"):
                task = progress.add_task(f"{tree} tree of {size}", total=size + 8)
                advance = partial(progress.advance, task)
                scene = build(suite, size, is_full=tree == "full", advance=advance)
                results += measure(scene, tree, repeat, prices, advance)
                progress.remove_task(task)
    return prices, results


def show(suite: CipherSuite, prices: Prices, results: Sequence[Result]) -> None:
    """Print the table."""
    console = Console(width=None if sys.stdout.isatty() else 170, highlight=False)
    console.print(
        f"suite {suite.id} {suite.name}; microseconds: "
        + ", ".join(f"{name} {value * 1000:.0f}" for name, value in asdict(prices).items())
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("operation")
    for heading in ("members", "tree", "ms", "floor ms", "ratio", "bytes", "base mult", "DH", "sign", "verify"):
        table.add_column(heading, justify="left" if heading == "tree" else "right")
    for result in results:
        counts, floor = result.counts, result.floor
        pairs = (
            (counts.base_multiplications, floor.key_pairs + floor.seals),
            (counts.variable_multiplications, floor.seals + floor.opens),
            (counts.signatures, floor.signatures),
            (counts.verifications, floor.verifications),
        )
        table.add_row(
            result.operation,
            str(result.size),
            result.tree,
            f"{result.milliseconds:.2f}",
            f"{result.floor_milliseconds:.2f}",
            f"{result.milliseconds / result.floor_milliseconds:.2f}",
            str(result.bytes),
            *(f"{made} ({least})" for made, least in pairs),
        )
    console.print(table)
    console.print(
        "Numbers of operations, in brackets those of the floor: public keys made, Diffie-Hellman exchanges, signatures."
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--suite", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--json", action="store_true", help="print JSON")
    chosen = parser.parse_args(arguments)
    suite = cipher_suite(chosen.suite)
    prices, results = run(chosen.sizes, suite, chosen.repeat)
    if chosen.json:
        print(
            json.dumps(
                {"suite": suite.id, "prices_ms": asdict(prices), "results": [asdict(result) for result in results]}, indent=2
            )
        )
    else:
        show(suite, prices, results)


if __name__ == "__main__":
    main()
