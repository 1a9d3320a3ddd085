from __future__ import annotations

from typing import Any

import pytest

from dmls.errors import CodecError, InvalidArgumentError, UsageError
from dmls.mls.codec import encode
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CIPHER_SUITES, CipherSuite, cipher_suite
from dmls.mls.messages.group_context import GroupContext
from dmls.mls.messages.registry import ProtocolVersion
from dmls.mls.schedule.key_schedule import (
    RFC9420_RULE,
    derive_epoch_secrets,
    derive_joiner_secret,
    derive_member_secrets,
    derive_welcome_secret,
    export,
    external_key_pair,
    welcome_key_nonce,
)
from dmls.mls.schedule.secret_tree import SecretTree
from tests.support.vectors import load_vectors

CASES = load_vectors("key-schedule.json")
SUITE = cipher_suite(1)


def secret(text: str) -> Secret:
    return Secret(bytes.fromhex(text))


def encoded_context(suite: CipherSuite, group_id: str, number: int, epoch: dict[str, Any]) -> bytes:
    hashes = bytes.fromhex(epoch["tree_hash"]), bytes.fromhex(epoch["confirmed_transcript_hash"])
    return encode(GroupContext(ProtocolVersion.MLS10, suite.id, bytes.fromhex(group_id), number, *hashes, ()))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"suite{case['cipher_suite']}")
def test_every_secret_of_five_epochs_is_the_official_one(case: dict[str, Any]) -> None:
    suite = cipher_suite(case["cipher_suite"])
    init_secret = secret(case["initial_init_secret"])
    assert len(case["epochs"]) == 5
    for number, epoch in enumerate(case["epochs"]):
        context = encoded_context(suite, case["group_id"], number, epoch)
        joiner_secret = derive_joiner_secret(suite, init_secret, secret(epoch["commit_secret"]), context)
        psk_secret = secret(epoch["psk_secret"])
        welcome_secret, epoch_secret = derive_member_secrets(suite, joiner_secret, psk_secret, context)
        secrets = derive_epoch_secrets(suite, epoch_secret)
        state = RFC9420_RULE.open_epoch(suite, epoch_secret)
        init_secret, _ = RFC9420_RULE.child_init_secret(suite, state, None, context)
        label, exporter = epoch["exporter"]["label"], epoch["exporter"]
        found = {
            "group_context": context,
            "joiner_secret": joiner_secret,
            "welcome_secret": welcome_secret,
            "init_secret": init_secret,
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
        assert {name: value.hex() for name, value in found.items()} == {name: epoch[name] for name in found}
        assert derive_welcome_secret(suite, joiner_secret, psk_secret) == welcome_secret
        exported = export(suite, secrets.exporter_secret, label, bytes.fromhex(exporter["context"]), exporter["length"])
        assert exported.hex() == exporter["secret"]


def test_every_official_suite_has_a_case() -> None:
    assert [case["cipher_suite"] for case in CASES] == [suite.id for suite in CIPHER_SUITES]


def test_a_label_is_text_or_its_bytes() -> None:
    exporter_secret = Secret(bytes(32))
    assert export(SUITE, exporter_secret, "DMLS epoch ID", b"", 32) == export(SUITE, exporter_secret, b"DMLS epoch ID", b"", 32)


def test_the_exporter_stops_at_255_blocks() -> None:
    exporter_secret = Secret(bytes(32))
    most = export(SUITE, exporter_secret, "label", b"", 255 * SUITE.hash_size)
    assert len(most) == 255 * SUITE.hash_size
    for length in (255 * SUITE.hash_size + 1, -1, 1 << 16):
        with pytest.raises(InvalidArgumentError) as raised:
            export(SUITE, exporter_secret, "label", b"", length)
        assert raised.value.rule == "KS-11"


def test_welcome_key_and_nonce_have_the_sizes_of_the_aead() -> None:
    for suite in CIPHER_SUITES:
        key, nonce = welcome_key_nonce(suite, Secret(bytes(suite.hash_size)))
        assert (len(key), len(nonce)) == (suite.key_size, suite.nonce_size)
        assert nonce != key[: suite.nonce_size]


def test_the_stock_rule_gives_every_child_the_same_secret_and_keeps_its_state() -> None:
    state = RFC9420_RULE.open_epoch(SUITE, Secret(bytes(32)))
    first, after = RFC9420_RULE.child_init_secret(SUITE, state, Secret(b"1" * 32), b"one child")
    second, last = RFC9420_RULE.child_init_secret(SUITE, after, None, b"another child")
    assert first == second == SUITE.derive_secret(bytes(32), "init")
    assert after is state
    assert last is state


def test_the_stock_state_survives_storage() -> None:
    state = RFC9420_RULE.open_epoch(SUITE, Secret(bytes(32)))
    again = RFC9420_RULE.decode_state(SUITE, RFC9420_RULE.encode_state(state))
    assert again == state
    assert "bytes)" in repr(again)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_stored_state_of_a_wrong_length_is_refused(size: int) -> None:
    with pytest.raises(CodecError):
        RFC9420_RULE.decode_state(SUITE, bytes(size))


def test_the_state_of_another_rule_is_refused() -> None:
    with pytest.raises(UsageError):
        RFC9420_RULE.child_init_secret(SUITE, object(), None, b"")
    with pytest.raises(UsageError):
        RFC9420_RULE.encode_state(b"bytes that are no Secret")


def test_the_record_of_an_epoch_can_drop_the_encryption_secret() -> None:
    secrets = derive_epoch_secrets(SUITE, Secret(bytes(32)))
    kept = secrets.without_encryption_secret()
    assert kept.encryption_secret == b""
    assert kept.membership_key == secrets.membership_key
    with pytest.raises(UsageError):
        SecretTree.create(SUITE, kept.encryption_secret, 2)


def test_epoch_secrets_are_not_printed() -> None:
    secrets = derive_epoch_secrets(SUITE, Secret(bytes(32)))
    printed = repr(secrets)
    assert secrets.epoch_authenticator.hex() not in printed
    assert repr(secrets.epoch_authenticator) not in printed
