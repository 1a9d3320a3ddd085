"""The secret of a commit's pre-shared keys (RFC 9420, Section 8.4)."""

from __future__ import annotations

from collections.abc import Sequence

from dmls.errors import LimitError, ValidationError
from dmls.mls.codec import encode
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CipherSuite
from dmls.mls.messages.psk import PreSharedKeyID, PSKLabel

__all__ = ["check_unique_psks", "derive_psk_secret"]

_MOST = 0xFFFF


def check_unique_psks(psk_ids: Sequence[PreSharedKeyID], error: type[ValidationError]) -> None:
    """Refuse a list that names one injection of a key twice; with another nonce it is another (AMB-02).

    Raises:
        ValidationError: of class `error`.
    """
    if len(set(psk_ids)) != len(psk_ids):
        raise error("one PSK stands twice", rule="PSK-08")


def derive_psk_secret(suite: CipherSuite, psks: Sequence[tuple[PreSharedKeyID, bytes]]) -> Secret:
    """Return the PSK secret, hash_size bytes; all zero without any key (KS-04).

    Args:
        suite: the cipher suite of the group.
        psks: each key with its identifier, in the order of the commit's PreSharedKey proposals (PSK-03).

    Raises:
        LimitError: more keys than a PSKLabel can count (PSK-04).
    """
    count = len(psks)
    if count > _MOST:
        raise LimitError(f"{count} pre-shared keys in one commit", rule="PSK-04")
    zero = bytes(suite.hash_size)
    psk_secret = Secret(zero)
    for index, (psk_id, psk) in enumerate(psks):
        label = encode(PSKLabel(psk_id, index, count))
        psk_input = suite.expand_with_label(suite.extract(zero, psk), "derived psk", label, suite.hash_size)
        psk_secret = suite.extract(psk_input, psk_secret)
    return psk_secret
