"""The worked fork of the documentation is what the code does; its numbers follow by arithmetic that knows nothing of it."""

from __future__ import annotations

import base64
import json
import random
from functools import cache
from typing import Any

import pytest

from dmls.engine.agent import Agent
from dmls.engine.effects import DecryptOutcome, Effects, IngestOutcome, Put
from dmls.engine.inputs import EventReceived, RoomStateChanged
from dmls.engine.room import RoomEngine
from dmls.ids import EventId, RoomId, ServerName, UserId
from dmls.matrix.encoding import encode_canonical_json, parse_json_object
from dmls.matrix.events import MemberEvent, Membership, RoomEvent
from dmls.matrix.membership import RoomFacts
from tests.support import plain_dmls as plain
from tests.support.worked_fork import WorkedFork, play
from tests.support.worked_fork_page import JSON, PAGE, make_json, make_page

HASH = "sha256"


@cache
def played() -> WorkedFork:
    return play()


@cache
def told() -> Any:
    return json.loads(JSON.read_text())


def test_page_and_json_are_what_is_played() -> None:
    assert JSON.read_text() == make_json(played()), "python -m scripts.worked_fork"
    assert PAGE.read_text() == make_page(played()), "python -m scripts.worked_fork"


def test_the_room_forks_and_one_commit_heals_it() -> None:
    heads = told()["heads"]
    assert len(set(heads["before the cut"].values())) == 1
    assert len(set(heads["while the link is cut"].values())) == 2
    assert len(set(heads["when the link is whole"].values())) == 1
    (head,) = set(heads["at the end"].values())
    (losing,) = set(heads["while the link is cut"].values()) - set(heads["when the link is whole"].values())
    (last,) = [epoch for epoch in told()["epochs"] if epoch["commit_ref"] == head]
    assert last["resolves"] == [losing]


@pytest.mark.parametrize("user", ["@alice:one.example", "@bob:one.example", "@carol:two.example"])
def test_everybody_reads_what_was_said_in_their_epochs_on_both_branches(user: str) -> None:
    room = played()
    first = min(room.devices[UserId(user)])
    read = {event_id: room.reads(first.user_id, first.device_id, event_id) for event_id in room.plaintexts}
    assert set(read.values()) == {DecryptOutcome.OK}


# Replayed by somebody without keys


def observer(records: dict[tuple[str, bytes], bytes] | None = None) -> RoomEngine:
    """An engine that was told of the room's members and holds no device; `records` is where it stores what it knows."""
    content = told()
    records = {} if records is None else records
    room_id = RoomId(content["room_id"])
    engine = RoomEngine.create(room_id, Agent(ServerName("three.example"), True))
    members: dict[UserId, MemberEvent | None] = {
        UserId(item["user_id"]): MemberEvent(
            EventId(item["event_id"]), UserId(item["user_id"]), UserId(item["sender"]), Membership(item["membership"])
        )
        for item in content["member_events"]
    }
    facts = RoomFacts(create_sender=UserId(content["create_sender"]), room_version="10", encryption_algorithm="org.dmls.v1")
    effects = engine.step(RoomStateChanged(1, facts, members), 0, random.Random(0).randbytes)
    store(effects, records)
    return engine


def store(effects: Effects, records: dict[tuple[str, bytes], bytes]) -> None:
    """Keep the records that a step wrote."""
    records |= {(change.table, change.key): change.value for change in effects.changes if isinstance(change, Put)}


def room_event(event: dict[str, Any]) -> RoomEvent:
    return RoomEvent(
        EventId(event["event_id"]),
        RoomId(told()["room_id"]),
        UserId(event["sender"]),
        event["type"],
        None,
        parse_json_object(encode_canonical_json(event["content"])),
        event["origin_server_ts"],
        auth_events=tuple(map(EventId, event["auth_events"])),
    )


def replayed_head(engine: RoomEngine, events: list[dict[str, Any]]) -> str:
    for event in events:
        result = engine.step(EventReceived(room_event(event)), 1, random.Random(0).randbytes).result
        assert result is not None
        assert result.outcome in (IngestOutcome.PROCESSED, IngestOutcome.PARKED), result
    head = engine.state.head
    return "" if head is None else head.hex()


def test_an_observer_finds_the_head_in_any_order(rng: random.Random) -> None:
    (head,) = set(told()["heads"]["at the end"].values())
    for _ in range(12):
        engine, events = observer(), list(told()["events"])
        rng.shuffle(events)
        assert replayed_head(engine, events) == head
        assert {ref.hex() for ref in engine.state.entries} == {epoch["commit_ref"] for epoch in told()["epochs"]}
        assert not engine.state.epochs


@pytest.mark.parametrize("server", ["one.example", "two.example"])
def test_an_observer_finds_the_heads_that_each_server_had(server: str) -> None:
    content = told()
    events = {event["event_id"]: event for event in content["events"]}
    engine = observer()
    heads: list[str] = []
    for event_id in content["arrival"][server]:
        head = replayed_head(engine, [events[event_id]])
        if not heads or heads[-1] != head:
            heads.append(head)
    assert [head for head in content["heads"].values() if head[server] not in heads] == []


# Followed by arithmetic


def epochs() -> list[Any]:
    return [pytest.param(epoch, id=epoch["event_id"]) for epoch in told()["epochs"]]


def content_of(event_id: str) -> dict[str, Any]:
    (content,) = [event["content"] for event in told()["events"] if event["event_id"] == event_id]
    assert isinstance(content, dict)
    return content


def unpadded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4))


@pytest.mark.parametrize("epoch", epochs())
def test_names_and_tags_of_an_epoch_follow_from_its_event_and_its_secret(epoch: dict[str, Any]) -> None:
    content, secret = content_of(epoch["event_id"]), bytes.fromhex(epoch["epoch_secret"])
    tag, context = bytes.fromhex(epoch["confirmation_tag"]), bytes.fromhex(epoch["group_context"])
    assert plain.epoch_id(HASH, secret).hex() == epoch["epoch_id"]
    assert plain.confirmation_tag(HASH, secret, context) == tag
    if content["kind"] == "genesis":
        ref = plain.genesis_ref(HASH, unpadded(content["group_info"]["inline"]))
    else:
        framed, signature = bytes.fromhex(epoch["framed_content"]), bytes.fromhex(epoch["signature"])
        membership_tag = epoch["membership_tag"]
        message = plain.public_message(framed, signature, tag, None if membership_tag is None else bytes.fromhex(membership_tag))
        assert message == unpadded(content["message"]["inline"])
        ref = plain.commit_ref(HASH, framed, signature, tag)
        assert unpadded(content["commit_ref"]) == ref
        assert unpadded(content["new_epoch_id"]).hex() == epoch["epoch_id"]
    assert ref.hex() == epoch["commit_ref"]


@pytest.mark.parametrize("epoch", [param for param in epochs() if "input" in param.values[0]])
def test_a_regular_commit_leads_from_the_parents_secret_to_its_own(epoch: dict[str, Any]) -> None:
    (parent,) = [other for other in told()["epochs"] if other["commit_ref"] == epoch["parent_ref"]]
    path_secret, context = bytes.fromhex(epoch["last_path_secret"]), bytes.fromhex(epoch["group_context"])
    child = plain.child_of(HASH, bytes.fromhex(parent["epoch_secret"]), path_secret, context)
    assert (child.input.hex(), child.init_secret.hex()) == (epoch["input"], epoch["init_secret"])
    assert child.epoch_secret.hex() == epoch["epoch_secret"]


def test_both_children_of_the_fork_come_from_one_punctured_key() -> None:
    regular = [epoch for epoch in told()["epochs"] if "input" in epoch]
    (fork,) = {ref for ref in (epoch["parent_ref"] for epoch in regular) if sum(e["parent_ref"] == ref for e in regular) == 2}
    (parent,) = [epoch for epoch in told()["epochs"] if epoch["commit_ref"] == fork]
    pprf = plain.PlainPPRF(HASH, plain.derive_secret(HASH, bytes.fromhex(parent["epoch_secret"]), b"parent_init"), 64)
    for child in (epoch for epoch in regular if epoch["parent_ref"] == fork):
        output = pprf.evaluate(bytes.fromhex(child["input"]))
        assert plain.derive_secret(HASH, output, b"pprf").hex() == child["init_secret"]
        with pytest.raises(plain.PuncturedError):
            pprf.evaluate(bytes.fromhex(child["input"]))


@pytest.mark.parametrize("epoch", [param for param in epochs() if "framed_content" in param.values[0]])
def test_links_to_parent_and_resolved_heads_are_in_what_is_signed(epoch: dict[str, Any]) -> None:
    names = {other["commit_ref"]: other["epoch_id"] for other in told()["epochs"]}
    external = epoch["membership_tag"] is None
    fields = {
        "parent": {"commit_ref": epoch["parent_ref"], "epoch_id": "" if external else names[epoch["parent_ref"]]},
        "resolves": [{"commit_ref": ref, "epoch_id": names[ref]} for ref in epoch["resolves"]],
        "rejects": [],
        "vote_seq": epoch["vote_seq"],
        "logout": 0,
        "state_events": [],
    }
    assert plain.vec(plain.encode_struct("DmlsCommitAAD", fields)) in bytes.fromhex(epoch["framed_content"])
