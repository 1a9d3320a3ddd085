"""The worked fork as JSON, and as a page to read (docs/worked-fork.md)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from dmls.forks.aad import decode_commit_aad
from dmls.forks.tally import Tally
from dmls.ids import CommitRef
from dmls.matrix.bodies import CommitBody, Inline, encode_payload, parse_body
from dmls.mls.codec import decode, encode
from dmls.mls.messages.message import MLSMessage, PublicMessage
from dmls.tools.pictures.description import describe
from dmls.tools.pictures.mermaid import to_mermaid
from scripts.proto import ROOT
from tests.support.plain_dmls import epoch_id
from tests.support.worked_fork import FACTS, ROOM, START_MS, SUITE, WorkedFork

__all__ = ["JSON", "PAGE", "make_json", "make_page"]

PAGE: Final[Path] = ROOT / "docs" / "worked-fork.md"
JSON: Final[Path] = ROOT / "docs" / "worked-fork.json"

_SHOWN = 24
"""How many characters of a long base64 text the page shows."""


def make_json(room: WorkedFork) -> str:
    """Return everything of the room, secrets included; bytes are hexadecimal outside of events."""
    content = {
        "room_id": ROOM,
        "create_sender": FACTS.create_sender,
        "cipher_suite": SUITE.id,
        "devices": [
            {
                "user_id": device.user_id,
                "device_id": device.device_id,
                "signature_key": device.signature_key.hex(),
                "signature_private_key": private_key.hex(),
            }
            for devices in room.devices.values()
            for device, private_key in devices.items()
        ],
        "member_events": [
            {"event_id": event.event_id, "user_id": event.user_id, "sender": event.sender, "membership": event.membership}
            for event in room.member_events
        ],
        "events": [
            {
                "event_id": event.event_id,
                "sender": event.sender,
                "type": event.type,
                "origin_server_ts": event.origin_server_ts_ms,
                "auth_events": list(event.auth_events),
                "content": event.content,
            }
            for event in room.events.values()
        ],
        "arrival": {name: home.received for name, home in room.homes.items()},
        "epochs": [_epoch(room, ref) for ref in _in_order(room)],
        "plaintexts": {event_id: encode_payload(payload).decode() for event_id, payload in room.plaintexts.items()},
        "heads": {
            moment: {name: None if ref is None else ref.hex() for name, ref in heads.items()}
            for moment, heads in room.heads.items()
        },
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _in_order(room: WorkedFork) -> list[CommitRef]:
    """Return the nodes in the order in which their events were sent."""
    entries = _entries(room)
    by_event = {entry.node.event_id: ref for ref, entry in entries.items()}
    return [by_event[event_id] for event_id in room.events if event_id in by_event]


def _entries(room: WorkedFork) -> Any:
    return next(iter(room.homes.values())).engine.state.entries


def _epoch(room: WorkedFork, ref: CommitRef) -> dict[str, Any]:
    entry = _entries(room)[ref]
    node, context = entry.node, encode(entry.group.context)
    epoch_secret = _epoch_secret(room, ref)
    told: dict[str, Any] = {
        "event_id": node.event_id,
        "epoch": node.epoch,
        "author": [node.author.user_id, node.author.device_id],
        "commit_ref": ref.hex(),
        "parent_ref": node.parent_ref.hex(),
        "group_context": context.hex(),
        "confirmation_tag": entry.group.confirmation_tag.hex(),
        "tree_hash": entry.group.context.tree_hash.hex(),
        "epoch_secret": epoch_secret.hex(),
        "epoch_id": epoch_id(SUITE.hash_name, epoch_secret).hex(),
    }
    body = parse_body(room.events[node.event_id].content)
    if isinstance(body, CommitBody):
        assert isinstance(body.message, Inline)
        message = decode(MLSMessage, body.message.data).body
        assert isinstance(message, PublicMessage)
        aad = decode_commit_aad(message.content.authenticated_data)
        told |= {
            "framed_content": encode(message.content).hex(),
            "signature": message.signature.hex(),
            "membership_tag": None if message.membership_tag is None else message.membership_tag.hex(),
            "vote_seq": aad.vote_seq,
            "resolves": [pointer.commit_ref.hex() for pointer in aad.resolves],
        }
    if context in room.rule.derivations:
        (found,) = room.rule.derivations[context]  # whoever followed derived the same
        told |= {
            "last_path_secret": found.last_path_secret.hex(),
            "input": found.input.hex(),
            "init_secret": found.init_secret.hex(),
        }
    return told


def _epoch_secret(room: WorkedFork, ref: CommitRef) -> bytes:
    """Find an epoch's secret among those recorded: the one that makes its confirmation tag."""
    group = _entries(room)[ref].group
    for secret in room.rule.epoch_secrets:
        key = SUITE.derive_secret(secret, "confirm")
        if SUITE.mac(key, group.context.confirmed_transcript_hash) == group.confirmation_tag:
            return secret
    raise AssertionError("nobody was in this epoch")


# The page


def make_page(room: WorkedFork) -> str:
    """Return the page in Markdown."""
    return "\n".join(_lines(room)) + "\n"


def _lines(room: WorkedFork) -> Iterator[str]:
    yield from _INTRODUCTION
    yield "```mermaid"
    yield _picture(room)
    yield "```"
    yield ""
    yield "## What happens"
    yield ""
    yield "| event | from | at (ms) | what |"
    yield "|---|---|---|---|"
    for event_id, event in room.events.items():
        at_ms = event.origin_server_ts_ms - START_MS
        yield f"| `{event_id}` | `{event.sender}` | {at_ms} | {_what(room, event_id)} |"
    yield ""
    yield "Each server has the events in the order in which it sent or got them:"
    yield ""
    for name, home in room.homes.items():
        yield f"- `{name}`: {', '.join(f'`{event_id}`' for event_id in home.received)}"
    yield ""
    yield from _heads(room)
    yield from _epochs(room)
    yield "## The events"
    yield ""
    yield "Long base64 is cut here; the JSON file has it whole. All are of type `m.room.encrypted`, and have the sender's join"
    yield "as their auth event."
    yield ""
    for event_id, event in room.events.items():
        yield f"### `{event_id}`"
        yield ""
        yield "```json"
        yield json.dumps(_shortened(event.content), indent=2, ensure_ascii=False)
        yield "```"
        yield ""
        if event_id in room.plaintexts:
            yield f"Plaintext: `{encode_payload(room.plaintexts[event_id]).decode()}`"
            yield ""
    yield from _END


_INTRODUCTION = (
    "# A fork, worked out",
    "",
    "Alice and bob are on the server `one.example`, carol is on `two.example`. The link between the servers breaks. On both",
    "sides somebody logs in with a second device, so both commit. Then the link is whole again, and the fork heals.",
    "",
    "[worked-fork.json](worked-fork.json) has everything byte for byte, secrets included. The sections meant here are those of",
    "[protocol.md](protocol.md). Event ids are chosen to be read; nothing depends on them.",
    "",
)

_END = (
    "## To make this again",
    "",
    "```sh",
    ".venv/bin/python -m scripts.worked_fork",
    "```",
    "",
    "The room is always the same, so this page and the JSON are, too. `tests/engine/test_worked_fork.py` plays the events of",
    "the JSON to engines that hold no keys, in many orders, and follows the secrets with hashes and HMAC only.",
)


def _picture(room: WorkedFork) -> str:
    state = next(iter(room.homes.values())).engine.state
    members = {ref: entry.group.tree.member_count for ref, entry in state.entries.items()}
    # What is retained changes with time, and is no part of the story.
    return to_mermaid(describe(ROOM, state.tally, state.head, members, (), ())).rstrip()


def _what(room: WorkedFork, event_id: str) -> str:
    if event_id in room.plaintexts:
        said = room.plaintexts[event_id].content["body"]  # type: ignore[index]
        vote = " and a vote" if "vote" in room.events[event_id].content else ""  # type: ignore[index]
        return f"says “{said}”{vote}"
    node = next(entry.node for entry in _entries(room).values() if entry.node.event_id == event_id)
    if node.is_genesis:
        return "begins the group"
    if node.is_external:
        return f"joins by external commit as {node.author.device_id}"
    adds = ", ".join(device.device_id for device in node.adds)
    resolves = f", resolves `{node.resolves[0].hex()[:8]}`" if node.resolves else ""
    return f"adds {adds}{resolves}"


def _heads(room: WorkedFork) -> Iterator[str]:
    yield "## Heads"
    yield ""
    yield "| when | " + " | ".join(f"`{name}`" for name in room.homes) + " |"
    yield "|---|" + "---|" * len(room.homes)
    for moment, heads in room.heads.items():
        yield f"| {moment} | " + " | ".join(f"`{ref.hex()[:8]}`" for ref in heads.values() if ref is not None) + " |"
    yield ""
    fork = _fork(room)
    state = next(iter(room.homes.values())).engine.state
    votes = [tracked.vote for tracked in state.votes.values() if tracked.vote.commit_ref in fork]
    when_whole = state.graph.build(entry.node for entry in state.entries.values() if not entry.node.resolves)
    tally = Tally.build(when_whole, votes, state.membership.joined())
    yield "When the link is whole, both servers know two children of one parent. Section 7, step 5 gives their supporters:"
    yield ""
    for ref in fork:
        names = sorted(tally.supporters(ref))
        event_id = state.entries[ref].node.event_id
        yield f"- `{ref.hex()[:8]}` (`{event_id}`): {', '.join(f'`{name}`' for name in names)}"
    yield ""
    yield "The one with more supporters is the head. Its members lack carol's second device, which is in D, and the other child"
    yield "is a side head whose branch adds somebody. The device to add is of `two.example`, so that server commits at once: it"
    yield "adds the device, with a new leaf, and names the side head in `resolves`. As soon as two users support that commit, the"
    yield "secrets of the losing branch go (section 12)."
    yield ""


def _fork(room: WorkedFork) -> tuple[CommitRef, ...]:
    graph = next(iter(room.homes.values())).engine.state.graph
    (point,) = graph.fork_points()
    return graph.children(point)


_VALUES = {
    "commit_ref": "",
    "parent_ref": "the parent's, signed in the commit's `authenticated_data`",
    "epoch_id": "section 4, from the epoch secret",
    "epoch_secret": "RFC 9420, Section 8",
    "last_path_secret": "`path_secret[n]` of the commit",
    "input": "the PPRF's, section 3",
    "init_secret": "what the PPRF of the parent gives, by the label `pprf`",
    "confirmation_tag": "",
}


def _epochs(room: WorkedFork) -> Iterator[str]:
    yield "## Epochs"
    yield ""
    yield 'All bytes are hexadecimal. The key of an epoch\'s PPRF is `DeriveSecret(epoch_secret, "parent_init")`. That of the'
    yield f"fork's parent, `{_fork_point(room)[:8]}`, is evaluated once for each of its children by everybody who follows both."
    yield ""
    for ref in _in_order(room):
        told = _epoch(room, ref)
        yield f"### Epoch {told['epoch']} of `{told['event_id']}`"
        yield ""
        yield "| | | |"
        yield "|---|---|---|"
        for name, meaning in _VALUES.items():
            if told.get(name):
                yield f"| {name} | `{told[name]}` | {meaning} |"
        yield ""


def _fork_point(room: WorkedFork) -> str:
    (point,) = next(iter(room.homes.values())).engine.state.graph.fork_points()
    return point.hex()


def _shortened(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _shortened(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_shortened(item) for item in value]
    if isinstance(value, str) and len(value) > 4 * _SHOWN:
        return f"{value[:_SHOWN]}… ({len(value)} characters)"
    return value
