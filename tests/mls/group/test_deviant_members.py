"""Members that do one thing another way than RFC 9420 has it: what they send is refused, and they cannot follow the others."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CipherSuite, cipher_suite
from dmls.mls.group import secrets
from dmls.mls.group.leaf import Client
from dmls.mls.group.snapshot import encode_state
from dmls.mls.group.state import export_secret
from dmls.mls.messages.message import ApplicationData
from dmls.mls.messages.registry import ContentType, WireFormat
from dmls.mls.schedule import key_schedule
from tests.support.forge import forge_message
from tests.support.groups import Party, Room, disagreeing, parties, refusing

SUITE = cipher_suite(1)


def with_interim(party: Party, interim: bytes) -> None:
    party.state = replace(party.state, public=replace(party.state.public, interim_transcript_hash=interim))


# Whose key signs


@pytest.mark.breaks("PRV-12")
def test_a_message_of_an_epoch_is_signed_with_the_key_of_that_epoch(room: Room, rng: random.Random) -> None:
    """Neither with the one that its sender has in a later epoch, nor with that of who has the place then."""
    alice, bob, *_ = room.members
    before = bob.state
    old = alice.client
    alice.client = Client.create(SUITE, old.credential, rng.randbytes)
    message = forge_message(alice, ApplicationData(b"x"), wire_format=WireFormat.PRIVATE_MESSAGE)
    with refusing("FRM-09", bob):
        bob.receive(message)
    alice.client = old
    genuine = alice.send(b"x")
    rotated = Client.create(SUITE, old.credential, rng.randbytes)
    alice.client = rotated
    staged = alice.stage(signature_private_key=old.signature_private_key, force_path=True)
    alice.enter(staged)
    bob.receive(staged.message)
    with refusing("FRM-12", bob):
        bob.receive(genuine)
    late = Party(SUITE, "bob, late", rng.randbytes)
    late.state = before
    assert late.receive(genuine) == b"x"


# The transcript


@pytest.mark.breaks("KS-07")
def test_a_creator_that_begins_with_an_empty_interim_hash_follows_nobody(rng: random.Random) -> None:
    creator, joiner = parties(SUITE, "ab", rng)
    room = Room(creator)
    joining = joiner.join_externally(room.follower, creator.group_info())
    creator.process(joining.message)
    with_interim(creator, b"")
    with refusing("CP-10", creator):
        creator.process(joining.message)


@pytest.mark.breaks("KS-08")
@pytest.mark.parametrize("kind", ["empty", "confirmed", "tag", "hash of the tag alone"])
def test_a_joiner_takes_the_interim_hash_from_the_tag(room: Room, newcomer: Party, kind: str) -> None:
    alice, bob, *_ = room.members
    room.add(alice, newcomer)
    public = newcomer.state.public
    confirmed, tag = public.context.confirmed_transcript_hash, public.confirmation_tag
    wrong = {"empty": b"", "confirmed": confirmed, "tag": tag, "hash of the tag alone": SUITE.hash(tag)}[kind]
    message = bob.stage().message
    newcomer.process(message)
    with_interim(newcomer, wrong)
    with refusing("CP-10", newcomer):
        newcomer.process(message)
    with refusing("CP-10", bob):
        bob.process(newcomer.stage().message)


# Exporters


@pytest.mark.breaks("KS-10")
def test_what_another_exporter_gives_opens_nothing(room: Room) -> None:
    alice, bob, *_ = room.members
    secret, size = bob.state.secrets.exporter_secret, SUITE.key_size
    hashed = SUITE.hash(b"context")
    deviants = [
        SUITE.expand_with_label(SUITE.derive_secret(secret, "label"), "exported", b"context", size),
        SUITE.expand_with_label(SUITE.derive_secret(secret, "label"), "exporter", hashed, size),
        SUITE.expand_with_label(secret, "label", hashed, size),
        SUITE.expand_with_label(SUITE.derive_secret(secret, b"MLS 1.0 label"), "exported", hashed, size),
    ]
    sealed = SUITE.aead_seal(export_secret(alice.state, "label", b"context", size), bytes(12), b"", b"text")
    assert SUITE.aead_open(export_secret(bob.state, "label", b"context", size), bytes(12), b"", sealed) == b"text"
    for deviant in deviants:
        with disagreeing(bob):
            SUITE.aead_open(deviant, bytes(12), b"", sealed)


# What is kept


@pytest.mark.breaks("ST-06")
def test_the_secrets_on_the_way_to_an_epoch_are_in_no_state(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who could read a state of after a commit finds none of them, and with it neither the way back nor aside."""
    alice, bob, *_ = room.members
    seen: dict[str, Secret] = {}

    def derive_joiner(suite: CipherSuite, init: Secret, commit: Secret, context: bytes) -> Secret:
        joiner = key_schedule.derive_joiner_secret(suite, init, commit, context)
        seen.update(joiner=joiner, commit=commit, init=init)
        return joiner

    def derive_members(suite: CipherSuite, *inputs: Any) -> tuple[Secret, Secret]:
        welcome, epoch = key_schedule.derive_member_secrets(suite, *inputs)
        seen.update(welcome=welcome, epoch=epoch)
        return welcome, epoch

    with monkeypatch.context() as patch:
        patch.setattr(secrets, "derive_joiner_secret", derive_joiner)
        patch.setattr(secrets, "derive_member_secrets", derive_members)
        staged = alice.stage(force_path=True)
    epoch_secrets = key_schedule.derive_epoch_secrets(SUITE, seen["epoch"])
    seen["encryption"] = epoch_secrets.encryption_secret
    assert bytes(seen["init"]) in encode_state(alice.state)
    assert alice.state.rule.encode_state(staged.state.init_state) in encode_state(staged.state)
    assert bytes(epoch_secrets.membership_key) in encode_state(staged.state)
    tree = staged.state.secret_tree
    _, tree = tree.next_key(alice.leaf, ContentType.APPLICATION)
    used = replace(staged.state, secret_tree=tree)
    for name, secret in seen.items():
        assert len(secret) == SUITE.hash_size, name
        assert bytes(secret) not in encode_state(used), name
    bob.receive(staged.message)
    for name, secret in seen.items():
        assert name == "encryption" or bytes(secret) not in encode_state(bob.state), name
