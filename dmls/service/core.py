"""What every handler works with, and how a handler makes its answer repeatable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from devicestore import Connection, Store, devices
from devicestore.devices import Custody
from devicestore.errors import NotFound
from devicestore.meta import Identity
from dmls.ids import RoomId, ServerName
from dmls.mls.limits import Limits as GroupLimits
from dmls.rooms.keeper import Keeper
from dmls.service.limits import Limits

__all__ = ["DEFAULT_SUITES", "Core", "Record", "no_record"]

DEFAULT_SUITES = (1,)
"""Cipher suites that a hosted device gets keys for when none are named."""

Record = Callable[[Connection, Message], None]
"""Stores an answer under the request's id, in the transaction of what the request did."""


def no_record(_conn: Connection, _answer: Message) -> None:
    """Store nothing: for a request without an id."""


@dataclass(slots=True, eq=False)
class Core:
    """The rooms, devices and limits that requests are about. Handlers take a `Core` and a request, and block."""

    keeper: Keeper
    identity: Identity
    """Of the store. Its incarnation grows when the store turns out to have been put back from a copy."""
    limits: Limits = field(default_factory=Limits)
    hosting: bool = True
    staged: dict[RoomId, Any] = field(default_factory=dict)
    """Parts of room states of which more are to come."""

    @property
    def store(self) -> Store:
        """The store."""
        return self.keeper.env.store

    @property
    def server_name(self) -> ServerName:
        """The homeserver served."""
        return self.keeper.env.server_name

    def is_hosted(self, user_id: str, device_id: str) -> bool:
        """Tell whether a device is registered and its keys are held here."""
        try:
            row = self.store.read(lambda conn: devices.get(conn, user_id, device_id))
        except NotFound:
            return False
        return self.hosting and row.custody is Custody.HOSTED

    def now_ms(self) -> int:
        """The time in milliseconds since 1970."""
        return self.keeper.env.clock()

    def group_limits(self) -> GroupLimits:
        """What key packages are held to. A lifetime may begin in the past by as much as clocks may differ."""
        skew = self.limits.clock_skew
        longest = self.limits.max_key_package_lifetime + skew
        return GroupLimits(max_lifetime=int(longest.total_seconds()), clock_skew=int(skew.total_seconds()))
