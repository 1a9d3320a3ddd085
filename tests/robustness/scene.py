"""A live group and one real object of every kind that it sends: what mutants are made from."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

from dmls.ids import LeafIndex
from dmls.mls.codec import decode, decode_as
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.framing.padding import pad_to_multiple
from dmls.mls.framing.private_message import SenderData
from dmls.mls.group.leaf import KeyPackageBundle, default_capabilities
from dmls.mls.messages.commit import Commit, HPKECiphertext, UpdatePath
from dmls.mls.messages.credential import BasicCredential, Credential, X509Credential
from dmls.mls.messages.extensions import (
    LAST_RESORT,
    Extension,
    ExternalSender,
    ExternalSenders,
    RequiredCapabilities,
    find_extension,
    make_extension,
)
from dmls.mls.messages.group_context import GroupContext
from dmls.mls.messages.group_info import GroupInfo
from dmls.mls.messages.key_package import KeyPackage
from dmls.mls.messages.leaf_node import Capabilities, LeafNode
from dmls.mls.messages.message import (
    AuthenticatedContent,
    ExternalSenderIndex,
    FramedContent,
    MLSMessage,
    NewMemberProposal,
    PublicMessage,
    encode_message,
)
from dmls.mls.messages.proposal import (
    Add,
    GroupContextExtensions,
    PreSharedKey,
    Proposal,
    ReInit,
    Remove,
)
from dmls.mls.messages.psk import ExternalPSK, PreSharedKeyID, PSKLabel, ResumptionPSK, ResumptionPSKUsage
from dmls.mls.messages.registry import ExtensionType, WireFormat
from dmls.mls.messages.welcome import GroupSecrets, PathSecret, Welcome
from dmls.mls.tree.nodes import ParentNode
from dmls.tools.inspect.kinds import NODES
from tests.support.certificates import Authority, credentialed
from tests.support.forge import forge_message
from tests.support.groups import Party, Room, fresh_update

__all__ = ["PRIVATE", "PUBLIC", "Scene", "find_psk", "make_scene"]

PUBLIC, PRIVATE = WireFormat.PUBLIC_MESSAGE, WireFormat.PRIVATE_MESSAGE
_PSK: Final = b"a key that all members were given"
_NAME: Final = ExternalPSK(b"given")
_APP: Final = 0xF123


@dataclass(frozen=True)
class Scene:
    """One epoch of a group of several members, and what is sent in it.

    Attributes:
        room: five members and blank leaves; nobody enters a later epoch.
        sender: makes most messages, and knows what a member knows.
        victim: receives them.
        accomplice: a member that tells the sender all it knows.
        joiner: added by `messages["welcome"]`, with `bundle`.
        outsider: no member, with a certificate; joins from outside, at `joined_leaf`.
        psks: what the Welcome names.
        invited_to: the epoch authenticator of what the Welcome leads to.
        messages: encoded MLSMessages, by what they are.
        parts: other objects, with their wire types.
    """

    room: Room
    sender: Party
    victim: Party
    accomplice: Party
    joiner: Party
    bundle: KeyPackageBundle
    outsider: Party
    joined_leaf: LeafIndex
    psks: Sequence[tuple[PreSharedKeyID, bytes]]
    invited_to: bytes
    messages: Mapping[str, bytes]
    parts: Mapping[str, tuple[Any, Any]]

    def objects(self) -> dict[str, tuple[Any, Any]]:
        """Return every object with its wire type."""
        return {name: (MLSMessage, decode(MLSMessage, data)) for name, data in self.messages.items()} | dict(self.parts)


def psk_proposal(party: Party) -> PreSharedKey:
    """Name the key that all members were given."""
    return PreSharedKey(PreSharedKeyID(_NAME, party.random(party.suite.hash_size)))


@cache
def make_scene(suite_id: int) -> Scene:
    """Make a group of a cipher suite. Objects are the same in each run, but for the signatures of suites with ECDSA."""
    suite = cipher_suite(suite_id)
    rng = random.Random(suite_id)
    capabilities = replace(
        default_capabilities((suite_id, 0x0A0A), extensions=(_APP, LAST_RESORT.extension_type, 0x1A1A), proposals=(0x2A2A,)),
        credentials=(1, 2, 0x3A3A),
    )
    names = ("alice", "bob", "carol", "dave", "erin", "frank", "joiner", "outsider", "server")
    everybody = [Party(suite, name, rng.randbytes, capabilities=capabilities) for name in names]
    alice, bob, carol, dave, erin, frank, joiner, outsider, server = everybody
    outside = ExternalSenders((ExternalSender(server.client.signature_key, server.client.credential),))
    extensions = (
        make_extension(ExtensionType.REQUIRED_CAPABILITIES, RequiredCapabilities((_APP,), (), (1,))),
        make_extension(ExtensionType.EXTERNAL_SENDERS, outside),
        Extension(_APP, b"of the application"),
    )
    room = Room(alice, extensions=extensions)
    room.add(alice, bob, carol, dave, erin)
    room.commit(bob)
    room.commit(dave, Remove(carol.leaf), leavers=(carol,))
    room.commit(erin)
    room.add(alice, frank, force_path=False)
    room.say(alice, b"earlier")

    messages = {
        "application": alice.send(b"for all", authenticated_data=b"seen by all"),
        "application, padded": alice.send(b"for all", padding=pad_to_multiple(256)),
    }
    basic = outsider.key_package()
    outsider.client = credentialed(outsider.client, suite, Authority.root(suite=suite), "outsider.example")
    update = room.propose(dave, fresh_update(dave))
    add = room.propose(erin, Add(joiner.key_package(extensions=(LAST_RESORT,))), wire_format=PRIVATE)
    (bundle,) = joiner.bundles.values()
    psk = psk_proposal(alice)
    branch = PreSharedKeyID(ResumptionPSK(ResumptionPSKUsage.BRANCH, b"group", 3), rng.randbytes(suite.hash_size))
    proposals: dict[str, Any] = {
        "add": Add(outsider.key_package()),
        "update": fresh_update(alice),
        "remove": Remove(frank.leaf),
        "psk": psk,
        "reinit": ReInit(b"successor", 1, suite_id, extensions),
        "extensions": GroupContextExtensions(extensions[:2]),
    }
    for name, body in proposals.items():
        messages[f"proposal, {name}"] = forge_message(alice, body)
        messages[f"proposal, {name}, private"] = forge_message(alice, body, wire_format=PRIVATE)
    messages["proposal, external sender"] = forge_message(
        alice, Remove(frank.leaf), sender=ExternalSenderIndex(0), signature_key=server.client.signature_private_key
    )
    messages["proposal, new member"] = forge_message(
        alice, proposals["add"], sender=NewMemberProposal(), signature_key=outsider.client.signature_private_key
    )
    staged = alice.stage(update, add, Remove(frank.leaf), psk, psks=find_psk)
    commits = {
        "commit, full": staged,
        "commit, full, private": alice.stage(update, add, psk, psks=find_psk, wire_format=PRIVATE),
        "commit, empty": alice.stage(),
        "commit, of extensions": alice.stage(proposals["extensions"]),
        "commit, without path": alice.stage(add),
    }
    messages |= {name: commit.message for name, commit in commits.items()}
    external = outsider.join_externally(room.follower, erin.group_info())
    resync = frank.join_externally(room.follower, erin.group_info(), replaces=frank.leaf)
    messages |= {"external commit": external.message, "external commit, resync": resync.message}
    assert staged.welcome is not None
    info = alice.group_info(with_tree=True)
    messages |= {
        "welcome": encode_message(staged.welcome),
        "group info": encode_message(info),
        "group info, without tree": encode_message(alice.group_info()),
        "key package": encode_message(basic),
        "key package, certified": encode_message(outsider.key_package()),
    }
    public = decode(MLSMessage, staged.message).body
    assert isinstance(public, PublicMessage)
    commit = public.content.content
    assert isinstance(commit, Commit)
    assert commit.path is not None
    tree = alice.state.public.tree
    leaf = tree.leaf(alice.leaf)
    nodes = decode_as(NODES, find_extension(info.extensions, ExtensionType.RATCHET_TREE) or b"")
    parts: dict[str, tuple[Any, Any]] = {
        "ratchet tree": (NODES, nodes),
        "parent node": (ParentNode, next(node for node in nodes if isinstance(node, ParentNode) and node.unmerged_leaves)),
        "leaf node": (LeafNode, leaf),
        "capabilities": (Capabilities, capabilities),
        "credential": (Credential, BasicCredential(b"alice")),
        "certificates": (Credential, X509Credential((rng.randbytes(300), rng.randbytes(500)))),
        "extension": (Extension, extensions[0]),
        "required capabilities": (RequiredCapabilities, RequiredCapabilities((_APP,), (0x2A2A,), (1,))),
        "external senders": (ExternalSenders, outside),
        "key package alone": (KeyPackage, outsider.key_package()),
        "group info alone": (GroupInfo, info),
        "group context": (GroupContext, info.group_context),
        "welcome alone": (Welcome, staged.welcome),
        "group secrets": (GroupSecrets, GroupSecrets(rng.randbytes(32), PathSecret(rng.randbytes(32)), (psk.psk, branch))),
        "framed content": (FramedContent, public.content),
        "authenticated content": (AuthenticatedContent, staged.content),
        "commit alone": (Commit, commit),
        "update path": (UpdatePath, commit.path),
        "sealed secret": (HPKECiphertext, next(iter(commit.path.nodes[0].encrypted_path_secret))),
        "pre-shared key": (PreSharedKeyID, branch),
        "pre-shared key label": (PSKLabel, PSKLabel(psk.psk, 0, 2)),
        "sender data": (SenderData, SenderData(1, 2, 3)),
        **{f"{name} alone": (Proposal, body) for name, body in proposals.items()},
    }
    return Scene(
        room,
        sender=alice,
        victim=bob,
        accomplice=erin,
        joiner=joiner,
        bundle=bundle,
        outsider=outsider,
        joined_leaf=external.leaf_index,
        psks=((psk.psk, _PSK),),
        invited_to=staged.state.secrets.epoch_authenticator,
        messages=messages,
        parts=parts,
    )


def find_psk(psk_id: PreSharedKeyID) -> bytes | None:
    """Return the pre-shared key that all members were given."""
    return _PSK if psk_id.source == _NAME else None
