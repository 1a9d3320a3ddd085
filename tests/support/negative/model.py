"""Scenes and their cases, as they are written down."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from dmls.mls.crypto.suites import CipherSuite
from dmls.mls.group.leaf import KeyPackageBundle
from dmls.mls.messages.group_info import GroupInfo
from dmls.mls.messages.key_package import KeyPackage
from dmls.mls.messages.message import encode_message
from dmls.mls.messages.welcome import Welcome
from tests.support.groups import Party

__all__ = [
    "Attempt",
    "Scene",
    "Watcher",
    "entrant",
    "group_info_attempt",
    "joining",
    "key_package_attempt",
    "messages",
    "write_file",
]

Attempt: TypeAlias = dict[str, Any]
"""What is done in a scene: the fields that its kind asks for, bytes as hex."""

FORMAT = 1


@dataclass
class Scene:
    """What cases have in common: who judges, and what is accepted of what they spoil."""

    name: str
    kind: str
    suite: int
    setup: dict[str, Any]
    good: list[Attempt] = field(default_factory=list)
    cases: list[dict[str, Any]] = field(default_factory=list)

    def accept(self, **attempt: Any) -> None:
        """Add a control."""
        self.good.append(attempt)

    def refuse(self, rule: str, name: str, *, noticed: str | None = "", **attempt: Any) -> None:
        """Add a case that breaks `rule`; `noticed` is the rule whose check finds it, None for one that no rule is named for."""
        self.cases.append({"name": name, "rule": rule, "noticed": {"rule": rule if noticed == "" else noticed}, "bad": attempt})

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "kind": self.kind,
            "cipher_suite": self.suite,
            "setup": self.setup,
            "good": self.good,
            "cases": self.cases,
        }


def write_file(area: str, scenes: Iterable[dict[str, Any]]) -> str:
    """Return the text of an area's file: a line for each case and each longer field, so that changes can be read."""
    content = {"format": FORMAT, "area": area, "scenes": list(scenes)}
    return json.dumps(content, indent=1) + "\n"


def _client(suite: CipherSuite, party: Party, bundle: KeyPackageBundle, psks: dict[bytes, bytes]) -> dict[str, Any]:
    """A member's own keys, named as in the working group's passive-client vectors."""
    return {
        "key_package": encode_message(bundle.key_package).hex(),
        "init_priv": bytes(bundle.init_private_key).hex(),
        "encryption_priv": bytes(bundle.encryption_private_key).hex(),
        "signature_priv": bytes(party.client.signature_private_key).hex(),
        "external_psks": [{"psk_id": name.hex(), "psk": key.hex()} for name, key in psks.items()],
    }


class Watcher(Party):
    """A member that never sends and writes down everything that reaches it."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.entry: dict[str, Any] = {}
        self.heard: list[str] = []
        self.psks: dict[bytes, bytes] = {}

    def receive(self, message: bytes, **options: Any) -> bytes | None:
        received = super().receive(message, **options)
        self.heard.append(message.hex())
        return received

    def join(self, welcome: Welcome, tree: bytes | None = None, **options: Any) -> Any:
        (bundle,) = (self.bundles[ref] for ref in self.bundles if any(ref == entry.new_member for entry in welcome.secrets))
        joined = super().join(welcome, tree, **options)
        self.entry = {"client": _client(self.suite, self, bundle, {})} | joining(welcome, tree)
        return joined

    def scene(self, name: str, **options: Any) -> Scene:
        """Begin a scene at what the watcher knows now."""
        setup = {**self.entry, "messages": list(self.heard), **options}
        setup["client"] = {
            **setup["client"],
            "external_psks": [{"psk_id": name.hex(), "psk": key.hex()} for name, key in self.psks.items()],
        }
        return Scene(name, "receive", self.suite.id, setup)


def joining(welcome: Welcome, tree: bytes | None = None) -> Attempt:
    """The attempt to join."""
    return {"welcome": encode_message(welcome).hex(), "ratchet_tree": None if tree is None else tree.hex()}


def messages(*sent: bytes) -> Attempt:
    """The attempt to receive messages: all but the last are accepted either way."""
    return {"messages": [message.hex() for message in sent]}


def key_package_attempt(key_package: KeyPackage) -> Attempt:
    return {"key_package": encode_message(key_package).hex()}


def group_info_attempt(group_info: GroupInfo, tree: bytes | None) -> Attempt:
    return {"group_info": encode_message(group_info).hex(), "ratchet_tree": None if tree is None else tree.hex()}


def entrant(name: str, party: Party, psks: dict[bytes, bytes] | None = None, **options: Any) -> Scene:
    """Begin a scene of somebody with one key package who is about to join."""
    (bundle,) = party.bundles.values()
    return Scene(name, "join", party.suite.id, {"client": _client(party.suite, party, bundle, psks or {}), **options})
