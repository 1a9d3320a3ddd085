"""Driver of OpenMLS (Rust) through package `gbp-stack`, which exposes membership only.

A context of that package is one client with one group, of its own or joined. It takes handshake messages only if they are
private, and offers no application messages. Key packages are bare there; the header of an MLSMessage is put on and taken off
here. What members are compared by is read from the state that it saves, a list of JSON documents by name and group.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

from gbp_stack import MlsContext

from tests.interop.peers.drivers.exporter import export
from tests.interop.peers.drivers.json_lines import Answer, Commands, serve

_KEY_PACKAGE_HEADER = bytes.fromhex("00010005")
_ABILITIES = ["send_private", "read_private", "new_signature_keys", "join_any_tree", "add_basic_only"]


@dataclass
class GbpCommands(Commands):
    """The commands; a client is its group."""

    clients: dict[str, Any] = field(default_factory=dict)

    def do_hello(self) -> Answer:
        version = metadata.version("gbp-stack")
        return {"implementation": "gbp-stack", "version": version, "suites": [1], "abilities": _ABILITIES}

    def do_client(self, client: str, identity: str, **_: Any) -> Answer:
        self.clients[client] = MlsContext.create(bytes.fromhex(identity).decode())
        return {"signature_key": None}

    def do_key_package(self, client: str) -> Answer:
        return {"key_package": (_KEY_PACKAGE_HEADER + self.clients[client].export_key_package()).hex()}

    def do_create(self, client: str, **_: Any) -> Answer:
        """The group exists since the client does; its id is the library's choice."""
        return {"group": client}

    def do_join(self, client: str, welcome: str, **_: Any) -> Answer:
        self.clients[client].accept_welcome(bytes.fromhex(welcome))
        return {"group": client}

    def do_commit(self, group: str, proposals: list[dict[str, Any]], **_: Any) -> Answer:
        (proposal,) = proposals
        context = self.clients[group]
        if proposal["type"] == "add":
            key_package = bytes.fromhex(proposal["key_package"]).removeprefix(_KEY_PACKAGE_HEADER)
            commit, welcome = context.invite_full(key_package)
            return {"commit": commit.hex(), "welcome": welcome.hex(), "ratchet_tree": None}
        if proposal["type"] == "remove":
            return {"commit": context.remove_member(proposal["leaf"]).hex(), "welcome": None, "ratchet_tree": None}
        raise LookupError(f"no way to commit {proposal['type']}")

    def do_merge(self, group: str) -> Answer:
        self.clients[group].finalize_commit()
        return {}

    def do_process(self, group: str, message: str) -> Answer:
        context = self.clients[group]
        kind = context.process_message(bytes.fromhex(message))
        if kind == "commit":
            context.finalize_commit()
        return {"type": kind, "removed": None}

    def do_state(self, group: str) -> Answer:
        state, group_id = self.clients[group].export_state(), self.clients[group].group_id
        context, epoch_secrets = (_read(state, name, group_id) for name in ("GroupContext", "EpochSecrets"))
        return {
            "group_id": group_id.hex(),
            "epoch": context["epoch"],
            "tree_hash": bytes(context["tree_hash"]["vec"]).hex(),
            "confirmed_transcript_hash": bytes(context["confirmed_transcript_hash"]["vec"]).hex(),
            "epoch_authenticator": _secret(epoch_secrets, "epoch_authenticator").hex(),
            "exported": export(_secret(epoch_secrets, "exporter_secret")).hex(),
        }


def _read(state: bytes, name: str, group_id: bytes) -> dict[str, Any]:
    """Find a document in a saved state: its name, the group in JSON, two bytes of version and a little-endian length in front."""
    group = json.dumps({"value": {"vec": list(group_id)}}, separators=(",", ":"))
    key = f"{name}{group}".encode() + b"\x00\x01"
    start = state.index(key) + len(key) + 4
    document: dict[str, Any] = json.loads(state[start : start + int.from_bytes(state[start - 4 : start], "little")])
    return document


def _secret(epoch_secrets: dict[str, Any], name: str) -> bytes:
    return bytes(epoch_secrets[name]["secret"]["value"]["vec"])


if __name__ == "__main__":
    serve(GbpCommands())
