"""Naming pre-shared keys for injection, and keeping them (RFC 9420, Section 8.4)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from immutables import Map

from dmls.mls.crypto.randomness import Random, draw
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CipherSuite
from dmls.mls.group.state import GroupState
from dmls.mls.messages.psk import ExternalPSK, PreSharedKeyID, ResumptionPSK, ResumptionPSKUsage

__all__ = ["PSKKeeper", "name_psk"]


def name_psk(suite: CipherSuite, source: ExternalPSK | ResumptionPSK, random: Random) -> PreSharedKeyID:
    """Name one injection of a key into a group of `suite`: the nonce of hash_size bytes is fresh each time.

    Raises:
        CryptoError: `random` gives too few bytes.
    """
    return PreSharedKeyID(source, draw(random, suite.hash_size))  # PSK-02


@dataclass(frozen=True, slots=True, repr=False)
class PSKKeeper:
    """Keys by what names them, as a `PSKLookup`. Immutable.

    Resumption PSKs are found for usage application only, of whichever groups and epochs they are (PSK-09, AMB-14): the others
    link a group to its predecessor, whose state tells more than the key does (`JoinOptions.predecessors`). An epoch is known by
    its number: of forks of one epoch the one added last counts.
    """

    external: Map[bytes, Secret] = Map()
    """By the psk_id that the application gave them."""
    resumption: Map[tuple[bytes, int], Secret] = Map()
    """By group id and epoch."""

    def add_external(self, psk_id: bytes, psk: bytes) -> PSKKeeper:
        """Return a keeper that also holds a key of the application's."""
        return replace(self, external=self.external.set(psk_id, Secret(psk)))

    def add_group(self, state: GroupState) -> PSKKeeper:
        """Return a keeper that also holds the resumption PSKs that a state keeps, its own epoch's among them."""
        group_id = state.public.context.group_id
        kept = {(group_id, epoch): psk for epoch, psk in state.resumption_psks.items()}
        return replace(self, resumption=self.resumption.update(kept))

    def __call__(self, psk_id: PreSharedKeyID) -> Secret | None:
        """Return the key that `psk_id` names, or None."""
        source = psk_id.source
        if isinstance(source, ExternalPSK):
            return self.external.get(source.psk_id)
        if source.usage is not ResumptionPSKUsage.APPLICATION:
            return None
        return self.resumption.get((source.psk_group_id, source.psk_epoch))  # PSK-09
