"""Users and devices as people say them."""

from __future__ import annotations

from collections.abc import Iterable

from dmls.ids import UserId
from dmls.tools.demo.homeserver import Name

__all__ = ["device_text", "devices_text", "user_text"]


def user_text(user: UserId) -> str:
    """Return a user as people say it: `alice` for `@alice:hs1`."""
    return user[1:].partition(":")[0]


def device_text(name: Name) -> str:
    """Return a device as people can tell it from others: `alice/KRMQ`."""
    return f"{user_text(name[0])}/{name[1][:4]}"


def devices_text(names: Iterable[Name]) -> str:
    """Return devices by user: `alice/AABQ+KRMQ, bob/ZWQU`."""
    by_user: dict[str, list[str]] = {}
    for user, device_id in sorted(names):
        by_user.setdefault(user_text(user), []).append(device_id[:4])
    return ", ".join(f"{user}/{'+'.join(devices)}" for user, devices in by_user.items()) or "nobody"
