"""The tables at the end of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dmls.ids import RoomId
from dmls.tools.demo.checks import Head
from dmls.tools.demo.forks import branch_rows, epoch_text, users_text
from dmls.tools.demo.kills import KillPlan
from dmls.tools.demo.names import device_text
from dmls.tools.demo.output import Output
from dmls.tools.demo.replay import Replay

__all__ = ["show_summary"]


def show_summary(output: Output, replay: Replay, heads: Mapping[RoomId, Sequence[Head]], plan: KillPlan, seconds: float) -> None:
    """Show what each device could read, where everybody stands, and how much there was to do."""
    for room_id, found in heads.items():
        _show_healing(output, replay, room_id, found[0])
    output.table("Who read what", ("device", "keys", "entitled", "read", "refused"), _device_rows(replay))
    for room_id, found in heads.items():
        rows = [
            (head.party, str(head.epoch), head.commit_ref.hex()[:16], head.epoch_id.hex()[:16] or "not a member")
            for head in found
        ]
        output.table(f"The head of {room_id}", ("", "epoch", "commit", "epoch id"), rows)
    output.table("In all", ("", "count"), [(what, str(count)) for what, count in _counts(replay, plan).items()])
    output.line("")
    output.line(f"everything is as it must be, after {seconds:.1f} seconds", "bold green")


def _show_healing(output: Output, replay: Replay, room_id: RoomId, head: Head) -> None:
    """Show what became of the forks, and that the users of the one head are those whom the recording ends with."""
    log = replay.logs[room_id]
    rows = branch_rows(log, head.commit_ref)
    if rows:
        output.table(f"The forks of {room_id} and what became of them", ("epoch", "by", "commit", "fate"), rows, is_text=True)
    output.line("")
    users = {name[0] for name in head.members}
    [final] = {log.final_joined() for room in replay.folder.rooms if room.room_id == room_id for log in room.servers.values()}
    text = f"one head, {epoch_text(log.epochs[head.commit_ref])}, with the users of members-final.json: {users_text(users)}"
    waiting = final - users
    output.line(f"{text}; to be admitted anew: {users_text(waiting)}" if waiting else text, "bold")


def _device_rows(replay: Replay) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for name, server in replay.everybody.items():
        is_client = name in server.clients or name in replay.departed
        entitled = read = refused = 0
        for message in replay.mailbox.messages.values():
            is_member = name in (replay.logs[message.room_id].members(message.commit_ref) or ())
            entitled += is_member
            read += message.outcomes.get(name) == "OK"
            refused += not is_member and (message.outcomes.get(name, "OK") != "OK" or name in message.sealed)
        custody = "its own" if is_client else f"with {server.name}"
        rows.append((device_text(name), custody, str(entitled), str(read), str(refused)))
    return rows


def _counts(replay: Replay, plan: KillPlan) -> Mapping[str, int]:
    tally, mailbox, logs = replay.federation.tally, replay.mailbox, replay.logs.values()
    counts = {
        "events of the recording": sum(len(room.events) for room in replay.folder.rooms),
        "events made for them": tally.events,
        "epochs": sum(len(log.epochs) for log in logs),
        "commits": sum(log.commits() for log in logs),
        "forks": sum(log.forks() for log in logs),
        "cuts that ended with different heads": replay.cuts,
        "messages": len(mailbox.messages),
        "messages that could not be sent any more": len(mailbox.refused),
        "to-device messages": tally.to_device,
        "claims at other homeservers": tally.claims,
        "device lists told": tally.lists,
        "whole stores tried on a message in vain": mailbox.sealed,
        "the same by a member, with success": mailbox.opened,
    }
    if plan.done:
        found = sum(server.service.found_again for server in replay.homeservers.values())
        counts |= {"services killed": plan.done, "outbox items that waited across a kill": found}
    return counts
