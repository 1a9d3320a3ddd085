"""Driver of dmls itself: the same commands as the other drivers know, usually run in the process of the tests."""

from __future__ import annotations

import copy
import secrets
import time
from dataclasses import dataclass, field
from importlib import metadata
from itertools import count
from typing import Any, TypeVar

from dmls.errors import EvictedError
from dmls.ids import LeafIndex, ProposalRef
from dmls.mls.codec import decode
from dmls.mls.crypto.suites import CIPHER_SUITES, cipher_suite
from dmls.mls.group.commit import StagedCommit
from dmls.mls.group.external_proposal import propose_as_external_sender, propose_own_addition
from dmls.mls.group.follower import follow
from dmls.mls.group.leaf import Client, default_capabilities
from dmls.mls.group.state import export_secret
from dmls.mls.group.successor import create_branch, create_successor
from dmls.mls.group.welcome import choose_tree
from dmls.mls.messages.commit import ProposalReference
from dmls.mls.messages.extensions import Extension
from dmls.mls.messages.group_info import GroupInfo
from dmls.mls.messages.key_package import KeyPackage
from dmls.mls.messages.leaf_node import Lifetime
from dmls.mls.messages.message import MLSMessage, encode_message
from dmls.mls.messages.proposal import Add, GroupContextExtensions, PreSharedKey, ProposalBody, ReInit, Remove
from dmls.mls.messages.psk import ExternalPSK, PreSharedKeyID, ResumptionPSK, ResumptionPSKUsage
from dmls.mls.messages.registry import ProtocolVersion, WireFormat
from dmls.mls.messages.welcome import Welcome
from tests.interop.peers.drivers.json_lines import Answer, Commands, serve
from tests.support.groups import Party, Store, fresh_update

T = TypeVar("T")

_HOUR = 3600
_WIRE_FORMATS = {"public": WireFormat.PUBLIC_MESSAGE, "private": WireFormat.PRIVATE_MESSAGE}
_ABILITIES = [
    "send_public",
    "send_private",
    "read_public",
    "read_private",
    "empty_commit",
    "several_proposals",
    "propose",
    "propose_update",
    "references",
    "outside_proposals",
    "messages",
    "far_out_of_order",
    "authenticated_data",
    "tree_out_of_band",
    "external_join",
    "group_info",
    "psk",
    "resumption_psk",
    "chosen_extensions",
    "group_context_extensions",
    "reinit",
    "branch",
    "new_signature_keys",
    "join_any_tree",
    "add_basic_only",
]


@dataclass
class _Device:
    """A client: a party without a group that every group of it is copied from, and its settings."""

    party: Party
    handshake: WireFormat
    with_tree: bool
    psks: dict[bytes, bytes] = field(default_factory=dict)

    def find_psk(self, psk_id: PreSharedKeyID) -> bytes | None:
        return self.psks.get(psk_id.source.psk_id) if isinstance(psk_id.source, ExternalPSK) else None


@dataclass
class _Group:
    device: _Device
    party: Party
    pending: StagedCommit | None = None
    next_client: Client | None = None
    """The client as of the epoch that the pending commit makes."""
    heard: list[ProposalRef] = field(default_factory=list)
    """Proposals in the order in which they came."""

    def listen(self) -> None:
        """Note proposals that are new."""
        self.heard += [reference for reference in self.party.state.public.proposals if reference not in self.heard]


@dataclass
class DMLSCommands(Commands):
    """The commands, over devices by name and groups by handle."""

    devices: dict[str, _Device] = field(default_factory=dict)
    groups: dict[str, _Group] = field(default_factory=dict)
    numbers: Any = field(default_factory=count)

    def do_hello(self) -> Answer:
        version = metadata.version("dmls")
        return {
            "implementation": "dmls",
            "version": version,
            "suites": [suite.id for suite in CIPHER_SUITES],
            "abilities": _ABILITIES,
        }

    def do_client(
        self,
        client: str,
        identity: str,
        suite: int,
        handshake: str = "public",
        tree_extension: bool = True,
        extensions: list[int] | None = None,
    ) -> Answer:
        # core-crypto adds only who lists X.509 credentials beside basic ones.
        listed = default_capabilities((suite,), extensions=extensions or (), credentials=(1, 2))
        party = Party(cipher_suite(suite), bytes.fromhex(identity).decode(), secrets.token_bytes, capabilities=listed)
        self.devices[client] = _Device(party, _WIRE_FORMATS[handshake], tree_extension)
        return {"signature_key": party.client.signature_key.hex()}

    def do_key_package(self, client: str) -> Answer:
        return {"key_package": encode_message(self.devices[client].party.key_package(_lifetime())).hex()}

    def do_create(self, client: str, group_id: str, extensions: list[tuple[int, str]] | None = None) -> Answer:
        return self._enter(client, lambda party: party.create(bytes.fromhex(group_id), extensions=_extensions(extensions)))

    def do_join(self, client: str, welcome: str, ratchet_tree: str | None = None, of_group: str | None = None) -> Answer:
        """Join; `of_group` is the group that this one succeeds or branches off."""
        tree = None if ratchet_tree is None else bytes.fromhex(ratchet_tree)
        options: dict[str, Any] = {"psks": self.devices[client].find_psk, "now": _now()}
        if of_group is not None:
            options["predecessors"] = (self.groups[of_group].party.state,)
        return self._enter(client, lambda party: party.join(_read(welcome, Welcome), tree, **options))

    def do_commit(
        self,
        group: str,
        proposals: list[dict[str, Any]],
        handshake: str | None = None,
        authenticated_data: str = "",
        force_path: bool = False,
        rotate: bool = False,
        **_: Any,
    ) -> Answer:
        """Commit all that waits, and `proposals` by value; `rotate` brings a new signature key."""
        entry = self.groups[group]
        party, signing_key = copy.copy(entry.party), None
        if rotate:
            old, signing_key = party.client, party.client.signature_private_key
            party.client = Client.create(party.suite, old.credential, party.random, capabilities=old.capabilities)
        entry.next_client = party.client
        waiting = [ProposalReference(ref) for ref in entry.heard if ref in entry.party.state.public.proposals]
        entry.pending = staged = party.stage(
            *waiting,
            *(_proposal(party, proposal) for proposal in proposals),
            wire_format=_WIRE_FORMATS[handshake] if handshake else entry.device.handshake,
            authenticated_data=bytes.fromhex(authenticated_data),
            force_path=force_path or rotate,
            signature_private_key=signing_key,
            welcome_with_tree=entry.device.with_tree,
            psks=entry.device.find_psk,
            now=_now(),
        )
        return {
            "commit": staged.message.hex(),
            "welcome": None if staged.welcome is None else encode_message(staged.welcome).hex(),
            "ratchet_tree": staged.state.public.tree.encode().hex(),
            "signature_key": party.client.signature_key.hex(),
        }

    def do_merge(self, group: str) -> Answer:
        entry = self.groups[group]
        assert entry.pending is not None
        assert entry.next_client is not None
        entry.party.client = entry.device.party.client = entry.next_client
        entry.party.enter(entry.pending)
        entry.pending = None
        return {}

    def do_clear(self, group: str) -> Answer:
        self.groups[group].pending = None
        return {}

    def do_propose(
        self, group: str, proposal: dict[str, Any], handshake: str | None = None, authenticated_data: str = ""
    ) -> Answer:
        entry = self.groups[group]
        wire_format = _WIRE_FORMATS[handshake] if handshake else entry.device.handshake
        made = _proposal(entry.party, proposal)
        sent = entry.party.propose(made, wire_format=wire_format, authenticated_data=bytes.fromhex(authenticated_data))
        entry.listen()
        return {"message": sent.message.hex()}

    def do_process(self, group: str, message: str) -> Answer:
        entry = self.groups[group]
        before = entry.party.epoch
        try:
            data = entry.party.receive(bytes.fromhex(message), psks=entry.device.find_psk, now=_now())
        except EvictedError:
            entry.party.leave()
            return {"type": "commit", "removed": True}
        entry.listen()
        if data is not None:
            return {"type": "application", "data": data.hex()}
        return {"type": "proposal"} if entry.party.epoch == before else {"type": "commit", "removed": False}

    def do_external_join(
        self, client: str, group_info: str, ratchet_tree: str | None = None, replaces: int | None = None
    ) -> Answer:
        device = self.devices[client]
        info = _read(group_info, GroupInfo)
        tree = choose_tree(device.party.suite, info, None if ratchet_tree is None else bytes.fromhex(ratchet_tree))
        old = None if replaces is None else LeafIndex(replaces)
        staged = device.party.join_externally(follow(device.party.suite, info, tree), info, replaces=old)
        return {**self._enter(client, lambda party: party.enter(staged)), "commit": staged.message.hex()}

    def do_group_info(self, group: str, tree: bool = True) -> Answer:
        return {"group_info": encode_message(self.groups[group].party.group_info(with_tree=tree)).hex()}

    def do_propose_own_addition(self, client: str, group_info: str, key_package: str) -> Answer:
        """Ask from outside to be added."""
        context, key = _read(group_info, GroupInfo).group_context, self.devices[client].party.client.signature_private_key
        return {"message": propose_own_addition(context, _read(key_package, KeyPackage), key).message.hex()}

    def do_propose_from_outside(self, client: str, group_info: str, proposal: dict[str, Any]) -> Answer:
        """Propose as an external sender."""
        context, party = _read(group_info, GroupInfo).group_context, self.devices[client].party
        sent = propose_as_external_sender(context, _proposal(party, proposal), party.client.signature_private_key)
        return {"message": sent.message.hex()}

    def do_branch(self, group: str, client: str, group_id: str, key_packages: list[str]) -> Answer:
        """Found a branch with some of the members."""
        party, added = self.groups[group].party, [_read(text, KeyPackage) for text in key_packages]
        own = self.devices[client].party.client
        return self._found(client, create_branch(party.state, bytes.fromhex(group_id), own, added, _lifetime(), party.random))

    def do_succeed(self, group: str, client: str, key_packages: list[str]) -> Answer:
        """Found the successor of a group that a ReInit has closed."""
        party, added = self.groups[group].party, [_read(text, KeyPackage) for text in key_packages]
        return self._found(
            client, create_successor(party.state, self.devices[client].party.client, added, _lifetime(), party.random)
        )

    def do_encrypt(self, group: str, data: str, authenticated_data: str = "") -> Answer:
        party = self.groups[group].party
        return {"message": party.send(bytes.fromhex(data), authenticated_data=bytes.fromhex(authenticated_data)).hex()}

    def do_psk(self, client: str, psk_id: str, psk: str) -> Answer:
        self.devices[client].psks[bytes.fromhex(psk_id)] = bytes.fromhex(psk)
        return {}

    def do_tree(self, group: str) -> Answer:
        return {"ratchet_tree": self.groups[group].party.state.public.tree.encode().hex()}

    def do_state(self, group: str) -> Answer:
        state = self.groups[group].party.state
        context = state.public.context
        return {
            "group_id": context.group_id.hex(),
            "epoch": context.epoch,
            "tree_hash": context.tree_hash.hex(),
            "confirmed_transcript_hash": context.confirmed_transcript_hash.hex(),
            "epoch_authenticator": state.secrets.epoch_authenticator.hex(),
            "exported": export_secret(state, "exporter", b"", 32).hex(),
        }

    def do_reload(self, group: str) -> Answer:
        """Write the state and go on with what is read back."""
        party = self.groups[group].party
        party.state = Store().revive(party.state)
        return {}

    def _found(self, client: str, staged: StagedCommit) -> Answer:
        assert staged.welcome is not None
        tree = staged.state.public.tree.encode().hex()
        entered = self._enter(client, lambda party: party.enter(staged))
        return {**entered, "welcome": encode_message(staged.welcome).hex(), "ratchet_tree": tree}

    def _enter(self, client: str, step: Any) -> Answer:
        device, handle = self.devices[client], str(next(self.numbers))
        party = copy.copy(device.party)
        step(party)
        self.groups[handle] = _Group(device, party)
        return {"group": handle}


def _now() -> int:
    return int(time.time())


def _lifetime() -> Lifetime:
    """Return a lifetime that has begun: OpenMLS refuses what begins in the second it is looked at."""
    return Lifetime(_now() - _HOUR, _now() + 28 * 24 * _HOUR)


def _read(text: str, kind: type[T]) -> T:
    """Read an MLSMessage that must hold a `kind`."""
    body = decode(MLSMessage, bytes.fromhex(text)).body
    if not isinstance(body, kind):
        raise TypeError(f"not a {kind.__name__}")
    return body


def _extensions(listed: list[tuple[int, str]] | None) -> tuple[Extension, ...]:
    return tuple(Extension(kind, bytes.fromhex(data)) for kind, data in listed or ())


def _proposal(party: Party, proposal: dict[str, Any]) -> ProposalBody:
    kind, nonce = proposal["type"], secrets.token_bytes(party.suite.hash_size)
    if kind == "add":
        return Add(_read(proposal["key_package"], KeyPackage))
    if kind == "remove":
        return Remove(proposal["leaf"])
    if kind == "update":
        return fresh_update(party)
    if kind == "psk":
        return PreSharedKey(PreSharedKeyID(ExternalPSK(bytes.fromhex(proposal["psk_id"])), nonce))
    if kind == "resumption_psk":
        group_id = party.state.public.context.group_id
        source = ResumptionPSK(ResumptionPSKUsage.APPLICATION, group_id, proposal["epoch"])
        return PreSharedKey(PreSharedKeyID(source, nonce))
    if kind == "group_context_extensions":
        return GroupContextExtensions(_extensions(proposal["extensions"]))
    if kind == "reinit":
        return ReInit(bytes.fromhex(proposal["group_id"]), ProtocolVersion.MLS10, proposal["suite"], ())
    raise LookupError(f"no way to make {kind}")


if __name__ == "__main__":
    serve(DMLSCommands())
