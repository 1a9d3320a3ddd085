"""Identifiers of pre-shared keys (RFC 9420, Section 8.4)."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from dmls.mls.codec import Enum8, Tagged, opaque, struct, uint16, uint64

__all__ = ["ExternalPSK", "PSKLabel", "PreSharedKeyID", "ResumptionPSK", "ResumptionPSKUsage", "opens_successor"]


class ResumptionPSKUsage(Enum8):
    """What a resumption PSK is for."""

    APPLICATION = 1
    REINIT = 2
    BRANCH = 3


@struct
class ExternalPSK:
    """A key the application provides."""

    psk_id: opaque


@struct
class ResumptionPSK:
    """A key exported from an epoch of a group."""

    usage: ResumptionPSKUsage
    psk_group_id: opaque
    psk_epoch: uint64


PSKSource: TypeAlias = Annotated[ExternalPSK | ResumptionPSK, Tagged(1, {1: ExternalPSK, 2: ResumptionPSK})]


@struct
class PreSharedKeyID:
    """Names one injection of one pre-shared key."""

    source: PSKSource
    psk_nonce: opaque


@struct
class PSKLabel:
    """Binds a key to its place in the list."""

    id: PreSharedKeyID
    index: uint16
    count: uint16


def opens_successor(psk_id: PreSharedKeyID) -> bool:
    """Tell whether a key links a group to the one it continues (RFC 9420, Sections 11.2 and 11.3)."""
    return isinstance(psk_id.source, ResumptionPSK) and psk_id.source.usage != ResumptionPSKUsage.APPLICATION
