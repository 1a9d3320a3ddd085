"""mls-rs (Rust) with OpenSSL, through its Python binding, package `agentvault-mls-rs-uniffi`.

A group changes in place there and cannot be copied: each run has one of its own, loaded from what was saved at the seat.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

import mls_rs_uniffi as mls

from benchmarks.group_operations.contestants.allocation import resident_memory_of
from benchmarks.group_operations.contestants.contestant import Contestant, Runs, keeping, on_each
from tests.interop.peers.drivers.json_lines import Answer, serve

__all__ = ["MlsRsContestant"]

_SUITE = mls.CipherSuite.CURVE25519_AES128
_TEXT = bytes(1024)


@dataclass(frozen=True)
class _Saved:
    """A group as it is kept: a snapshot, and the secrets of earlier epochs by number."""

    group_id: bytes = b""
    snapshot: bytes | None = None
    epochs: dict[int, bytes] = field(default_factory=dict)


class _Storage(mls.GroupStateStorage):  # type: ignore[misc]
    """Keeps one group in memory, and of the last write the number of bytes."""

    def __init__(self) -> None:
        self.saved = _Saved()
        self.written = 0

    def state(self, group_id: bytes) -> bytes | None:
        """Return the snapshot."""
        return self.saved.snapshot

    def epoch(self, group_id: bytes, epoch_id: int) -> bytes | None:
        """Return an earlier epoch."""
        return self.saved.epochs.get(epoch_id)

    def write(self, group_id: bytes, group_state: bytes, epoch_inserts: list[Any], epoch_updates: list[Any]) -> None:
        """Take a snapshot, and those earlier epochs that are new or changed."""
        changed = {record.id: record.data for record in (*epoch_inserts, *epoch_updates)}
        self.saved = _Saved(group_id, group_state, self.saved.epochs | changed)
        self.written = len(group_state) + sum(map(len, changed.values()))

    def max_epoch_id(self, group_id: bytes) -> int | None:
        """Return the last of the earlier epochs."""
        return max(self.saved.epochs, default=None)


class _Member:
    """A client, and what it keeps."""

    def __init__(self, name: str) -> None:
        self.storage = _Storage()
        self.client = _new_client(name.encode(), mls.generate_signature_keypair(_SUITE), self.storage)

    def new_key_package(self) -> bytes:
        return bytes(self.client.generate_key_package_message().to_bytes())

    def join(self, welcome: bytes) -> Any:
        return self.client.join_group(None, _read(welcome)).group

    def save(self, group: Any) -> int:
        group.write_to_storage()
        return self.storage.written

    def load(self, saved: _Saved) -> Any:
        self.storage.saved = saved
        return self.client.load_group(saved.group_id)


class MlsRsContestant(Contestant):
    """mls-rs."""

    name = "mls-rs"
    version = metadata.version("agentvault-mls-rs-uniffi")
    primitives = "OpenSSL"

    def __init__(self) -> None:
        """Begin without a seat."""
        super().__init__()
        self._member = _Member("contestant")
        self._newcomer = _Member("newcomer")
        self._saved: _Saved | None = None

    def do_key_package(self) -> Answer:
        """Make the client who will take the seat."""
        self._member = _Member("contestant")
        return {"key_package": self._member.new_key_package().hex()}

    def do_join(self, welcome: str) -> Answer:
        """Take the seat."""
        self._take(self._member.join(bytes.fromhex(welcome)))
        return {}

    def do_update(self) -> Answer:
        """Commit nothing but a path."""
        group, message = self._commit()
        self._take(group)
        return {"commit": message.to_bytes().hex()}

    def do_newcomers(self, count: int) -> Answer:
        """Make one key package, which works as often as it is used while nobody saves the groups that it leads to."""
        self._newcomer = _Member("newcomer")
        return {"key_packages": [self._newcomer.new_key_package().hex()]}

    # Operations

    def prepare_key_package(self) -> Runs:
        """Key package generation."""
        member = _Member("somebody")
        return lambda: lambda: len(member.new_key_package())

    def prepare_create(self) -> Runs:
        """Create a group."""
        client = _Member("founder").client
        return keeping(lambda: client.create_group(None), 0)

    def prepare_add_all(self, key_packages: list[str]) -> Runs:
        """Add everybody else in one commit, whose Welcome carries the tree."""
        client, packages = _Member("founder").client, [bytes.fromhex(data) for data in key_packages]
        return on_each(lambda: client.create_group(None), lambda group: _add(group, packages))

    def prepare_add(self, key_packages: list[str]) -> Runs:
        """Add one; the Welcome carries the tree."""
        packages = [bytes.fromhex(data) for data in key_packages]
        return on_each(self._load, lambda group: _add(group, packages))

    def prepare_remove(self, identity: str, signature_key: str, **_: object) -> Runs:
        """Remove one."""
        leaver = _signing_identity(bytes.fromhex(identity), bytes.fromhex(signature_key))
        return on_each(self._load, lambda group: len(group.remove_members([leaver]).commit_message.to_bytes()))

    def prepare_commit(self) -> Runs:
        """Commit a path and nothing else."""
        return on_each(self._load, lambda group: len(group.commit().commit_message.to_bytes()))

    def prepare_apply(self) -> Runs:
        """Enter the epoch of the own commit."""
        size = len(self._pend()[1].to_bytes())

        def apply(made: tuple[Any, Any]) -> int:
            group, message = made
            group.process_incoming_message(message)
            return size

        return on_each(self._pend, apply)

    def prepare_process(self, message: str) -> Runs:
        """Process a commit."""
        data = bytes.fromhex(message)
        return on_each(self._load, lambda group: _open(group, data))

    def prepare_join(self, welcomes: list[str]) -> Runs:
        """Join from a Welcome with the tree."""
        newcomer, (data,) = self._newcomer, map(bytes.fromhex, welcomes)
        return keeping(lambda: newcomer.join(data), len(data))

    def prepare_encrypt(self) -> Runs:
        """Encrypt, after a first message."""
        group = self._load()
        group.encrypt_application_message(_TEXT)
        return lambda: lambda: len(group.encrypt_application_message(_TEXT).to_bytes())

    def prepare_decrypt(self, messages: list[str]) -> Runs:
        """Open the next message of a sender of whom one was opened before."""
        group, waiting = self._load(), map(bytes.fromhex, messages)
        _open(group, next(waiting))
        return on_each(lambda: next(waiting), lambda data: _open(group, data))

    def prepare_first_message(self, message: str) -> Runs:
        """Open the first message of a sender."""
        return self.prepare_process(message)

    def prepare_save(self) -> Runs:
        """Write a snapshot after a commit, and the secrets of the epoch before."""
        return on_each(lambda: self._commit()[0], self._member.save)

    def prepare_load(self) -> Runs:
        """Read a snapshot."""
        return keeping(self._load, len(self._taken.snapshot or b""))

    def do_memory(self, what: str) -> Answer:
        """Measure a loaded group."""
        if what != "group":
            raise LookupError(f"there is no {what} to measure")
        return {"bytes": resident_memory_of(self._load)}

    # Helpers

    @property
    def _taken(self) -> _Saved:
        if self._saved is None:
            raise LookupError("no seat is taken")
        return self._saved

    def _take(self, group: Any) -> None:
        self._member.save(group)
        self._saved = self._member.storage.saved

    def _load(self) -> Any:
        return self._member.load(self._taken)

    def _pend(self) -> tuple[Any, Any]:
        """Commit nothing but a path; return the group before that, and the commit."""
        group = self._load()
        return group, group.commit().commit_message

    def _commit(self) -> tuple[Any, Any]:
        """Commit nothing but a path; return the group after that, and the commit."""
        group, message = self._pend()
        group.process_incoming_message(message)
        return group, message


def _new_client(identity: bytes, keys: Any, storage: _Storage) -> Any:
    return mls.Client(identity, keys, mls.ClientConfig(group_state_storage=storage, use_ratchet_tree_extension=True))


def _signing_identity(identity: bytes, public_key: bytes) -> Any:
    """Get the opaque object that a member is removed by, from a client that has its public key but can sign nothing."""
    secret_key = mls.generate_signature_keypair(_SUITE).secret_key
    keys = mls.SignatureKeypair(cipher_suite=_SUITE, public_key=mls.SignaturePublicKey(bytes=public_key), secret_key=secret_key)
    return _new_client(identity, keys, _Storage()).signing_identity()


def _read(data: bytes) -> Any:
    return mls.Message.from_bytes(data)


def _add(group: Any, key_packages: list[bytes]) -> int:
    output = group.add_members([_read(data) for data in key_packages])
    return len(output.commit_message.to_bytes()) + len(output.welcome_message.to_bytes())


def _open(group: Any, data: bytes) -> int:
    group.process_incoming_message(_read(data))
    return len(data)


if __name__ == "__main__":
    serve(MlsRsContestant())
