"""The step of the key schedule that a commit takes (RFC 9420, Section 8)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from dmls.errors import DecryptionError, InvalidCommitError, MacError
from dmls.ids import LeafIndex
from dmls.mls.codec import encode
from dmls.mls.crypto.secret import Secret
from dmls.mls.group.follower import PublicGroup
from dmls.mls.group.policy import PSKLookup
from dmls.mls.group.state import GroupState, find_psk, open_epoch
from dmls.mls.limits import DEFAULT_LIMITS, Limits
from dmls.mls.messages.psk import PreSharedKeyID
from dmls.mls.schedule.key_schedule import (
    InitState,
    derive_joiner_secret,
    derive_member_secrets,
    external_key_pair,
)
from dmls.mls.schedule.psk import derive_psk_secret

__all__ = [
    "ChildEpoch",
    "InitSecretStep",
    "check_confirmation",
    "collect_psks",
    "derive_child",
    "external_init",
    "regular_init",
    "with_init_state",
]

InitSecretStep = Callable[[bytes], tuple[Secret, InitState]]
"""From the encoded new group context to the child's init secret and the parent's init state after it."""


@dataclass(frozen=True, slots=True, repr=False)
class ChildEpoch:
    """The secrets of a new epoch, and the parent's init state after making it."""

    state: GroupState
    joiner_secret: Secret
    welcome_secret: Secret
    parent_init_state: InitState


def collect_psks(
    state: GroupState, psk_ids: Sequence[PreSharedKeyID], lookup: PSKLookup | None
) -> list[tuple[PreSharedKeyID, bytes]]:
    """Find every pre-shared key of a commit, in its order (PSK-03).

    Raises:
        InvalidCommitError: one is not known here (CP-04, PSK-06).
    """
    found = []
    for psk_id in psk_ids:
        psk = find_psk(state, psk_id)
        if psk is None and lookup is not None:
            psk = lookup(psk_id)
        if psk is None:
            raise InvalidCommitError("unknown pre-shared key", rule="CP-04")  # PSK-06
        found.append((psk_id, psk))  # PSK-03
    return found


def regular_init(state: GroupState, last_path_secret: Secret | None) -> InitSecretStep:
    """Take the init secret from the parent, by the group's rule."""
    return lambda context: state.rule.child_init_secret(state.public.suite, state.init_state, last_path_secret, context)


def external_init(state: GroupState, kem_output: bytes) -> InitSecretStep:
    """Take the init secret from the KEM of an external commit (RFC 9420, Section 8.3; XC-09); the parent is not touched.

    Raises:
        DecryptionError: `kem_output` is no public key, or the epoch's external secret was deleted.
    """
    suite = state.public.suite
    if not state.secrets.external_secret:
        raise DecryptionError("the epoch takes no external commits any more")
    pair = external_key_pair(suite, state.secrets.external_secret)
    secret = suite.export_external_init_open(pair.private_key, pair.public_key, kem_output)  # XC-09
    return lambda _context: (secret, state.init_state)


def derive_child(
    parent: GroupState,
    child: PublicGroup,
    init: InitSecretStep,
    commit_secret: Secret | None,
    psks: Sequence[tuple[PreSharedKeyID, bytes]],
    own_leaves: frozenset[LeafIndex],
    limits: Limits = DEFAULT_LIMITS,
) -> ChildEpoch:
    """Derive the next epoch's secrets (KS-01 to KS-04)."""
    suite = child.suite
    context = encode(child.context)
    init_secret, parent_init_state = init(context)
    joiner = derive_joiner_secret(suite, init_secret, commit_secret or Secret(bytes(suite.hash_size)), context)  # KS-04
    welcome, epoch_secret = derive_member_secrets(suite, joiner, derive_psk_secret(suite, psks), context)
    state = open_epoch(child, parent.rule, epoch_secret, own_leaves, parent.resumption_psks, limits=limits)
    return ChildEpoch(state, joiner, welcome, parent_init_state)


def check_confirmation(state: GroupState, rule: str) -> None:
    """Compare the epoch's confirmation tag with what its secrets say; `rule` is CP-10, or WL-19 for a newcomer.

    Raises:
        MacError: they differ.
    """
    public = state.public
    confirmed = public.context.confirmed_transcript_hash
    try:
        public.suite.verify_mac(state.secrets.confirmation_key, confirmed, public.confirmation_tag)
    except MacError as error:
        raise MacError("the confirmation tag does not match", rule=rule) from error


def with_init_state(state: GroupState, init_state: InitState) -> GroupState:
    """Return the parent after a child took its init secret."""
    return state if init_state is state.init_state else replace(state, init_state=init_state)
