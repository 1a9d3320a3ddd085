"""OpenMLS (Rust) with RustCrypto, package `gbp-stack`, which shows the membership of a group and little else.

A context there is one client with one key package and one group: at first a group of its own, then the one that it joins. It
changes in place: each run has one of its own, restored from the state at the seat. Key packages are bare; the header of an
MLSMessage is put on and taken off here.
"""

from __future__ import annotations

from importlib import metadata
from types import MappingProxyType
from typing import Any

from gbp_stack import MlsContext

from benchmarks.group_operations.contestants.allocation import resident_memory_of
from benchmarks.group_operations.contestants.contestant import Contestant, Runs, keeping, on_each
from tests.interop.peers.drivers.json_lines import Answer, serve

__all__ = ["OpenMLSContestant"]

_KEY_PACKAGE_HEADER = bytes.fromhex("00010005")

_NOTES = {
    "key-package": "with a signature key and a group",
    "create": "with a signature key and a key package",
    "add": "with a path",
    "apply": "of a removal",
    **dict.fromkeys(("decrypt", "first-message"), "the text is not handed out"),
    "save": "after a removal; all of the state, with the group that the client began with",
    "load": "with the group that the client began with",
}


class OpenMLSContestant(Contestant):
    """OpenMLS."""

    name = "openmls"
    version = metadata.version("gbp-stack")
    primitives = "RustCrypto, dalek"
    seat = "join"
    handshake = "private"
    notes = MappingProxyType(_NOTES)

    def __init__(self) -> None:
        """Begin without a seat."""
        super().__init__()
        self._client = MlsContext.create("contestant")
        self._newcomer = b""
        self._state: bytes | None = None

    def do_key_package(self) -> Answer:
        """Make the client who will take the seat."""
        self._client = MlsContext.create("contestant")
        return {"key_package": _key_package(self._client).hex()}

    def do_join(self, welcome: str) -> Answer:
        """Take the seat."""
        self._client.accept_welcome(bytes.fromhex(welcome))
        self._state = self._client.export_state()
        return {}

    def do_newcomers(self, count: int) -> Answer:
        """Make one key package, which works as often as its client is restored."""
        client = MlsContext.create("newcomer")
        self._newcomer = client.export_state()
        return {"key_packages": [_key_package(client).hex()]}

    # Operations

    def prepare_key_package(self) -> Runs:
        """Key package generation."""

        def run(kept: list[object]) -> int:
            client = MlsContext.create("somebody")
            kept.append(client)
            return len(_key_package(client))

        return on_each(list, run)

    def prepare_create(self) -> Runs:
        """Create a group."""
        return keeping(lambda: MlsContext.create("founder"), 0)

    def prepare_add(self, key_packages: list[str]) -> Runs:
        """Add one; the Welcome carries the tree."""
        (package,) = map(bytes.fromhex, key_packages)

        def add(group: Any) -> int:
            commit, welcome = group.invite_full(package.removeprefix(_KEY_PACKAGE_HEADER))
            return len(commit) + len(welcome)

        return on_each(self._load, add)

    def prepare_remove(self, leaf: int, **_: object) -> Runs:
        """Remove one."""
        return on_each(self._load, lambda group: len(group.remove_member(leaf)))

    def prepare_apply(self) -> Runs:
        """Enter the epoch of the own commit."""

        def apply(made: tuple[Any, int]) -> int:
            group, size = made
            group.finalize_commit()
            return size

        return on_each(self._commit, apply)

    def prepare_process(self, message: str) -> Runs:
        """Process a commit, and enter its epoch."""
        data = bytes.fromhex(message)

        def process(group: Any) -> int:
            group.process_message(data)
            group.finalize_commit()
            return len(data)

        return on_each(self._load, process)

    def prepare_join(self, welcomes: list[str]) -> Runs:
        """Join from a Welcome with the tree."""
        newcomer, (data,) = self._newcomer, map(bytes.fromhex, welcomes)

        def join(client: Any) -> int:
            client.accept_welcome(data)
            return len(data)

        return on_each(lambda: MlsContext.restore_state(newcomer), join)

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
        """Write the state after a commit."""

        def make_group() -> Any:
            group, _ = self._commit()
            group.finalize_commit()
            return group

        return on_each(make_group, lambda group: len(group.export_state()))

    def prepare_load(self) -> Runs:
        """Read a state."""
        return keeping(self._load, len(self._taken))

    def do_memory(self, what: str) -> Answer:
        """Measure a loaded group."""
        if what != "group":
            raise LookupError(f"there is no {what} to measure")
        return {"bytes": resident_memory_of(self._load)}

    # Helpers

    @property
    def _taken(self) -> bytes:
        if self._state is None:
            raise LookupError("no seat is taken")
        return self._state

    def _load(self) -> Any:
        return MlsContext.restore_state(self._taken)

    def _commit(self) -> tuple[Any, int]:
        """Commit the removal of the founder, without entering the epoch; return the group, and the bytes of the commit."""
        group = self._load()
        return group, len(group.remove_member(0))


def _key_package(client: Any) -> bytes:
    return _KEY_PACKAGE_HEADER + bytes(client.export_key_package())


def _open(group: Any, data: bytes) -> int:
    group.process_message(data)
    return len(data)


if __name__ == "__main__":
    serve(OpenMLSContestant())
