"""The parameters that RFC 9750, Section 7, wants every deployment to fix, in one table with the values in force.

Where a value is a constant of the code it is read from there, so that the table cannot say anything else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from dmls.engine import backfill, committing, entering, parking
from dmls.engine.messages import READ_WINDOW_MS, UNREAD_WINDOW_MS
from dmls.engine.sending import PADDING_STEP
from dmls.forks import aad, renewal, retention
from dmls.mls.limits import Limits as GroupLimits
from dmls.rooms import key_packages
from dmls.service.limits import Limits
from dmls.v1 import admin_pb2

__all__ = ["PARAMETERS", "Parameter", "parameter_table"]

_MLS = "RFC 9420"
_ARCHITECTURE = "RFC 9750, Section 7"
_PROTOCOL = "docs/protocol.md"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter."""

    name: str
    value: Callable[[Limits], object]
    """Returns the value in force, given the limits of the service."""
    unit: str
    description: str
    source: str
    configurable: bool = False


def _fixed(value: object) -> Callable[[Limits], object]:
    return lambda _: value


def _seconds(field: str) -> Callable[[Limits], object]:
    return lambda limits: int(getattr(limits, field).total_seconds())


def _limit(field: str) -> Callable[[Limits], object]:
    return lambda limits: getattr(limits, field)


_GROUP: Final = GroupLimits()

PARAMETERS: Final = (
    Parameter(
        "commit.author_children",
        _fixed(entering.MAX_CHILDREN_OF_AUTHOR),
        "",
        "Commits of one device on one parent that are entered.",
        _PROTOCOL,
    ),
    Parameter("commit.path", _fixed("always"), "", "When a commit carries an update path.", _PROTOCOL),
    Parameter("commit.proposals", _fixed("inline only"), "", "How proposals are sent; there are none by reference.", _PROTOCOL),
    Parameter(
        "commit.who",
        _fixed("any member that the wanted members call for"),
        "",
        "Who commits; no server puts commits in order.",
        _PROTOCOL,
    ),
    Parameter("credential.types", _fixed("basic"), "", "Credential types of a room's group.", _PROTOCOL),
    Parameter(
        "epoch.retain_epochs",
        _fixed(aad.DEFAULT_RETAIN_EPOCHS),
        "epochs",
        "Past epochs of the head's chain whose secrets are kept, unless the room says otherwise.",
        _ARCHITECTURE,
    ),
    Parameter(
        "epoch.retain_seconds",
        _fixed(aad.DEFAULT_RETAIN_SECONDS),
        "s",
        "How long a past epoch's secrets are kept, unless the room says otherwise.",
        _ARCHITECTURE,
    ),
    Parameter("epoch.retain_seconds_max", _fixed(aad.MAX_RETAIN_SECONDS), "s", "And at most.", _PROTOCOL),
    Parameter(
        "epoch.rival_heads", _fixed(retention.MAX_RIVAL_HEADS), "branches", "Losing branches whose secrets are kept.", _PROTOCOL
    ),
    Parameter(
        "external_commit", _fixed("allowed to devices of joined users"), "", "Who may join by external commit.", _ARCHITECTURE
    ),
    Parameter("external_senders", _fixed("none"), "", "Who may propose from outside.", _ARCHITECTURE),
    Parameter("group.max_members", _limit("max_group_members"), "leaves", "Most leaves of a group.", _MLS),
    Parameter("group_info.sharing", _fixed("in every commit's event"), "", "Where joiners find the GroupInfo.", _ARCHITECTURE),
    Parameter("handshake.wire_format", _fixed("PublicMessage"), "", "Whether handshake messages are encrypted.", _ARCHITECTURE),
    Parameter(
        "key_package.claim_margin",
        _fixed(key_packages.CLAIM_MARGIN_MS),
        "ms",
        "A key package that expires within this time is not given out.",
        _PROTOCOL,
    ),
    Parameter("key_package.clock_skew", _seconds("clock_skew"), "s", "How far clocks may differ.", f"{_MLS}, Section 7.2"),
    Parameter(
        "key_package.last_resort_kept",
        _fixed(key_packages.REPLACED_FOR_MS),
        "ms",
        "How long the private half of a replaced last resort is kept.",
        _ARCHITECTURE,
    ),
    Parameter(
        "key_package.low_water_mark",
        _limit("key_package_low_water_mark"),
        "key packages",
        "At this number left a device is told to upload more.",
        _PROTOCOL,
    ),
    Parameter("key_package.max_bytes", _limit("max_key_package_bytes"), "bytes", "Largest key package.", _PROTOCOL),
    Parameter(
        "key_package.max_lifetime", _seconds("max_key_package_lifetime"), "s", "Longest lifetime of a key package.", _ARCHITECTURE
    ),
    Parameter(
        "key_package.max_stored",
        _limit("max_key_packages_per_device"),
        "key packages",
        "Most of one device and suite.",
        _PROTOCOL,
    ),
    Parameter(
        "leaf.lifetime", _fixed(committing.LEAF_LIFETIME_S), "s", "Lifetime of a leaf that this service makes.", _ARCHITECTURE
    ),
    Parameter(
        "leaf.renew_after", _fixed(renewal.RENEW_AFTER_MS), "ms", "When a hosted device replaces its leaf's keys.", _ARCHITECTURE
    ),
    Parameter(
        "leaf.renew_after_messages",
        _fixed(renewal.RENEW_AFTER_MESSAGES),
        "messages",
        "And after how many messages.",
        _ARCHITECTURE,
    ),
    Parameter("leaf.same_client", _fixed("user id and device id"), "", "What makes two leaves the same client.", _ARCHITECTURE),
    Parameter("leaf.stale_after", _fixed(renewal.STALE_AFTER_MS), "ms", "A leaf whose keys are older is removed.", _ARCHITECTURE),
    Parameter(
        "message.max_forward",
        _fixed(_GROUP.max_forward),
        "generations",
        "How far a message may be ahead of those before it.",
        f"{_MLS}, Section 15.3",
    ),
    Parameter(
        "message.max_skipped",
        _fixed(_GROUP.max_skipped),
        "generations",
        "Keys kept for late messages of one sender.",
        f"{_MLS}, Section 15.3",
    ),
    Parameter(
        "message.padding",
        _fixed(PADDING_STEP),
        "bytes",
        "Application messages are padded to a multiple of this.",
        f"{_MLS}, Section 15.1",
    ),
    Parameter(
        "message.read_window", _fixed(READ_WINDOW_MS), "ms", "How long a plaintext is kept after all have read it.", _PROTOCOL
    ),
    Parameter("message.unread_window", _fixed(UNREAD_WINDOW_MS), "ms", "And for those who have not.", _PROTOCOL),
    Parameter(
        "parked.kept", _fixed(backfill.PARKED_FOR_MS), "ms", "How long an event waits for what it refers to.", _ARCHITECTURE
    ),
    Parameter("parked.max_of_room", _fixed(parking.MAX_PARKED), "events", "How many events of a room may wait.", _ARCHITECTURE),
    Parameter(
        "parked.max_of_server",
        _fixed(parking.MAX_PARKED_OF_SERVER),
        "events",
        "And how many of one server in a room.",
        _ARCHITECTURE,
    ),
    Parameter("psk.external", _fixed("none"), "", "External pre-shared keys.", _ARCHITECTURE),
    Parameter("psk.resumption_epochs", _fixed(0), "epochs", "Past epochs whose resumption PSK is kept.", _ARCHITECTURE),
    Parameter("request_id.window", _seconds("request_id_window"), "s", "How long the answer to a request id is kept.", _PROTOCOL),
)
"""All of them, by name."""


def parameter_table(limits: Limits) -> list[admin_pb2.Parameter]:
    """Return the table with the values in force."""
    return [
        admin_pb2.Parameter(
            name=each.name,
            value=str(each.value(limits)),
            unit=each.unit,
            description=each.description,
            source=each.source,
            configurable=each.configurable,
        )
        for each in PARAMETERS
    ]
