"""One hash ratchet of the secret tree: a key and a nonce a generation (RFC 9420, Sections 9.1 and 9.2)."""

from __future__ import annotations

from dataclasses import dataclass

from immutables import Map

from dmls.errors import CodecError, ExhaustedError, KeyConsumedError, LimitError
from dmls.mls.codec import opaque, optional, struct, uint32, uint64, vector
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CipherSuite
from dmls.mls.limits import Limits

__all__ = ["LAST_GENERATION", "MessageKey", "Ratchet", "RatchetRecord"]

LAST_GENERATION = 0xFFFFFFFF
"""Largest generation that SenderData can say."""


@dataclass(frozen=True, slots=True, repr=False)
class MessageKey:
    """What encrypts one message: key_size and nonce_size bytes. The reuse guard is not yet in the nonce."""

    generation: int
    key: Secret
    nonce: Secret


@struct(secret=True)
class _SkippedRecord:
    generation: uint32
    key_nonce: opaque


@struct(secret=True)
class RatchetRecord:
    """A ratchet as it is stored."""

    generation: uint64
    secret: optional[opaque]
    skipped: vector[_SkippedRecord]


@dataclass(frozen=True, slots=True, repr=False)
class Ratchet:
    """The position of a ratchet. Immutable: an operation returns the ratchet after it."""

    generation: int
    """The first generation not yet derived; LAST_GENERATION + 1 at the end."""
    secret: Secret | None
    """hash_size bytes, from which that generation and all later ones follow; None at the end."""
    skipped: Map[int, Secret]
    """Earlier generations not yet used: key and nonce, one after the other."""

    def has(self, generation: int) -> bool:
        """Whether the key of a generation has not been used or dropped."""
        return self.generation <= generation <= LAST_GENERATION or generation in self.skipped

    def next(self, suite: CipherSuite, limits: Limits) -> tuple[MessageKey, Ratchet]:
        """Use the next generation for sending.

        Raises:
            LimitError: the sender has used up this epoch (CRY-17).
            ExhaustedError: the last generation has been used (ST-09).
        """
        if self.generation > LAST_GENERATION:
            raise ExhaustedError("no generation is left", rule="ST-09")
        if self.generation >= limits.max_messages:
            raise LimitError("too many messages in one epoch", rule="CRY-17")  # SQ-06
        return self._advance(suite, self.generation, limits)

    def take(self, suite: CipherSuite, generation: int, limits: Limits) -> tuple[MessageKey, Ratchet]:
        """Use one generation for receiving.

        Raises:
            KeyConsumedError: it was used before, or is older than the window (ST-05, ST-07, ST-13).
            LimitError: it is too far ahead (ST-08).
        """
        if generation >= self.generation:
            return self._advance(suite, generation, limits)
        key_nonce = self.skipped.get(generation)
        if key_nonce is None:
            raise KeyConsumedError("the key of this generation is gone", rule="ST-13")
        key, nonce = Secret(key_nonce[: suite.key_size]), Secret(key_nonce[suite.key_size :])
        return MessageKey(generation, key, nonce), Ratchet(self.generation, self.secret, self.skipped.delete(generation))

    def _advance(self, suite: CipherSuite, generation: int, limits: Limits) -> tuple[MessageKey, Ratchet]:
        if generation - self.generation > limits.max_forward or generation > LAST_GENERATION:
            raise LimitError("generation is too far ahead", rule="ST-08")
        secret = self.secret
        if secret is None:
            raise ExhaustedError("the ratchet holds no secret")
        skipped = self.skipped
        oldest = generation + 1 - limits.max_skipped
        if skipped or generation > self.generation:
            with skipped.mutate() as changed:
                for past in range(max(self.generation - limits.max_skipped, 0), min(oldest, self.generation)):
                    changed.pop(past, None)
                for past in range(self.generation, generation):
                    if past >= oldest:
                        changed[past] = Secret(b"".join(_key_nonce(suite, secret, past)))  # ST-07
                    secret = suite.derive_tree_secret(secret, "secret", past, suite.hash_size)
                skipped = changed.finish()
        key, nonce = _key_nonce(suite, secret, generation)
        last = generation == LAST_GENERATION
        after = None if last else suite.derive_tree_secret(secret, "secret", generation, suite.hash_size)
        return MessageKey(generation, key, nonce), Ratchet(generation + 1, after, skipped)

    def to_record(self) -> RatchetRecord:
        """Return what is stored of the ratchet."""
        skipped = tuple(_SkippedRecord(generation, self.skipped[generation]) for generation in sorted(self.skipped))
        return RatchetRecord(self.generation, self.secret, skipped)

    @classmethod
    def from_record(cls, suite: CipherSuite, record: RatchetRecord, limits: Limits) -> Ratchet:
        """Check a stored ratchet and drop what is outside the limits' window.

        Raises:
            CodecError: it is none of this suite.
        """
        secret, generation = record.secret, record.generation
        if generation > LAST_GENERATION + 1 or (secret is None) != (generation == LAST_GENERATION + 1):
            raise CodecError("generation and secret of a ratchet do not fit")
        if secret is not None and len(secret) != suite.hash_size:
            raise CodecError("ratchet secret has a wrong length")
        before = -1
        for skipped in record.skipped:
            if not before < skipped.generation < generation or len(skipped.key_nonce) != suite.key_size + suite.nonce_size:
                raise CodecError("skipped key of a ratchet is out of place")
            before = skipped.generation
        oldest = generation - limits.max_skipped
        kept = Map((skipped.generation, Secret(skipped.key_nonce)) for skipped in record.skipped if skipped.generation >= oldest)
        return cls(generation, None if secret is None else Secret(secret), kept)


def _key_nonce(suite: CipherSuite, secret: Secret, generation: int) -> tuple[Secret, Secret]:
    key = suite.derive_tree_secret(secret, "key", generation, suite.key_size)
    return key, suite.derive_tree_secret(secret, "nonce", generation, suite.nonce_size)
