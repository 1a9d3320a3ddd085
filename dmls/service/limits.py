"""The limits that every request is held to, in one table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from dmls.rooms.key_packages import LOW_WATER_MARK
from dmls.v1 import admin_pb2

__all__ = ["Limits"]

_KIB = 1024
_MIB = 1024 * _KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits in force; the fields are those of the message dmls.v1.Limits."""

    max_message_bytes: int = 4 * _MIB
    """Most bytes of one request or of one message of a stream."""
    max_batch_items: int = 256
    """Most items in one batch."""
    max_event_bytes: int = 64 * _KIB
    """Most bytes of an event's content; a Matrix event as a whole has at most 65,536."""
    max_blob_bytes: int = 64 * _MIB
    """Most bytes of a blob."""
    max_inline_blob_bytes: int = 1 * _MIB
    """Most bytes of a blob that are put into an answer."""
    max_key_packages_per_upload: int = 100
    """Most key packages in one upload."""
    max_key_package_bytes: int = 64 * _KIB
    """Most bytes of a key package."""
    max_key_packages_per_device: int = 200
    """Most key packages stored for each device and suite."""
    max_key_package_lifetime: timedelta = timedelta(days=90)
    """Longest lifetime of a key package."""
    clock_skew: timedelta = timedelta(hours=1)
    """How far clocks may differ."""
    key_package_low_water_mark: int = LOW_WATER_MARK
    """Below this number of key packages of a suite a device should upload more."""
    max_claim_users: int = 100
    """Most users in one claim."""
    max_devices_per_user: int = 1_000
    """Most devices of one user."""
    max_group_members: int = 50_000
    """Most leaves of a group."""
    request_id_window: timedelta = timedelta(hours=24)
    """How long the answer to a request_id is kept."""

    def to_proto(self) -> admin_pb2.Limits:
        """Gives the message that GetServerInfo answers with."""
        return admin_pb2.Limits(**{name: getattr(self, name) for name in self.__slots__})
