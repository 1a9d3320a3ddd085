"""Lists of extensions, wherever they stand, and values that mean nothing (RFC 9420, Sections 13.4, 13.5 and 17.3)."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from dmls.errors import ValidationError
from dmls.mls.codec import decode
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.group.leaf import default_capabilities
from dmls.mls.group.policy import OpenPolicy
from dmls.mls.group.process import open_message
from dmls.mls.group.validation import check_own_extensions
from dmls.mls.messages.credential import BasicCredential, Credential
from dmls.mls.messages.extensions import Extension, ExternalSender, ExternalSenders, RequiredCapabilities, make_extension
from dmls.mls.messages.group_info import GroupInfo
from dmls.mls.messages.message import ExternalSenderIndex, MLSMessage
from dmls.mls.messages.proposal import (
    Add,
    ExternalInit,
    GroupContextExtensions,
    PreSharedKey,
    ProposalBody,
    ReInit,
    Remove,
    Update,
)
from dmls.mls.messages.psk import ExternalPSK, PreSharedKeyID
from dmls.mls.messages.registry import GREASE_VALUES, ExtensionType
from tests.support.breaches import APP, capable, extended
from tests.support.forge import forge_commit, forge_key_package, forge_message, forge_welcome
from tests.support.groups import Party, Room, fresh_update, parties, refusing, room_of
from tests.support.refusals import refuse_commit

SUITE = cipher_suite(1)
PSK_ID = PreSharedKeyID(ExternalPSK(b"name"), bytes(32))
UNKNOWN = [0x0A0A, 0xEAEA, 0xFAFA, APP, 0x00FF]
"""GREASE, private use, and what the registry has for others."""

Sending = Callable[[Room, Party], bytes]
TWICE = (Extension(APP, b"x"), Extension(APP, b"y"))
LISTS: dict[str, tuple[str, Sending]] = {
    "KeyPackage": (
        "KP-09",
        lambda room, newcomer: forge_commit(
            room.members[0],
            Add(forge_key_package(newcomer, partial(replace, extensions=TWICE), alter_leaf=capable(extensions=(APP,)))),
        ),
    ),
    "LeafNode": ("LN-23", lambda room, newcomer: forge_commit(room.members[0], alter_leaf=extended(APP, APP, listed=(APP,)))),
    "GroupContextExtensions": ("GC-05", lambda room, newcomer: forge_commit(room.members[0], GroupContextExtensions(TWICE))),
    "ReInit": ("GC-05", lambda room, newcomer: forge_commit(room.members[0], ReInit(b"s", 1, 1, TWICE), with_path=False)),
}


@pytest.mark.breaks("EX-01")
@pytest.mark.parametrize(("refusal", "send"), list(LISTS.values()), ids=list(LISTS))
def test_a_type_stands_once_in_what_is_committed(room: Room, newcomer: Party, refusal: str, send: Sending) -> None:
    refuse_commit(room, send(room, newcomer), refusal)


@pytest.mark.breaks("EX-01")
@pytest.mark.parametrize("place", ["GroupContext", "GroupInfo"])
def test_a_type_stands_once_in_what_a_newcomer_is_told(room: Room, newcomer: Party, place: str) -> None:
    alice = room.members[0]
    staged = alice.stage(Add(newcomer.key_package()))
    assert staged.welcome is not None

    def more(info: GroupInfo) -> GroupInfo:
        return replace(info, extensions=(*info.extensions, *TWICE))

    if place == "GroupInfo":
        welcome, refusal = forge_welcome(newcomer, alice, staged.welcome, alter_info=more), "WL-23"
    else:
        twice = (make_extension(ExtensionType.EXTERNAL_SENDERS, ExternalSenders(())),) * 2
        welcome = forge_welcome(newcomer, alice, staged.welcome, alter_context=partial(replace, extensions=twice))
        refusal = "GC-05"
    with refusing(refusal):
        newcomer.join(welcome)


# Unknown types


@pytest.mark.breaks("EX-02")
@pytest.mark.parametrize("number", UNKNOWN)
def test_an_unknown_extension_of_a_leaf_is_listed_or_refused(room: Room, newcomer: Party, number: int) -> None:
    alice, bob, *_ = room.members
    bob.process(forge_commit(alice, alter_leaf=extended(number, listed=(number,))))
    refuse_commit(room, forge_commit(alice, alter_leaf=extended(number)), "LN-05")
    # Those of a key package need not be listed for others to ignore them.
    package = forge_key_package(newcomer, partial(replace, extensions=(Extension(number, b"?"),)))
    bob.process(forge_commit(alice, Add(package)))


@pytest.mark.breaks("EX-03", "EX-04")
@pytest.mark.parametrize("number", UNKNOWN)
def test_an_unknown_extension_of_the_group_is_supported_by_all_or_refused(rng: random.Random, number: int) -> None:
    knowing = default_capabilities((1,), extensions=(number,))
    alice, bob, carol = parties(SUITE, "abc", rng, knowing)
    room = Room(alice)
    room.add(alice, bob)
    message = forge_commit(alice, GroupContextExtensions((Extension(number, b""),)))
    bob.enter(bob.process(message))
    (lacking,) = parties(SUITE, "l", rng)
    with refusing("LN-04", bob):
        bob.stage(Add(lacking.key_package()))
    bob.stage(Add(carol.key_package()))


@pytest.mark.breaks("EX-06")
@pytest.mark.parametrize("number", UNKNOWN)
def test_grease_is_refused_and_taken_as_any_value_of_no_meaning(rng: random.Random, number: int) -> None:
    room, (alice, *_) = room_of(rng)
    required = [
        RequiredCapabilities((number,), (), ()),
        RequiredCapabilities((), (number,), ()),
        RequiredCapabilities((), (), (number,)),
    ]
    refuse_commit(room, forge_commit(alice, GroupContextExtensions((Extension(number, b""),))), "LN-04")
    for content in required:
        change = GroupContextExtensions((make_extension(ExtensionType.REQUIRED_CAPABILITIES, content),))
        refuse_commit(room, forge_commit(alice, change), "LN-03")
    refuse_commit(room, forge_commit(alice, alter_leaf=extended(number)), "LN-05")
    for lists in ("versions", "cipher_suites", "extensions", "proposals", "credentials"):
        own = getattr(alice.client.capabilities, lists)
        room.members[1].process(forge_commit(alice, alter_leaf=capable(**{lists: (*own, number)})))


@pytest.mark.breaks("EX-09", "EX-05")
def test_fifteen_values_are_grease_and_the_next_is_for_private_use() -> None:
    assert sorted(GREASE_VALUES) == [0x0A0A + 0x1010 * step for step in range(15)]
    for value in range(0x0A0A, 0x10000, 0x1010):
        if value == 0xFAFA:
            check_own_extensions((Extension(value, b""),))
        else:
            with refusing("EX-05"):
                check_own_extensions((Extension(value, b""),))


# Types with a meaning


@pytest.mark.breaks("EX-13")
def test_required_capabilities_may_name_what_goes_without_saying(rng: random.Random) -> None:
    room, (alice, bob, *_) = room_of(rng)

    def require(*credentials: int) -> GroupContextExtensions:
        content = RequiredCapabilities((1, 2, 3, 4, 5), (1, 2, 3, 4, 5, 6, 7), credentials)
        return GroupContextExtensions((make_extension(ExtensionType.REQUIRED_CAPABILITIES, content),))

    bob.process(alice.stage(require(1)).message)
    # No credential type goes without saying.
    with refusing("LN-03", alice):
        alice.stage(require(1, 2))
    refuse_commit(room, forge_commit(alice, require(1, 2)), "LN-03")


@pytest.mark.breaks("EX-15")
def test_in_an_empty_list_of_external_senders_is_nobody(rng: random.Random) -> None:
    room, (alice, bob, *_) = room_of(rng)
    room.commit(alice, GroupContextExtensions((make_extension(ExtensionType.EXTERNAL_SENDERS, ExternalSenders(())),)))
    with refusing("FRM-05", bob):
        bob.receive(forge_message(alice, Remove(2), sender=ExternalSenderIndex(0)))
    room.talk()


REGISTRY: dict[str, tuple[bool, bool, ProposalBody | None]] = {
    "add": (True, False, None),
    "update": (False, True, None),
    "remove": (True, True, Remove(3)),
    "psk": (True, False, PreSharedKey(PSK_ID)),
    "reinit": (True, False, ReInit(b"s", 1, 1, ())),
    "external_init": (False, True, ExternalInit(bytes(32))),
    "group_context_extensions": (True, True, GroupContextExtensions(())),
}
"""The columns External and Path of the registry of proposal types."""


@pytest.mark.breaks("EX-11", "FRM-06", "CP-05")
@pytest.mark.parametrize(("external", "path", "body"), list(REGISTRY.values()), ids=list(REGISTRY))
def test_who_proposes_a_type_and_what_it_needs_is_in_its_registry(
    rng: random.Random, external: bool, path: bool, body: ProposalBody | None
) -> None:
    sender = parties(SUITE, ["sender"], rng)[0]
    listed = ExternalSenders((ExternalSender(sender.client.signature_key, sender.client.credential),))
    room, (alice, bob, carol, _) = room_of(rng)
    room.commit(alice, GroupContextExtensions((make_extension(ExtensionType.EXTERNAL_SENDERS, listed),)))
    if body is None:
        body = fresh_update(bob) if path else Add(parties(SUITE, "n", rng)[0].key_package())
    message = forge_message(alice, body, sender=ExternalSenderIndex(0), signature_key=sender.client.signature_private_key)
    if external:
        open_message(carol.state, decode(MLSMessage, message))
    else:
        with refusing("FRM-06", carol):
            open_message(carol.state, decode(MLSMessage, message))
    if isinstance(body, ExternalInit):
        return
    entry = room.propose(bob, body) if isinstance(body, Update) else body
    psks = [(PSK_ID, b"key")] if isinstance(body, PreSharedKey) else []
    bare = forge_commit(alice, entry, with_path=False, psks=psks)
    if path:
        refuse_commit(room, bare, "CP-05", by=[carol])
    else:
        carol.process(bare, psks=lambda _: b"key")


class OnlyAlice(OpenPolicy):
    """Judges by credentials, as an application must."""

    def check_credential(self, credential: Credential, signature_key: bytes) -> None:
        if credential != BasicCredential(b"alice"):
            raise ValidationError("not alice")


@pytest.mark.breaks("CRD-07")
def test_an_application_id_authenticates_nobody(room: Room, rng: random.Random) -> None:
    committer, bob, *_ = room.members
    for name in ("mallory", "alice"):
        (party,) = parties(SUITE, [name], rng)
        claims = {"mallory": "alice", "alice": "mallory"}
        extension = Extension(ExtensionType.APPLICATION_ID, claims[name].encode())
        party.client = replace(party.client, leaf_extensions=(extension,))
        message = forge_commit(committer, Add(party.key_package()))
        if name == "mallory":
            with refusing("CRD-04", bob):
                bob.receive(message, policy=OnlyAlice())
        else:
            bob.process(message, policy=OnlyAlice())
