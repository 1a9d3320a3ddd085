from __future__ import annotations

import pytest

from dmls.errors import CodecError, InvalidArgumentError, UsageError
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CIPHER_SUITES, cipher_suite
from dmls.mls.schedule.key_schedule import (
    RFC9420_RULE,
    derive_epoch_secrets,
    export,
    welcome_key_nonce,
)
from dmls.mls.schedule.secret_tree import SecretTree

SUITE = cipher_suite(1)


def secret(text: str) -> Secret:
    return Secret(bytes.fromhex(text))


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
