"""Whatever bytes go in, nothing but a DMLSError comes out."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmls.errors import CryptoError, DecryptionError, DMLSError
from dmls.mls.crypto.suites import CIPHER_SUITES, CipherSuite

by_suite = pytest.mark.parametrize("suite", CIPHER_SUITES, ids=lambda suite: f"suite{suite.id}")

SIZES = (0, 1, 12, 16, 31, 32, 33, 48, 56, 57, 64, 65, 66, 96, 97, 104, 114, 132, 133, 139)
octets = st.one_of(st.binary(max_size=200), st.sampled_from(SIZES).flatmap(lambda size: st.binary(min_size=size, max_size=size)))
uncompressed = st.sampled_from([64, 96, 132]).flatmap(lambda size: st.binary(min_size=size, max_size=size)).map(b"\x04".__add__)
anything = st.one_of(octets, uncompressed)


@by_suite
def test_what_a_library_raises_for_a_wrong_type_stays_inside(suite: CipherSuite) -> None:
    text: bytes = "text"  # type: ignore[assignment]
    key, nonce = bytes(suite.key_size), bytes(suite.nonce_size)
    signing_key = suite.signing_key(suite.generate_signature_key_pair(random.Random(1).randbytes).private_key)
    with pytest.raises(CryptoError):
        suite.aead_seal(key, nonce, b"", text)
    with pytest.raises(DecryptionError):
        suite.aead_open(key, nonce, b"", text)
    with pytest.raises(CryptoError):
        suite.signature.sign(signing_key.parsed, text)
    with pytest.raises(CryptoError):
        suite.public_key("\0" * suite.kem.group.private_key_size)  # type: ignore[arg-type]


@st.composite
def damaged(draw: st.DrawFn, original: bytes) -> bytes:
    """`original`, or something near it."""
    data = bytearray(original)
    for _ in range(draw(st.integers(0, 3))):
        change = draw(st.sampled_from(["flip", "cut", "insert"]))
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        if change == "flip" and data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif change == "cut":
            del data[at:]
        else:
            data[at:at] = draw(st.binary(min_size=1, max_size=3))
    return bytes(data)


@by_suite
@given(data=st.data())
def test_arbitrary_bytes_give_typed_errors_only(suite: CipherSuite, data: st.DataObject) -> None:
    a, b, c, d = (data.draw(anything) for _ in range(4))
    length = data.draw(st.integers(-2, 70000))
    calls: list[Callable[[], object]] = [
        lambda: suite.hash(a),
        lambda: suite.mac(a, b),
        lambda: suite.verify_mac(a, b, c),
        lambda: suite.extract(a, b),
        lambda: suite.expand(a, b, length),
        lambda: suite.expand_with_label(a, b, c, length),
        lambda: suite.derive_secret(a, b),
        lambda: suite.derive_tree_secret(a, b, length, length),
        lambda: suite.ref_hash(a, b),
        lambda: suite.aead_seal(a, b, c, d),
        lambda: suite.aead_open(a, b, c, d),
        lambda: suite.sign_with_label(a, b, c),
        lambda: suite.signing_key(a),
        lambda: suite.verify_with_label(a, b, c, d),
        lambda: suite.seal_with_label(a, b, c, d, random.Random(1).randbytes),
        lambda: suite.open_with_label(a, b, "label", b"", c, d),
        lambda: suite.derive_key_pair(a),
        lambda: suite.public_key(a),
        lambda: suite.signature_public_key(a),
        lambda: suite.generate_signature_key_pair(lambda length: a),
        lambda: suite.check_encryption_key(a),
        lambda: suite.check_signature_key(a),
        lambda: suite.export_external_init_seal(a, random.Random(1).randbytes),
        lambda: suite.export_external_init_open(a, b, c),
    ]
    for call in calls:
        with contextlib.suppress(DMLSError):
            call()


@by_suite
@given(data=st.data())
def test_damaged_input_gives_typed_errors_and_never_success(suite: CipherSuite, data: st.DataObject) -> None:
    randbytes = random.Random(suite.id).randbytes
    pair, signing = suite.derive_key_pair(randbytes(64)), suite.generate_signature_key_pair(randbytes)
    originals = (signing.public_key, b"content", suite.sign_with_label(signing.private_key, "label", b"content"))
    public_key, content, signature = (data.draw(damaged(original)) for original in originals)
    changed = (public_key, content, signature) != originals
    try:
        suite.verify_with_label(public_key, "label", content, signature)
    except DMLSError:
        assert changed
    else:
        assert not changed

    sealed = suite.seal_with_label(pair.public_key, "label", b"context", b"plaintext", randbytes)
    arguments = (pair.private_key, pair.public_key, "label", b"context", *sealed)
    kem_output, ciphertext, context = (data.draw(damaged(original)) for original in (*sealed, b"context"))
    changed = (kem_output, ciphertext, context) != (*sealed, b"context")
    try:
        opened = suite.open_with_label(*arguments[:3], context, kem_output, ciphertext)
    except DMLSError:
        assert changed
    else:
        assert not changed
        assert opened == b"plaintext"
