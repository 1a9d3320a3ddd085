"""pure-mls (pure Python), package `pure-mls`: groups of its own, since it can be in none with others.

A member holds no private keys but that of its leaf, which is why a group can be made here without everybody processing
everybody's commit: whoever commits next does so from the state that the last one came to.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from types import MappingProxyType
from typing import Any

from pure_mls import EpochState, GroupContext, KeyPackage, MLSGroup, MLSMessage, RatchetTree
from pure_mls.keys import KemKey, SignatureKey

from benchmarks.group_operations.contestants.allocation import memory_of
from benchmarks.group_operations.contestants.contestant import Contestant, Run, Runs
from tests.interop.peers.drivers.json_lines import Answer, serve

__all__ = ["PureMLSContestant"]

_SEAT = 1
_TEXT = bytes(1024)

_REMARKS = {
    "*": "messages and signatures in a format of its own, which nobody else reads",
    **dict.fromkeys(("add", "remove", "commit", "process"), "a commit carries the whole tree, and one more secret for everybody"),
    **dict.fromkeys(("encrypt", "decrypt", "first-message"), "messages are not signed"),
    **dict.fromkeys(("save", "load"), "without ratchets: who loads it encrypts under keys that were used"),
}


@dataclass(frozen=True)
class _Client:
    """Who signs, and has a leaf."""

    signature_key: Any = field(default_factory=SignatureKey)
    leaf_key: Any = field(default_factory=KemKey)
    init_key: Any = field(default_factory=KemKey)

    def key_package(self) -> Any:
        """Make a key package."""
        return KeyPackage.create(
            self.leaf_key.public_bytes(),
            self.init_key.public_bytes(),
            self.signature_key.public_bytes(),
            self.signature_key.public_bytes(),
            self.signature_key.sign,
        )


class PureMLSContestant(Contestant):
    """pure-mls."""

    name = "pure-mls"
    version = metadata.version("pure-mls")
    primitives = "cryptography (OpenSSL)"
    seat = "build"
    remarks = MappingProxyType(_REMARKS)

    def __init__(self) -> None:
        """Begin without a group."""
        super().__init__()
        self._members: list[Any] = []

    def do_key_package(self) -> Answer:
        """Make a key package, which nobody else reads."""
        return {"key_package": _encode_key_package(_Client().key_package()).hex()}

    def do_build(self, tree: str, size: int) -> Answer:
        """Make a group, and let everybody commit once if its tree is to be full."""
        clients = [_Client() for _ in range(size)]
        nodes = RatchetTree(1 << (size - 1).bit_length())
        for leaf, client in enumerate(clients):
            nodes.set_leaf(2 * leaf, client.key_package().leaf_node)
        group_id = os.urandom(16)
        context = GroupContext(group_id, 0, nodes.tree_hash(), b"").to_bytes()
        state = EpochState.genesis(group_id, nodes, group_context_bytes=context)
        self._members = [MLSGroup(state, leaf, client.signature_key, client.leaf_key) for leaf, client in enumerate(clients)]
        if tree == "full":
            last = self._members[0]
            for leaf in range(size):
                last, _ = _at_epoch_of(last, self._members[leaf]).update_key()
                self._members[leaf] = last
            self._members = [_at_epoch_of(last, member) for member in self._members]
        return {}

    def do_newcomers(self, count: int) -> Answer:
        """Make none: who is to join here is added here."""
        return {"key_packages": []}

    def prepare_key_package(self) -> Runs:
        """Key package generation."""
        signature_key = SignatureKey()
        return lambda: lambda: len(_encode_key_package(_Client(signature_key).key_package()))

    def prepare_create(self) -> Runs:
        """Create a group."""
        signature_key = SignatureKey()

        def run() -> int:
            MLSGroup.create(os.urandom(16), signature_key, KemKey())
            return 0

        return lambda: run

    def prepare_add(self, **_: object) -> Runs:
        """Add one; the Welcome carries the tree."""
        data = _encode_key_package(_Client().key_package())
        return self._on_copies(lambda group: sum(map(len, _add(group, data))))

    def prepare_remove(self, leaf: int, **_: object) -> Runs:
        """Remove one."""
        return self._on_copies(lambda group: len(_encode_commit(group.remove_member(leaf)[1])))

    def prepare_commit(self) -> Runs:
        """Commit a path and nothing else, and have the new epoch."""
        return self._on_copies(lambda group: len(_encode_commit(group.update_key()[1])))

    def prepare_process(self, **_: object) -> Runs:
        """Process a commit."""
        data = _encode_commit(self._farthest().update_key()[1])

        def run(group: Any) -> int:
            group.process_update(MLSMessage.from_bytes(data).unwrap_commit())
            return len(data)

        return self._on_copies(run)

    def prepare_join(self, **_: object) -> Runs:
        """Join from a Welcome with the tree."""
        client = _Client()
        data = _add(self._member(0), _encode_key_package(client.key_package()))[1]

        def run() -> int:
            MLSGroup.join(MLSMessage.from_bytes(data).unwrap_welcome(), client.signature_key, client.init_key)
            return len(data)

        return lambda: run

    def prepare_encrypt(self) -> Runs:
        """Encrypt, after a first message."""

        def make_ready() -> Run:
            group = self._member(_SEAT)
            group.encrypt_application_message(_TEXT)
            return lambda: len(group.encrypt_application_message(_TEXT))

        return make_ready

    def prepare_decrypt(self, **_: object) -> Runs:
        """Open a message of a sender of whom one was opened before."""
        sender = self._farthest()
        first, data = (sender.encrypt_application_message(_TEXT) for _ in range(2))

        def make_ready() -> Run:
            group = self._member(_SEAT)
            group.decrypt_application_message(first)
            return lambda: _open(group, data)

        return make_ready

    def prepare_first_message(self, **_: object) -> Runs:
        """Open the first message of a sender."""
        data = self._farthest().encrypt_application_message(_TEXT)
        return self._on_copies(lambda group: _open(group, data))

    def prepare_save(self) -> Runs:
        """Write the whole state."""
        group, _ = self._member(_SEAT).update_key()
        return lambda: lambda: len(group.to_bytes())

    def prepare_load(self) -> Runs:
        """Read a state."""
        data = self._member(_SEAT).to_bytes()

        def run() -> int:
            MLSGroup.from_bytes(data)
            return len(data)

        return lambda: run

    def do_memory(self, what: str) -> Answer:
        """Measure a loaded group."""
        if what != "group":
            raise LookupError(f"there is no {what} to measure")
        data = self._member(_SEAT).to_bytes()
        return {"bytes": memory_of(lambda: MLSGroup.from_bytes(data))}

    def _member(self, leaf: int) -> Any:
        """Return a member without ratchets; the state of an epoch does not change."""
        if not self._members:
            raise LookupError("there is no group")
        return _at_epoch_of(self._members[leaf], self._members[leaf])

    def _farthest(self) -> Any:
        return self._member(-1 if len(self._members) > _SEAT + 1 else 0)

    def _on_copies(self, do: Callable[[Any], int]) -> Runs:
        def make_ready() -> Run:
            group = self._member(_SEAT)
            return lambda: do(group)

        return make_ready


def _at_epoch_of(other: Any, member: Any) -> Any:
    """Return a member in the epoch that another one is in."""
    return MLSGroup(other.state, member.my_index, member.my_sig_key, member.my_kem_key, other.interim_transcript_hash)


def _encode_key_package(key_package: Any) -> bytes:
    return bytes(MLSMessage.wrap_key_package(key_package).to_bytes())


def _encode_commit(update: Any) -> bytes:
    return bytes(MLSMessage.wrap_commit(update).to_bytes())


def _add(group: Any, key_package: bytes) -> tuple[bytes, bytes]:
    """Return a commit and a Welcome."""
    _, welcome, update = group.add_member(MLSMessage.from_bytes(key_package).unwrap_key_package())
    return _encode_commit(update), bytes(MLSMessage.wrap_welcome(welcome).to_bytes())


def _open(group: Any, data: bytes) -> int:
    group.decrypt_application_message(data)
    return len(data)


def main() -> None:
    """Serve."""
    serve(PureMLSContestant())


if __name__ == "__main__":
    main()
