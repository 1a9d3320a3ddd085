"""Every bound that keeps a peer from making a member work or store without end, in one table (docs/limits.md)."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from dmls.errors import UsageError

__all__ = ["DEFAULT_LIMITS", "Limits"]


def _bound(default: int, unit: str, reason: str) -> Any:
    return field(default=default, metadata={"unit": unit, "reason": reason})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a member puts up with. Members of a group should agree, or one of them refuses what the others accept.

    Raises:
        UsageError: a bound is negative.
    """

    max_leaves: int = _bound(65_536, "leaves", "Judging a tree from outside costs a signature a leaf")
    max_proposals: int = _bound(16_384, "proposals", "In one commit, and waiting for one")
    max_lifetime: int = _bound(
        2**64 - 1, "seconds", "From not_before to not_after of a key package; the application knows what is long"
    )
    clock_skew: int = _bound(3_600, "seconds", "That another's clock may be off")
    max_certificates: int = _bound(10, "certificates", "In the chain of one credential, each a signature to verify")
    max_certificate_bytes: int = _bound(65_536, "bytes", "Of all certificates of a chain, which are parsed together")
    resumption_psks: int = _bound(32, "epochs", "Whose resumption PSK is kept; the oldest goes first")
    max_forward: int = _bound(1_024, "generations", "That a message may be ahead of all before it; each costs a derivation")
    max_skipped: int = _bound(
        1_024,
        "generations",
        "Behind the newest whose keys are kept for late messages; with less than max_forward a jump loses keys",
    )
    max_messages: int = _bound(
        1 << 24,
        "messages",
        "Of one sender and kind in one epoch: as many as one AES-GCM key could take, although each has its own",
    )

    def __post_init__(self) -> None:
        for bound in fields(self):
            if getattr(self, bound.name) < 0:
                raise UsageError(f"{bound.name} is negative")


DEFAULT_LIMITS = Limits()
