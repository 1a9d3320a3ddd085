"""Driver of mls-rs (Rust) through its Python binding, package `agentvault-mls-rs-uniffi`.

What the binding does not show is got round here, so that members of mls-rs can be compared and removed like all others:

- Epoch, tree hash and transcript come out of the snapshot that it hands to its storage; the epoch authenticator too.
- It removes members by an opaque object that only a client or a received message gives. A client made from the identity and the
  public key of whoever is to go gives that object.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import metadata
from itertools import count
from typing import Any

import mls_rs_uniffi as mls

from tests.interop.peers.drivers.exporter import SIZE, export
from tests.interop.peers.drivers.json_lines import Answer, Commands, serve

_SUITE = mls.CipherSuite.CURVE25519_AES128
_ABILITIES = [
    "send_public",
    "read_public",
    "read_private",
    "empty_commit",
    "several_proposals",
    "propose",
    "references",
    "messages",
    "far_out_of_order",
    "tree_out_of_band",
    "resumption_psk",
    "new_signature_keys",
    "join_any_tree",
    "add_basic_only",
]


class _Storage(mls.GroupStateStorage):  # type: ignore[misc]
    """Keeps the snapshots that the library writes; the resumption PSKs of earlier epochs live in `epochs`."""

    def __init__(self) -> None:
        self.snapshots: dict[bytes, bytes] = {}
        self.epochs: dict[bytes, dict[int, bytes]] = {}

    def state(self, group_id: bytes) -> bytes | None:
        return self.snapshots.get(bytes(group_id))

    def epoch(self, group_id: bytes, epoch_id: int) -> bytes | None:
        return self.epochs.get(bytes(group_id), {}).get(epoch_id)

    def write(self, group_id: bytes, group_state: bytes, epoch_inserts: list[Any], epoch_updates: list[Any]) -> None:
        self.snapshots[bytes(group_id)] = bytes(group_state)
        kept = self.epochs.setdefault(bytes(group_id), {})
        kept.update({record.id: bytes(record.data) for record in (*epoch_inserts, *epoch_updates)})

    def max_epoch_id(self, group_id: bytes) -> int | None:
        return max(self.epochs.get(bytes(group_id), {}), default=None)


@dataclass
class _Client:
    library: Any
    storage: _Storage


@dataclass
class _Group:
    client: _Client
    library: Any
    pending: Any = None


def _take_vector(data: bytes, start: int) -> tuple[bytes, int]:
    """Read one vector with a length of variable size; return it and where the next field starts."""
    width = 1 << (data[start] >> 6)
    length = int.from_bytes(data[start : start + width], "big") & ((1 << (8 * width - 2)) - 1)
    end = start + width + length
    return data[start + width : end], end


def _read_context(snapshot: bytes) -> dict[str, Any]:
    """Read the group context, which stands behind the snapshot's own version, the protocol version and the cipher suite."""
    group_id, at = _take_vector(snapshot, 6)
    epoch, at = int.from_bytes(snapshot[at : at + 8], "big"), at + 8
    tree_hash, at = _take_vector(snapshot, at)
    transcript, at = _take_vector(snapshot, at)
    return {
        "group_id": group_id.hex(),
        "epoch": epoch,
        "tree_hash": tree_hash.hex(),
        "confirmed_transcript_hash": transcript.hex(),
    }


def _find_epoch_authenticator(snapshot: bytes, exported: bytes) -> str:
    """Find the exporter secret in a snapshot by what it exports; the epoch authenticator stands behind it."""
    width = SIZE + 1
    for at in range(len(snapshot) - 2 * width, 0, -1):
        if snapshot[at] == snapshot[at + width] == SIZE and export(snapshot[at + 1 : at + width]) == exported:
            return snapshot[at + width + 1 : at + 2 * width].hex()
    raise LookupError("the snapshot does not hold the exporter secret")


@dataclass
class MlsRsCommands(Commands):
    """The commands, over clients by name and groups by handle."""

    clients: dict[str, _Client] = field(default_factory=dict)
    groups: dict[str, _Group] = field(default_factory=dict)
    numbers: Any = field(default_factory=count)

    def do_hello(self) -> Answer:
        version = metadata.version("agentvault-mls-rs-uniffi")
        return {"implementation": "mls-rs", "version": version, "suites": [1], "abilities": _ABILITIES}

    def do_client(self, client: str, identity: str, tree_extension: bool = True, **_: Any) -> Answer:
        keys, storage = mls.generate_signature_keypair(_SUITE), _Storage()
        config = mls.ClientConfig(group_state_storage=storage, use_ratchet_tree_extension=tree_extension)
        self.clients[client] = _Client(mls.Client(bytes.fromhex(identity), keys, config), storage)
        return {"signature_key": bytes(keys.public_key.bytes).hex()}

    def do_key_package(self, client: str) -> Answer:
        return {"key_package": self.clients[client].library.generate_key_package_message().to_bytes().hex()}

    def do_create(self, client: str, group_id: str, **_: Any) -> Answer:
        owner = self.clients[client]
        return self._enter(owner, owner.library.create_group(bytes.fromhex(group_id)))

    def do_join(self, client: str, welcome: str, ratchet_tree: str | None = None) -> Answer:
        owner = self.clients[client]
        tree = None if ratchet_tree is None else mls.RatchetTree(bytes=bytes.fromhex(ratchet_tree))
        return self._enter(owner, owner.library.join_group(tree, mls.Message.from_bytes(bytes.fromhex(welcome))).group)

    def do_commit(self, group: str, proposals: list[dict[str, Any]], **_: Any) -> Answer:
        """Commit what waits, and additions or removals by value: one kind at a time is all the binding knows."""
        entry = self.groups[group]
        kinds = {proposal["type"] for proposal in proposals}
        if not kinds:
            output = entry.library.commit()
        elif kinds == {"add"}:
            output = entry.library.add_members(_key_packages(proposals))
        elif kinds == {"remove"}:
            output = entry.library.remove_members(_leavers(proposals))
        else:
            raise LookupError(f"no way to commit {sorted(kinds)}")
        entry.pending = output.commit_message
        welcome, tree = output.welcome_message, output.ratchet_tree
        return {
            "commit": output.commit_message.to_bytes().hex(),
            "welcome": None if welcome is None else welcome.to_bytes().hex(),
            "ratchet_tree": None if tree is None else bytes(tree.bytes).hex(),
        }

    def do_propose(self, group: str, proposal: dict[str, Any], **_: Any) -> Answer:
        library = self.groups[group].library
        if proposal["type"] == "add":
            (message,) = library.propose_add_members(_key_packages([proposal]))
        elif proposal["type"] == "remove":
            (message,) = library.propose_remove_members(_leavers([proposal]))
        else:
            raise LookupError(f"no way to propose {proposal['type']}")
        return {"message": message.to_bytes().hex()}

    def do_merge(self, group: str) -> Answer:
        entry = self.groups[group]
        entry.library.process_incoming_message(entry.pending)
        entry.pending = None
        return {}

    def do_process(self, group: str, message: str) -> Answer:
        received = self.groups[group].library.process_incoming_message(mls.Message.from_bytes(bytes.fromhex(message)))
        if received.is_application_message():
            return {"type": "application", "data": bytes(received.data).hex()}
        if received.is_commit():
            return {"type": "commit", "removed": received.effect.is_removed()}
        return {"type": "proposal"}

    def do_encrypt(self, group: str, data: str, **_: Any) -> Answer:
        return {"message": self.groups[group].library.encrypt_application_message(bytes.fromhex(data)).to_bytes().hex()}

    def do_tree(self, group: str) -> Answer:
        return {"ratchet_tree": bytes(self.groups[group].library.export_tree().bytes).hex()}

    def do_state(self, group: str) -> Answer:
        entry = self.groups[group]
        entry.library.write_to_storage()
        (snapshot,) = entry.client.storage.snapshots.values()
        exported = bytes(entry.library.export_secret(b"exporter", b"", SIZE))
        authenticator = _find_epoch_authenticator(snapshot, exported)
        return {**_read_context(snapshot), "epoch_authenticator": authenticator, "exported": exported.hex()}

    def do_reload(self, group: str) -> Answer:
        """Write the state and go on with what is read back."""
        entry = self.groups[group]
        entry.library.write_to_storage()
        (group_id,) = entry.client.storage.snapshots
        entry.library = entry.client.library.load_group(group_id)
        return {}

    def _enter(self, client: _Client, library: Any) -> Answer:
        handle = str(next(self.numbers))
        self.groups[handle] = _Group(client, library)
        return {"group": handle}


def _key_packages(proposals: list[dict[str, Any]]) -> list[Any]:
    return [mls.Message.from_bytes(bytes.fromhex(proposal["key_package"])) for proposal in proposals]


def _leavers(proposals: list[dict[str, Any]]) -> list[Any]:
    return [_signing_identity(bytes.fromhex(one["identity"]), bytes.fromhex(one["signature_key"])) for one in proposals]


def _signing_identity(identity: bytes, public_key: bytes) -> Any:
    """Get the opaque object for a member from a client that holds its public key; such a client never signs."""
    secret = mls.generate_signature_keypair(_SUITE).secret_key
    keys = mls.SignatureKeypair(cipher_suite=_SUITE, public_key=mls.SignaturePublicKey(bytes=public_key), secret_key=secret)
    config = mls.ClientConfig(group_state_storage=_Storage(), use_ratchet_tree_extension=True)
    return mls.Client(identity, keys, config).signing_identity()


if __name__ == "__main__":
    serve(MlsRsCommands())
