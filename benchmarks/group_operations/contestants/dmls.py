"""The core of this repository, with the key schedule of RFC 9420 or with the puncturable one (`--key-schedule pprf`)."""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from types import MappingProxyType
from typing import Any

from benchmarks.group_operations.contestants.allocation import memory_of
from benchmarks.group_operations.contestants.contestant import Contestant, Run, Runs, keeping
from benchmarks.group_operations.stage import add_members, make_client, make_lifetime, read_key_package
from dmls.forks.pprf import PPRF_RULE
from dmls.ids import LeafIndex
from dmls.mls.codec import decode
from dmls.mls.crypto.randomness import Random
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CipherSuite, cipher_suite
from dmls.mls.group.application import encrypt
from dmls.mls.group.commit import CommitOptions, StagedCommit, create_commit
from dmls.mls.group.external import join_externally
from dmls.mls.group.follower import follow, open_public_message
from dmls.mls.group.leaf import Client, KeyPackageBundle, create_key_package
from dmls.mls.group.policy import OpenPolicy
from dmls.mls.group.process import open_message, process_handshake
from dmls.mls.group.snapshot import decode_state, encode_state
from dmls.mls.group.state import GroupState, create_group
from dmls.mls.group.transition import follow_commit
from dmls.mls.group.welcome import JoinOptions, join
from dmls.mls.messages.group_info import GroupInfo
from dmls.mls.messages.message import MLSMessage, encode_message
from dmls.mls.messages.proposal import Add, ProposalBody, Remove
from dmls.mls.messages.registry import ExtensionType
from dmls.mls.messages.welcome import Welcome
from dmls.mls.schedule.key_schedule import RFC9420_RULE, InitSecretRule
from dmls.mls.tree.ratchet_tree import RatchetTree
from dmls.mls.tree.storage import load_tree, new_nodes
from tests.interop.peers.drivers.json_lines import Answer, serve

__all__ = ["KEY_SCHEDULES", "DMLSContestant"]

KEY_SCHEDULES = {"rfc9420": RFC9420_RULE, "pprf": PPRF_RULE}
_TEXT = bytes(1024)
_COPIES, _BATCHES = 16, 3
"""Of what is too small to be measured alone. A table that all share doubles in one batch, which is then not the median."""


@dataclass(frozen=True)
class _Seat:
    """A member."""

    client: Client
    leaf: LeafIndex
    state: GroupState
    keys: Mapping[bytes, Secret]


class DMLSContestant(Contestant):
    """dmls."""

    name = "dmls"
    version = version("dmls")
    primitives = "PyNaCl (libsodium), cryptography (OpenSSL)"
    notes = MappingProxyType({"commit": "with the new epoch: there is nothing left to apply"})

    def __init__(self, suite: CipherSuite, rule: InitSecretRule, random: Random, now: int) -> None:
        """Compute with a cipher suite and an init-secret rule; `now` is in seconds since the epoch."""
        super().__init__()
        self._suite = suite
        self._rule = rule
        # The puncturable schedule wants a path in every commit.
        self._options = CommitOptions(force_path=rule is not RFC9420_RULE, welcome_with_external_pub=False)
        self._random = random
        self._lifetime = make_lifetime(now)
        self._bundle, self._client = self._new_bundle("contestant")
        self._newcomers: list[KeyPackageBundle] = []
        self._seat: _Seat | None = None

    def do_key_package(self) -> Answer:
        """Make the client who will take the seat."""
        self._bundle, self._client = self._new_bundle("contestant")
        return {"key_package": encode_message(self._bundle.key_package).hex()}

    def do_join(self, welcome: str) -> Answer:
        """Take the seat."""
        joined = join(self._suite, self._read(welcome, Welcome), self._bundle, options=JoinOptions(rule=self._rule))
        self._seat = _Seat(self._client, joined.leaf_index, joined.state, dict(joined.private_keys))
        return {}

    def do_update(self) -> Answer:
        """Commit nothing but a path."""
        staged = self._commit_of()
        self._seat = replace(self._taken, state=staged.state, keys={**self._taken.keys, **staged.private_keys})
        return {"commit": staged.message.hex()}

    def do_newcomers(self, count: int) -> Answer:
        """Make one key package, which works as often as it is used."""
        self._newcomers = [self._new_bundle("newcomer")[0]]
        return {"key_packages": [encode_message(bundle.key_package).hex() for bundle in self._newcomers]}

    # Operations

    def prepare_key_package(self) -> Runs:
        """Key package generation."""
        client = make_client(self._suite, "somebody", self._random)

        def run() -> int:
            return len(encode_message(create_key_package(self._suite, client, self._lifetime, self._random).key_package))

        return lambda: run

    def prepare_create(self) -> Runs:
        """Create a group."""
        client = make_client(self._suite, "founder", self._random)

        def run() -> int:
            create_group(self._suite, self._random(16), client, self._lifetime, self._random, rule=self._rule)
            return 0

        return lambda: run

    def prepare_add_all(self, key_packages: list[str]) -> Runs:
        """Add everybody else in one commit, whose Welcome carries the tree."""
        packages = [bytes.fromhex(data) for data in key_packages]
        client = make_client(self._suite, "founder", self._random)

        def make_ready() -> Run:
            created = create_group(self._suite, self._random(16), client, self._lifetime, self._random, rule=self._rule)

            def run() -> int:
                additions = [Add(read_key_package(data)) for data in packages]
                staged = add_members(created.state, client, additions, self._random, self._options)
                return len(staged.message) + self._welcome_bytes(staged)

            return run

        return make_ready

    def prepare_add(self, key_packages: list[str]) -> Runs:
        """Add one; the Welcome carries the tree."""
        (package,) = map(bytes.fromhex, key_packages)

        def run() -> int:
            staged = self._commit_of(Add(read_key_package(package)))
            return len(staged.message) + self._welcome_bytes(staged)

        return lambda: run

    def prepare_remove(self, leaf: int, **_: object) -> Runs:
        """Remove one."""
        return lambda: lambda: len(self._commit_of(Remove(LeafIndex(leaf))).message)

    def prepare_commit(self) -> Runs:
        """Commit a path and nothing else, and have the new epoch."""
        return lambda: lambda: len(self._commit_of().message)

    def prepare_process(self, message: str) -> Runs:
        """Process a commit."""
        seat, data = self._taken, bytes.fromhex(message)

        def run() -> int:
            content, opened = open_message(seat.state, decode(MLSMessage, data))
            process_handshake(opened, content, seat.keys)
            return len(data)

        return lambda: run

    def prepare_join(self, welcomes: list[str]) -> Runs:
        """Join from a Welcome with the tree."""
        (bundle,), (data,) = self._newcomers, map(bytes.fromhex, welcomes)

        def enter() -> object:
            body = decode(MLSMessage, data).body
            if not isinstance(body, Welcome):
                raise TypeError("not a Welcome")
            return join(self._suite, body, bundle, options=JoinOptions(rule=self._rule))

        return keeping(enter, len(data))

    def prepare_external_join(self, group_info: str) -> Runs:
        """Judge the group of a GroupInfo, and commit from outside."""
        data = bytes.fromhex(group_info)
        joiner = make_client(self._suite, "joiner", self._random)

        def run() -> int:
            info = self._decode_group_info(data)
            return len(join_externally(self._suite, info, joiner, self._random, rule=self._rule).message)

        return lambda: run

    def prepare_encrypt(self) -> Runs:
        """Encrypt, after a first message."""
        seat = self._taken
        state = self._say(seat, seat.state)[1]
        return lambda: lambda: len(self._say(seat, state)[0])

    def prepare_decrypt(self, messages: list[str]) -> Runs:
        """Open a message of a sender of whom one was opened before."""
        first, data = map(bytes.fromhex, messages[:2])
        state = open_message(self._taken.state, decode(MLSMessage, first))[1]
        return self._opening(state, data)

    def prepare_first_message(self, message: str) -> Runs:
        """Open the first message of a sender."""
        return self._opening(self._taken.state, bytes.fromhex(message))

    def prepare_save(self) -> Runs:
        """Write what a commit changed: rows of new tree nodes, and the rest of the state."""
        known = {key for key, _ in new_nodes(self._taken.state.public.tree, lambda _: False)}

        def make_ready() -> Run:
            state = self._commit_of().state

            def run() -> int:
                rows = new_nodes(state.public.tree, known.__contains__)
                return sum(len(key) + len(row) for key, row in rows) + len(encode_state(state))

            return run

        return make_ready

    def prepare_load(self) -> Runs:
        """Read a state."""
        saved, rows = self._saved()

        return keeping(lambda: self._load(saved, rows), len(saved) + sum(map(len, rows.values())))

    def prepare_follow(self, group_info: str, message: str) -> Runs:
        """Follow a commit without being a member."""
        info, data = self._decode_group_info(bytes.fromhex(group_info)), bytes.fromhex(message)
        public = follow(self._suite, info, self._tree_of(info))

        def run() -> int:
            follow_commit(public, open_public_message(public, decode(MLSMessage, data)), OpenPolicy())
            return len(data)

        return lambda: run

    # Memory

    def do_memory(self, what: str) -> Answer:
        """Measure a loaded group, or one more epoch, fork or hosted device of it."""
        if what == "group":
            return {"bytes": self._group_memory()}
        copies = {"epoch": self._make_epochs, "fork": self._make_forks, "device": self._make_devices}[what]
        return {"bytes": sorted(memory_of(copies) for _ in range(_BATCHES))[_BATCHES // 2] // _COPIES}

    def _group_memory(self) -> int:
        saved, rows = self._saved()
        return memory_of(lambda: self._load(saved, rows))

    def _make_epochs(self) -> object:
        """Let epochs follow one another, and keep them all."""
        kept, seat = [], self._taken
        for _ in range(_COPIES):
            staged = self._commit_at(seat)
            seat = replace(seat, state=staged.state, keys=staged.private_keys)
            kept.append(seat)
        return kept

    def _make_forks(self) -> object:
        """Let epochs follow the same one, each with a copy of what the parent keeps."""
        kept = []
        for _ in range(_COPIES):
            staged = self._commit_at(self._taken)
            kept.append((staged.state, staged.parent, staged.private_keys))
        return kept

    def _make_devices(self) -> object:
        """Hold as many private keys for one more leaf as its path has, and know the leaf for an own one."""
        seat = self._taken
        path = seat.state.public.tree.filtered_direct_path(seat.leaf)
        kept = []
        for number in range(_COPIES):
            client = make_client(self._suite, f"device {number}", self._random)
            keys = {self._random(32): Secret(self._random(32)) for _ in range(len(path) + 1)}
            kept.append((client, keys, replace(seat.state, own_leaves=frozenset({seat.leaf, LeafIndex(number)}))))
        return kept

    # Helpers

    @property
    def _taken(self) -> _Seat:
        if self._seat is None:
            raise LookupError("no seat is taken")
        return self._seat

    def _new_bundle(self, name: str) -> tuple[KeyPackageBundle, Client]:
        client = make_client(self._suite, name, self._random)
        return create_key_package(self._suite, client, self._lifetime, self._random), client

    def _commit_of(self, *proposals: ProposalBody) -> StagedCommit:
        return self._commit_at(self._taken, *proposals)

    def _commit_at(self, seat: _Seat, *proposals: ProposalBody) -> StagedCommit:
        return create_commit(seat.state, seat.client, seat.leaf, proposals, self._random, self._options)

    @staticmethod
    def _welcome_bytes(staged: StagedCommit) -> int:
        return 0 if staged.welcome is None else len(encode_message(staged.welcome))

    def _say(self, seat: _Seat, state: GroupState) -> tuple[bytes, GroupState]:
        sent = encrypt(state, seat.client, seat.leaf, _TEXT, self._random)
        return sent.message, sent.state

    @staticmethod
    def _opening(state: GroupState, data: bytes) -> Runs:
        def run() -> int:
            open_message(state, decode(MLSMessage, data))
            return len(data)

        return lambda: run

    @staticmethod
    def _read(data: str, kind: type[Any]) -> Any:
        body = decode(MLSMessage, bytes.fromhex(data)).body
        if not isinstance(body, kind):
            raise TypeError(f"not a {kind.__name__}")
        return body

    def _decode_group_info(self, data: bytes) -> GroupInfo:
        body = decode(MLSMessage, data).body
        if not isinstance(body, GroupInfo):
            raise TypeError("not a GroupInfo")
        return body

    def _tree_of(self, info: GroupInfo) -> RatchetTree:
        (data,) = (each.extension_data for each in info.extensions if each.extension_type == ExtensionType.RATCHET_TREE)
        return RatchetTree.decode(self._suite, data)

    def _saved(self) -> tuple[bytes, dict[bytes, bytes]]:
        state = self._taken.state
        return encode_state(state), dict(new_nodes(state.public.tree, lambda _: False))

    def _load(self, saved: bytes, rows: Mapping[bytes, bytes]) -> GroupState:
        def load(suite: int, tree_hash: bytes, width: int) -> RatchetTree:
            return load_tree(self._suite, tree_hash, width, rows.__getitem__)

        return decode_state(saved, self._rule, load)


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suite", type=int, default=1)
    parser.add_argument("--key-schedule", choices=sorted(KEY_SCHEDULES), default="rfc9420")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    randbytes = random.Random(f"{chosen.seed} contestant").randbytes
    serve(DMLSContestant(cipher_suite(chosen.suite), KEY_SCHEDULES[chosen.key_schedule], randbytes, int(time.time())))


if __name__ == "__main__":
    main()
