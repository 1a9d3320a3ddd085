"""A key schedule that keeps a note of what goes through it, for answers that are to be known."""

from __future__ import annotations

from dataclasses import dataclass, field

from dmls.forks.pprf import PPRF_RULE, child_input
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CipherSuite
from dmls.mls.schedule.key_schedule import InitState

__all__ = ["Derivation", "RecordingRule"]


@dataclass(frozen=True)
class Derivation:
    """One child's init secret and what it was made from."""

    last_path_secret: bytes
    input: bytes
    init_secret: bytes


@dataclass
class RecordingRule:
    """Mode `pprf`, with every epoch secret and every derivation, by the child's encoded GroupContext."""

    epoch_secrets: list[bytes] = field(default_factory=list)
    derivations: dict[bytes, set[Derivation]] = field(default_factory=dict)

    def open_epoch(self, suite: CipherSuite, epoch_secret: Secret) -> InitState:
        self.epoch_secrets.append(bytes(epoch_secret))
        return PPRF_RULE.open_epoch(suite, epoch_secret)

    def child_init_secret(
        self, suite: CipherSuite, state: InitState, last_path_secret: Secret | None, group_context: bytes
    ) -> tuple[Secret, InitState]:
        secret, left = PPRF_RULE.child_init_secret(suite, state, last_path_secret, group_context)
        assert last_path_secret is not None
        value = child_input(suite, last_path_secret, group_context)
        found = Derivation(bytes(last_path_secret), bytes(value), bytes(secret))
        self.derivations.setdefault(group_context, set()).add(found)
        return secret, left

    def encode_state(self, state: InitState) -> bytes:
        return PPRF_RULE.encode_state(state)

    def decode_state(self, suite: CipherSuite, data: bytes) -> InitState:
        return PPRF_RULE.decode_state(suite, data)
