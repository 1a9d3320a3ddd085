"""rfc9420 (pure Python), package `rfc9420`, through its protocol layer.

The layer above is not used: it gives a joiner no private key for its leaf, without which most commits cannot be processed, and it
answers what it parses from a cache of all that it has sent. A group changes in place: each run has a copy of its own.
"""

from __future__ import annotations

import contextlib
import copy
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import metadata
from types import MappingProxyType
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rfc9420 import CipherSuiteId, DefaultCryptoProvider, ProtocolMLSGroup, PublicGroup, Sender, SenderType
from rfc9420.extensions.extensions import build_capabilities_data
from rfc9420.messages.data_structures import Credential, Signature
from rfc9420.messages.key_packages import KeyPackage, LeafNode
from rfc9420.messages.messages import MLSMessage, MLSPlaintext

from benchmarks.group_operations.contestants.allocation import memory_of
from benchmarks.group_operations.contestants.contestant import Contestant, Run, Runs
from tests.interop.peers.drivers.json_lines import Answer, serve

__all__ = ["RFC9420Contestant"]

_SUITE = CipherSuiteId.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519
_TEXT = bytes(1024)

_REMARKS = {
    **dict.fromkeys(("add-all", "add"), "a proposal for each; the Welcome has an unencoded external_pub, of the epoch before"),
    **dict.fromkeys(("remove", "commit"), "invalid: the new leaf has the old one's key and signature, which does not verify"),
    "follow": "checks the signature of the commit, and does not enter its epoch",
    **dict.fromkeys(("save", "load"), "without unmerged leaves and ratchets: who loads it encrypts under keys that were used"),
}
_NOTES = dict.fromkeys(("decrypt", "first-message"), "takes messages without a signature, too")


@dataclass(frozen=True)
class _Client:
    """Who signs."""

    identity: bytes
    private_key: bytes
    public_key: bytes


@dataclass(frozen=True)
class _Bundle:
    """A key package, and the private keys of it."""

    client: _Client
    key_package: Any
    init_key: bytes
    encryption_key: bytes


class RFC9420Contestant(Contestant):
    """rfc9420."""

    name = "rfc9420"
    version = metadata.version("rfc9420")
    primitives = "cryptography (OpenSSL), HPKE by rfc9180 over it"
    seat = "follow"
    remarks = MappingProxyType(_REMARKS)
    notes = MappingProxyType(_NOTES)

    def __init__(self, now: int) -> None:
        """Begin; `now` is in seconds since the epoch."""
        super().__init__()
        self._crypto = DefaultCryptoProvider(_SUITE)
        self._lifetime = {"lifetime_not_before": now - 3_600, "lifetime_not_after": now + 30 * 86_400}
        self._bundle = self._new_key_package(_new_client("contestant"))
        self._newcomers: list[_Bundle] = []
        self._group: Any = None

    def do_key_package(self) -> Answer:
        """Make the client who will take the seat."""
        self._bundle = self._new_key_package(_new_client("contestant"))
        return {"key_package": _encode_key_package(self._bundle.key_package).hex()}

    def do_join(self, welcome: str) -> Answer:
        """Take the seat."""
        self._group = self._join(bytes.fromhex(welcome), self._bundle)
        return {}

    def do_follow(self, messages: list[str]) -> Answer:
        """Process commits."""
        for message in messages:
            _process(self._taken, bytes.fromhex(message))
        return {}

    def do_newcomers(self, count: int) -> Answer:
        """Make one key package, which works as often as it is used."""
        self._newcomers = [self._new_key_package(_new_client("newcomer"))]
        return {"key_packages": [_encode_key_package(bundle.key_package).hex() for bundle in self._newcomers]}

    def prepare_key_package(self) -> Runs:
        """Key package generation."""
        client = _new_client("somebody")
        return lambda: lambda: len(_encode_key_package(self._new_key_package(client).key_package))

    def prepare_create(self) -> Runs:
        """Create a group."""
        client = _new_client("founder")
        return _reading(b"", lambda: self._create(client))

    def prepare_add_all(self, key_packages: list[str]) -> Runs:
        """Add everybody else in one commit, whose Welcome carries the tree."""
        packages = [bytes.fromhex(data) for data in key_packages]
        client = _new_client("founder")
        return _on_copies(self._create(client), lambda group: _add(group, packages, client.private_key))

    def prepare_add(self, key_packages: list[str]) -> Runs:
        """Add one; the Welcome carries the tree."""
        packages = [bytes.fromhex(data) for data in key_packages]
        return _on_copies(self._taken, lambda group: _add(group, packages, self._key))

    def prepare_remove(self, leaf: int, **_: object) -> Runs:
        """Remove one."""
        return _on_copies(self._taken, lambda group: _commit(group, [group.create_remove_proposal(leaf, self._key)], self._key))

    def prepare_commit(self) -> Runs:
        """Commit a path and nothing else, and have the new epoch."""
        return _on_copies(self._taken, lambda group: _commit(group, [], self._key))

    def prepare_process(self, message: str) -> Runs:
        """Process a commit."""
        data = bytes.fromhex(message)
        return _on_copies(self._taken, lambda group: _process(group, data))

    def prepare_join(self, welcomes: list[str]) -> Runs:
        """Join from a Welcome with the tree."""
        (bundle,), (data,) = self._newcomers, map(bytes.fromhex, welcomes)
        return _reading(data, lambda: self._join(data, bundle))

    def prepare_encrypt(self) -> Runs:
        """Encrypt, after a first message."""
        group = copy.deepcopy(self._taken)
        _say(group, self._key)
        return _on_copies(group, lambda group: _say(group, self._key), _copy_ratchets)

    def prepare_decrypt(self, messages: list[str]) -> Runs:
        """Open a message of a sender of whom one was opened before."""
        first, data = map(bytes.fromhex, messages[:2])
        group = copy.deepcopy(self._taken)
        _open(group, first)
        return _on_copies(group, lambda group: _open(group, data), _copy_ratchets)

    def prepare_first_message(self, message: str) -> Runs:
        """Open the first message of a sender."""
        data = bytes.fromhex(message)
        return _on_copies(self._taken, lambda group: _open(group, data), _copy_ratchets)

    def prepare_save(self) -> Runs:
        """Write the whole state."""
        group = copy.deepcopy(self._taken)
        group.apply_own_commit(group.create_commit(self._key))
        return lambda: lambda: len(group.to_bytes())

    def prepare_load(self) -> Runs:
        """Read a state."""
        data = self._taken.to_bytes()
        return _reading(data, lambda: ProtocolMLSGroup.from_bytes(data, self._crypto))

    def prepare_follow(self, group_info: str, message: str) -> Runs:
        """Follow a commit without being a member."""
        public = PublicGroup.from_group_info(self._crypto, _decode(bytes.fromhex(group_info)))
        data = bytes.fromhex(message)
        return _reading(data, lambda: public.process_handshake(MLSPlaintext(_decode(data))))

    def do_memory(self, what: str) -> Answer:
        """Measure a loaded group."""
        if what != "group":
            raise LookupError(f"there is no {what} to measure")
        data = self._taken.to_bytes()
        return {"bytes": memory_of(lambda: ProtocolMLSGroup.from_bytes(data, self._crypto))}

    @property
    def _taken(self) -> Any:
        if self._group is None:
            raise LookupError("no seat is taken")
        return self._group

    @property
    def _key(self) -> bytes:
        return self._bundle.client.private_key

    def _create(self, client: _Client) -> Any:
        """Create a group; of a founder's key package, nothing but the leaf is used."""
        return ProtocolMLSGroup.create(os.urandom(16), KeyPackage(leaf_node=self._new_leaf(client)[0]), self._crypto)

    def _join(self, data: bytes, bundle: _Bundle) -> Any:
        keys = {"key_package": bundle.key_package, "encryption_private_key": bundle.encryption_key}
        return ProtocolMLSGroup.from_welcome(_decode(data), bundle.init_key, self._crypto, **keys)

    def _new_leaf(self, client: _Client) -> tuple[Any, bytes]:
        private_key, public_key = self._crypto.generate_key_pair()
        leaf = LeafNode(
            encryption_key=public_key,
            signature_key=client.public_key,
            capabilities=build_capabilities_data([_SUITE], [], include_grease=False),
            credential=Credential(client.identity, client.public_key),
            **self._lifetime,
        )
        signature = self._crypto.sign_with_label(client.private_key, b"LeafNodeTBS", leaf.tbs_serialize())
        return replace(leaf, signature=Signature(signature)), private_key

    def _new_key_package(self, client: _Client) -> _Bundle:
        leaf, encryption_key = self._new_leaf(client)
        init_key, init_public_key = self._crypto.generate_key_pair()
        package = KeyPackage(init_key=init_public_key, leaf_node=leaf)
        signature = self._crypto.sign_with_label(client.private_key, b"KeyPackageTBS", package.tbs_serialize())
        return _Bundle(client, replace(package, signature=Signature(signature)), init_key, encryption_key)


def _new_client(name: str) -> _Client:
    key = Ed25519PrivateKey.generate()
    return _Client(name.encode(), key.private_bytes_raw(), key.public_key().public_bytes_raw())


def _decode(data: bytes) -> Any:
    return MLSMessage.deserialize(data).get_parsed_content()


def _encode_key_package(key_package: Any) -> bytes:
    return bytes(MLSMessage.from_key_package(key_package).serialize())


def _add(group: Any, key_packages: list[bytes], key: bytes) -> int:
    return _commit(group, [group.create_add_proposal(_decode(data), key) for data in key_packages], key)


def _commit(group: Any, proposals: list[Any], key: bytes) -> int:
    """Commit proposals by reference; return the bytes of all messages."""
    with contextlib.redirect_stdout(sys.stderr):  # the library prints what it refuses
        for proposal in proposals:
            group.process_proposal(proposal, Sender(group.get_own_leaf_index(), SenderType.MEMBER))
    pending = group.create_commit(key)
    messages = [MLSMessage.from_public_message(each.auth_content) for each in (*proposals, pending.commit_message)]
    return sum(len(message.serialize()) for message in (*messages, *map(MLSMessage.from_welcome, pending.welcomes)))


def _process(group: Any, data: bytes) -> int:
    content = _decode(data)
    group.process_commit(MLSPlaintext(content), content.tbs.framed_content.sender.sender)
    return len(data)


def _say(group: Any, key: bytes) -> int:
    return len(MLSMessage.from_private_message(group.protect(_TEXT, signing_key=key)).serialize())


def _open(group: Any, data: bytes) -> int:
    group.unprotect(_decode(data))
    return len(data)


def _reading(data: bytes, read: Callable[[], object]) -> Runs:
    def run() -> int:
        read()
        return len(data)

    return lambda: run


def _copy_ratchets(group: Any) -> Any:
    """Copy what messages change, for that is done in less time than a message takes."""
    copied = copy.copy(group)
    copied._secret_tree = copy.deepcopy(group._secret_tree)
    return copied


def _on_copies(group: Any, do: Callable[[Any], int], copied: Callable[[Any], Any] = copy.deepcopy) -> Runs:
    def make_ready() -> Run:
        mine = copied(group)
        return lambda: do(mine)

    return make_ready


def main() -> None:
    """Serve."""
    serve(RFC9420Contestant(int(time.time())))


if __name__ == "__main__":
    main()
