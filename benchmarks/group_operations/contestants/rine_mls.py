"""mls-rs (Rust) with RustCrypto, package `rine-mls`.

A group changes in place there, and is kept in files: each run has one of its own, loaded from the files that were written at the
seat. They are in memory where the system has a place for that, since other implementations need not wait for a disk either.
Every commit is applied at once, with a Welcome for each who is added and a GroupInfo of the new epoch; there is none without
proposals. Application messages have one byte in front.
"""

from __future__ import annotations

import os
import tempfile
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any

import rine_mls

from benchmarks.group_operations.contestants.allocation import resident_memory_of
from benchmarks.group_operations.contestants.contestant import Contestant, Runs, keeping, on_each
from tests.interop.peers.drivers.json_lines import Answer, serve

__all__ = ["RineMLSContestant"]

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  not a name that others could guess: a directory is made below it
_TAG = bytes([rine_mls.APP_MESSAGE_TAG])
_TEXT = bytes(1024)
_MOST_WELCOMES = 2_000
"""There is one for each who is added, with the tree: what they take grows with the square of the group."""

_NOTES = {
    "key-package": "with a file",
    "create": "with a first commit and a GroupInfo",
    "add-all": "with the new epoch, a GroupInfo, and a Welcome with the tree for each",
    "add": "with a path, the new epoch and a GroupInfo",
    "remove": "with the new epoch and a GroupInfo",
    "external-join": "with a GroupInfo",
    "encrypt": "with a file of the last texts",
    "save": "after a removal, to files",
    "load": "from a file",
}


class _Member:
    """A client, and its files.

    Attributes:
        client: the client.
        saved: contents of the files at the seat.
    """

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(dir=_SHARED_MEMORY if _SHARED_MEMORY.is_dir() else None)
        self._root = Path(self._directory.name)
        self.client = rine_mls.MlsClient(str(self._root), os.urandom(32), rine_mls.CIPHER_SUITE_CLASSICAL)
        self.saved: dict[Path, bytes] = {}

    def files(self) -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in self._root.rglob("*") if path.is_file()}

    def load(self, group_id: bytes) -> Any:
        """Load a group from the files at the seat, whatever was written since."""
        for path in self.files().keys() - self.saved.keys():
            path.unlink()
        for path, data in self.saved.items():
            path.write_bytes(data)
        return self.client.load_group(group_id)


class RineMLSContestant(Contestant):
    """rine-mls."""

    name = "rine-mls"
    version = metadata.version("rine-mls")
    primitives = "RustCrypto, dalek"
    seat = "join"
    notes = MappingProxyType(_NOTES)

    def __init__(self) -> None:
        """Begin without a seat."""
        super().__init__()
        self._member = _Member()
        self._newcomer = _Member()
        self._group_id: bytes | None = None

    def do_key_package(self) -> Answer:
        """Make the client who will take the seat."""
        self._member = _Member()
        return {"key_package": self._member.client.generate_key_package().hex()}

    def do_join(self, welcome: str) -> Answer:
        """Take the seat."""
        group = self._member.client.join_from_welcome(bytes.fromhex(welcome))
        group.save()
        self._member.saved = self._member.files()
        self._group_id = group.group_id()
        return {}

    def do_newcomers(self, count: int) -> Answer:
        """Make one key package, which works as often as it is used while nobody saves the groups that it leads to."""
        self._newcomer = _Member()
        return {"key_packages": [self._newcomer.client.generate_key_package().hex()]}

    # Operations

    def prepare_key_package(self) -> Runs:
        """Key package generation."""
        member = _Member()
        return lambda: lambda: len(member.client.generate_key_package())

    def prepare_create(self) -> Runs:
        """Create a group."""
        founder = _Member()
        return keeping(lambda: founder.client.create_group(os.urandom(16)), 0)

    def prepare_add_all(self, key_packages: list[str]) -> Runs:
        """Add everybody else in one commit."""
        if len(key_packages) > _MOST_WELCOMES:
            raise LookupError(f"makes {len(key_packages)} Welcomes with the tree in each, which memory does not hold")
        founder, packages = _Member(), [bytes.fromhex(data) for data in key_packages]
        return on_each(lambda: founder.client.create_group(os.urandom(16)), lambda group: _add(group, packages))

    def prepare_add(self, key_packages: list[str]) -> Runs:
        """Add one; the Welcome carries the tree."""
        packages = [bytes.fromhex(data) for data in key_packages]
        return on_each(self._load, lambda group: _add(group, packages))

    def prepare_remove(self, leaf: int, **_: object) -> Runs:
        """Remove one."""
        return on_each(self._load, lambda group: len(group.remove_member(leaf).commit))

    def prepare_process(self, message: str) -> Runs:
        """Process a commit."""
        data = bytes.fromhex(message)

        def process(group: Any) -> int:
            group.apply_commit(data)
            return len(data)

        return on_each(self._load, process)

    def prepare_join(self, welcomes: list[str]) -> Runs:
        """Join from a Welcome with the tree."""
        newcomer, (data,) = self._newcomer, map(bytes.fromhex, welcomes)
        return keeping(lambda: newcomer.client.join_from_welcome(data), len(data))

    def prepare_external_join(self, group_info: str) -> Runs:
        """Judge the group of a GroupInfo, and commit from outside."""
        joiner, data = _Member(), bytes.fromhex(group_info)

        def join(kept: list[object]) -> int:
            group: Any = joiner.client.join_by_external_commit(data)
            kept.append(group)
            return len(group.last_commit().commit)

        return on_each(list, join)

    def prepare_encrypt(self) -> Runs:
        """Encrypt, after a first message."""

        def make_group() -> Any:
            group = self._load()
            group.encrypt_application_message(_TEXT)
            return group

        return on_each(make_group, lambda group: len(group.encrypt_application_message(_TEXT)) - len(_TAG))

    def prepare_decrypt(self, messages: list[str]) -> Runs:
        """Open the next message of a sender of whom one was opened before."""
        group, waiting = self._load(), map(bytes.fromhex, messages)
        _open(group, next(waiting))
        return on_each(lambda: next(waiting), lambda data: _open(group, data))

    def prepare_first_message(self, message: str) -> Runs:
        """Open the first message of a sender."""
        data = bytes.fromhex(message)
        return on_each(self._load, lambda group: _open(group, data))

    def prepare_save(self) -> Runs:
        """Write the state after a commit, and the secrets of the epoch before."""
        self._remove_founder().save()
        size = sum(len(data) for path, data in self._member.files().items() if data != self._member.saved.get(path))

        def save(group: Any) -> int:
            group.save()
            return size

        return on_each(self._remove_founder, save)

    def prepare_load(self) -> Runs:
        """Read a state."""
        client, group_id = self._member.client, self._taken
        self._load()
        return keeping(lambda: client.load_group(group_id), sum(map(len, self._member.saved.values())))

    def do_memory(self, what: str) -> Answer:
        """Measure a loaded group."""
        if what != "group":
            raise LookupError(f"there is no {what} to measure")
        client, group_id = self._member.client, self._taken
        self._load()
        return {"bytes": resident_memory_of(lambda: client.load_group(group_id))}

    # Helpers

    @property
    def _taken(self) -> bytes:
        if self._group_id is None:
            raise LookupError("no seat is taken")
        return self._group_id

    def _load(self) -> Any:
        return self._member.load(self._taken)

    def _remove_founder(self) -> Any:
        group = self._load()
        group.remove_member(0)
        return group


def _add(group: Any, key_packages: list[bytes]) -> int:
    bundle = group.add_members(key_packages)
    return len(bundle.commit) + sum(map(len, bundle.welcomes))


def _open(group: Any, data: bytes) -> int:
    group.decrypt_application_message(_TAG + data)
    return len(data)


if __name__ == "__main__":
    serve(RineMLSContestant())
