"""The secret of a commit's pre-shared keys (RFC 9420, Section 8.4)."""

from __future__ import annotations

from collections.abc import Sequence

from dmls.errors import LimitError, ValidationError
from dmls.mls.codec import encode
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CipherSuite
from dmls.mls.messages.psk import PreSharedKeyID, PSKLabel

__all__ = ["derive_psk_secret"]

_MOST = 0xFFFF


def derive_psk_secret(suite: CipherSuite, psks: Sequence[tuple[PreSharedKeyID, bytes]]) -> Secret:
    """Return the PSK secret, hash_size bytes; all zero without any key (KS-04).

    Args:
        suite: the cipher suite of the group.
        psks: each key with its identifier, in the order of the commit's PreSharedKey proposals (PSK-03).

    Raises:
        ValidationError: a psk_nonce does not have hash_size bytes (PSK-01).
        LimitError: more keys than a PSKLabel can count (PSK-04).
    """
    count = len(psks)
    if count > _MOST:
        raise LimitError(f"{count} pre-shared keys in one commit", rule="PSK-04")
    zero = bytes(suite.hash_size)
    psk_secret = Secret(zero)
    for index, (psk_id, psk) in enumerate(psks):
        if len(psk_id.psk_nonce) != suite.hash_size:
            raise ValidationError("psk_nonce has a wrong length", rule="PSK-01")
        label = encode(PSKLabel(psk_id, index, count))
        psk_input = suite.expand_with_label(suite.extract(zero, psk), "derived psk", label, suite.hash_size)
        psk_secret = suite.extract(psk_input, psk_secret)
    return psk_secret
