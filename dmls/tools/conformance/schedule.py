"""Checks of key-schedule, secret-tree and transcript-hashes."""

from __future__ import annotations

from dmls.ids import LeafIndex
from dmls.mls.codec import decode, encode
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CipherSuite
from dmls.mls.framing.private_message import SenderData, open_sender_data
from dmls.mls.messages.commit import Commit
from dmls.mls.messages.group_context import GroupContext
from dmls.mls.messages.message import AuthenticatedContent, PrivateMessage
from dmls.mls.messages.registry import ContentType, ProtocolVersion
from dmls.mls.schedule.key_schedule import (
    RFC9420_RULE,
    derive_epoch_secrets,
    derive_joiner_secret,
    derive_member_secrets,
    export,
    external_key_pair,
)
from dmls.mls.schedule.secret_tree import SecretTree
from dmls.mls.schedule.transcript import confirmation_tag, confirmed_transcript_hash, interim_transcript_hash
from dmls.tools.conformance.fields import Fields, checking, expect

__all__ = ["check_key_schedule", "check_secret_tree", "check_transcript_hashes"]


def check_key_schedule(case: Fields) -> None:
    """Check every secret of a chain of epochs (RFC 9420, Sections 8, 8.1 and 8.5)."""
    suite, group_id = case.suite(), case.octets("group_id")
    init_secret = case.secret("initial_init_secret")
    for number, epoch in enumerate(case.parts("epochs")):
        with checking(f"epoch {number}"):
            init_secret = _check_epoch(suite, group_id, number, init_secret, epoch)


def _check_epoch(suite: CipherSuite, group_id: bytes, number: int, init_secret: Secret, epoch: Fields) -> Secret:
    context = encode(
        GroupContext(
            ProtocolVersion.MLS10,
            suite.id,
            group_id,
            number,
            epoch.octets("tree_hash"),
            epoch.octets("confirmed_transcript_hash"),
            (),
        )
    )
    joiner_secret = derive_joiner_secret(suite, init_secret, epoch.secret("commit_secret"), context)
    welcome_secret, epoch_secret = derive_member_secrets(suite, joiner_secret, epoch.secret("psk_secret"), context)
    secrets = derive_epoch_secrets(suite, epoch_secret)
    next_init, _ = RFC9420_RULE.child_init_secret(suite, RFC9420_RULE.open_epoch(suite, epoch_secret), None, context)
    exporter = epoch.part("exporter")
    found: dict[str, bytes] = {
        "group_context": context,
        "joiner_secret": joiner_secret,
        "welcome_secret": welcome_secret,
        "init_secret": next_init,
        "sender_data_secret": secrets.sender_data_secret,
        "encryption_secret": secrets.encryption_secret,
        "exporter_secret": secrets.exporter_secret,
        "epoch_authenticator": secrets.epoch_authenticator,
        "external_secret": secrets.external_secret,
        "confirmation_key": secrets.confirmation_key,
        "membership_key": secrets.membership_key,
        "resumption_psk": secrets.resumption_psk,
        "external_pub": external_key_pair(suite, secrets.external_secret).public_key,
    }
    for name, value in found.items():
        expect(f"epoch {number}: {name}", value, epoch.octets(name))
    exported = export(
        suite, secrets.exporter_secret, exporter.text("label"), exporter.octets("context"), exporter.integer("length")
    )
    expect(f"epoch {number}: exporter", exported, exporter.octets("secret"))
    return next_init


def check_secret_tree(case: Fields) -> None:
    """Check the keys of sender data and of messages (RFC 9420, Sections 6.3.2 and 9)."""
    suite = case.suite()
    _check_sender_data(suite, case.part("sender_data"))
    leaves = case.lists("leaves")
    with checking("secret tree"):
        tree = SecretTree.create(suite, case.secret("encryption_secret"), len(leaves))
    for number, entries in enumerate(leaves):
        for entry in entries:
            generation = entry.integer("generation")
            for name, kind in (("application", ContentType.APPLICATION), ("handshake", ContentType.COMMIT)):
                check = f"{name} key of leaf {number}, generation {generation}"
                with checking(check):
                    found, tree = tree.message_key(LeafIndex(number), kind, generation)
                expect(check, found.key, entry.octets(f"{name}_key"))
                expect(f"{check}: nonce", found.nonce, entry.octets(f"{name}_nonce"))


def _check_sender_data(suite: CipherSuite, given: Fields) -> None:
    """Check that what is sealed with the file's key and nonce opens with those derived here."""
    sender_data, kind = SenderData(1, 2, 3), ContentType.APPLICATION
    aad = b"\x05group" + (7).to_bytes(8, "big") + bytes((kind,))
    with checking("sender data"):
        sealed = suite.aead_seal(given.secret("key"), given.octets("nonce"), aad, encode(sender_data))
        message = PrivateMessage(b"group", 7, kind, b"", sealed, given.octets("ciphertext"))
        expect("sender data", open_sender_data(suite, message, given.secret("sender_data_secret")), sender_data)


def check_transcript_hashes(case: Fields) -> None:
    """Check the transcript hashes and the confirmation tag around a commit (RFC 9420, Sections 6.1 and 8.2)."""
    suite, key = case.suite(), case.secret("confirmation_key")
    with checking("authenticated_content"):
        content = decode(AuthenticatedContent, case.octets("authenticated_content"))
    expect("is a commit", isinstance(content.content.content, Commit), True)
    confirmed = confirmed_transcript_hash(suite, case.octets("interim_transcript_hash_before"), content)
    expect("confirmed_transcript_hash_after", confirmed, case.octets("confirmed_transcript_hash_after"))
    tag = content.confirmation_tag or b""
    expect("confirmation_tag", confirmation_tag(suite, key, confirmed), tag)
    with checking("confirmation_tag"):
        suite.verify_mac(key, confirmed, tag)
    interim = interim_transcript_hash(suite, confirmed, tag)
    expect("interim_transcript_hash_after", interim, case.octets("interim_transcript_hash_after"))
