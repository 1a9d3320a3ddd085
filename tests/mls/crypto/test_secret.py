"""Secrets are bytes that nothing prints and nothing pickles."""

from __future__ import annotations

import copy
import json
import logging
import pickle  # noqa: TID251 that it is refused is the point
import random
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pprint import pformat

import pytest

from dmls.errors import DMLSError, UsageError
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CIPHER_SUITES, CipherSuite

by_suite = pytest.mark.parametrize("suite", CIPHER_SUITES, ids=lambda suite: f"suite{suite.id}")
VALUE = b"canary-canary-canary-canary-cana"
FORMS = (VALUE.decode(), VALUE.hex(), repr(VALUE), repr(list(VALUE)))


@dataclass
class Holder:
    secret: Secret


def shown(text: str) -> bool:
    return any(form in text for form in FORMS)


def test_no_way_of_printing_shows_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret(VALUE)
    logging.getLogger("test").warning("%s %r %s", secret, secret, {"key": secret})
    texts = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret!r:>40}",
        f"{secret:40}",
        "{}".format(secret),  # noqa: UP032
        "%r" % secret,  # noqa: UP031
        repr([secret, (secret,), {secret: secret}]),
        repr(Holder(secret)),
        pformat(Holder(secret)),
        caplog.text,
    ]
    for text in texts:
        assert not shown(text)
        assert "Secret(32 bytes)" in text


def test_a_secret_is_neither_pickled_nor_written_as_json() -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(UsageError):
            pickle.dumps(Secret(VALUE), protocol)
        with pytest.raises(UsageError):
            pickle.dumps({"state": Holder(Secret(VALUE))}, protocol)
    with pytest.raises(TypeError) as caught:
        json.dumps(Secret(VALUE))
    assert not shown("".join(traceback.format_exception(caught.value)))


def test_a_secret_is_otherwise_bytes() -> None:
    secret = Secret(VALUE)
    assert secret == VALUE
    assert hash(secret) == hash(VALUE)
    assert copy.copy(secret) is secret
    assert copy.deepcopy(Holder(secret)).secret is secret
    assert type(secret[:4]) is bytes
    assert Secret(secret) == secret


@by_suite
def test_key_pairs_and_errors_do_not_show_private_keys(suite: CipherSuite, rng: random.Random) -> None:
    signature = suite.generate_signature_key_pair(rng.randbytes)
    encryption = suite.derive_key_pair(rng.randbytes(64))
    private_keys = (signature.private_key, encryption.private_key)
    texts = [repr(signature), repr(encryption), repr(suite), repr(suite.sealer("label", encryption.private_key))]
    calls: list[Callable[[], object]] = [
        lambda: suite.sign_with_label(bytes(signature.private_key) + b"\0", "label", b""),
        lambda: suite.public_key(bytes(encryption.private_key) + b"\0"),
        lambda: suite.open_with_label(encryption.private_key, encryption.public_key, "label", b"", b"", b""),
    ]
    for call in calls:
        with pytest.raises(DMLSError) as caught:
            call()
        texts.append("".join(traceback.format_exception(caught.value)))
        assert caught.value.__cause__ is None
    for text in texts:
        for key in private_keys:
            assert key.hex() not in text
            assert repr(bytes(key)) not in text
