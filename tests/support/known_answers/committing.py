"""Known answers on who commits, and when: ranks, delays, jitter, pauses, fresh keys."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from dmls.forks.committer import commit_delay_ms, readd_delay_ms
from dmls.forks.graph import Device
from dmls.forks.renewal import RenewalRules, debt_due_ms, message_limit, renewal_due_ms, turn_ms
from dmls.ids import CommitRef, DeviceId, ServerName, UserId

__all__ = ["make"]

_SERVERS = tuple(ServerName(f"hs{number}.example") for number in range(1, 13))
_HEADS = tuple(CommitRef(sha256(f"head {number}".encode()).digest()) for number in range(3))


def make() -> dict[str, Any]:
    return {
        "delays": [_delays(head, count) for head, count in zip(_HEADS, (1, 4, 12), strict=True)],
        "positions": [
            {"position": position, "delay_ms": commit_delay_ms(_HEADS[0], _SERVERS[0], _SERVERS[:2], **_first(position))}
            for position in (0, 1, 2, 8, 9)
        ],
        "renewal": list(_renewals()),
        "readding": [{"times_removed": times, "delay_ms": readd_delay_ms(times)} for times in range(8)],
    }


def _renewals() -> Iterator[dict[str, Any]]:
    rules, (head, node, _) = RenewalRules(), _HEADS
    for number, members in enumerate((1, 12, 1_000, 100_000)):
        device = Device(UserId(f"@user{number}:hs1.example"), DeviceId("D"), sha256(bytes([number])).digest())
        yield {
            "user_id": device.user_id,
            "signature_key": device.signature_key.hex(),
            "head": head.hex(),
            "brought_by": node.hex(),
            "members": members,
            "debt_after_ms": debt_due_ms(rules, device, head, 0, 0, members),
            "turn_ms": turn_ms(head, device, members),
            "old_after_ms": renewal_due_ms(rules, device, node, 0, None),
            "old_after_ms_of_a_day": renewal_due_ms(rules, device, node, 0, 86_400_000),
            "messages": message_limit(rules, device, node),
        }


def _first(position: int) -> dict[str, Any]:
    return {"is_responsible": True, "position": position, "jitter": _jitter(_HEADS[0], _SERVERS[0])}


def _jitter(head: bytes, server: str) -> float:
    return sha256(head + server.encode()).digest()[0] / 256


def _delays(head: CommitRef, count: int) -> dict[str, Any]:
    able = _SERVERS[:count]
    delays = {server: commit_delay_ms(head, server, able, is_responsible=False, jitter=_jitter(head, server)) for server in able}
    return {"head": head.hex(), "able": list(able), "delay_ms": delays}
