"""UpdateRoomState over gRPC: versions, deltas, parts, resets, and what contradicts itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dmls.v1 import room_pb2
from tests.service.loopback import run
from tests.service.scene import ENCRYPTION, ROOM, Home, refused, running

APPLIED = room_pb2.ROOM_STATE_OUTCOME_APPLIED
DUPLICATE = room_pb2.ROOM_STATE_OUTCOME_DUPLICATE
STAGED = room_pb2.ROOM_STATE_OUTCOME_STAGED
JOIN, LEAVE = room_pb2.MEMBERSHIP_JOIN, room_pb2.MEMBERSHIP_LEAVE


def member(name: str, event_id: str, membership: room_pb2.Membership = JOIN, *auth: str) -> room_pb2.MemberEvent:
    user = f"@{name}:hs1"
    return room_pb2.MemberEvent(event_id=event_id, user_id=user, sender=user, membership=membership, auth_event_ids=auth)


def full(*members: room_pb2.MemberEvent, **fields: Any) -> room_pb2.RoomState:
    told = {"room_version": "12", "create_sender": "@alice:hs1", "encryption": ENCRYPTION, **fields}
    return room_pb2.RoomState(members=members, **told)


async def tell(home: Home, version: int, **fields: Any) -> room_pb2.UpdateRoomStateResponse:
    request = room_pb2.UpdateRoomStateRequest(room_id=ROOM, version=version, **fields)
    return await home.rooms.UpdateRoomState(request)  # type: ignore[no-any-return]


async def state_of(home: Home) -> room_pb2.GetRoomResponse:
    return await home.rooms.GetRoom(room_pb2.GetRoomRequest(room_id=ROOM, include_state=True))  # type: ignore[no-any-return]


async def users_of(home: Home) -> dict[str, int]:
    return {each.user_id: each.membership for each in (await state_of(home)).state.members}


def test_a_full_state_is_taken_and_told_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            past = member("bob", "$old", LEAVE)
            state = full(
                member("alice", "$a"),
                member("bob", "$b", JOIN, "$old"),
                past_members=[past],
                history_visibility=room_pb2.HISTORY_VISIBILITY_JOINED,
            )
            answer = await tell(home, 7, full=state)
            assert (answer.outcome, answer.version) == (APPLIED, 7)
            told = await state_of(home)
            assert (told.room.state_version, told.room.encrypted) == (7, True)
            assert told.state == state
            for version in (7, 3):
                again = await tell(home, version, full=full(member("carol", "$c")))
                assert (again.outcome, again.version) == (DUPLICATE, 7)
            assert (await state_of(home)).state == state

    run(main())


def test_a_delta_changes_what_it_names(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            await tell(home, 1, full=full(member("alice", "$a"), member("bob", "$b")))
            delta = room_pb2.RoomStateDelta(members=[member("carol", "$c")], removed_user_ids=["@bob:hs1"])
            assert (await tell(home, 2, base_version=1, delta=delta)).outcome == APPLIED
            assert await users_of(home) == {"@alice:hs1": JOIN, "@carol:hs1": JOIN}
            told = await state_of(home)
            assert [each.event_id for each in told.state.past_members] == ["$b"]
            assert told.room.encrypted
            delta = room_pb2.RoomStateDelta(encryption=b"", history_visibility=room_pb2.HISTORY_VISIBILITY_WORLD_READABLE)
            await tell(home, 3, base_version=2, delta=delta)
            told = await state_of(home)
            assert not told.room.encrypted
            assert told.state.history_visibility == room_pb2.HISTORY_VISIBILITY_WORLD_READABLE

    run(main())


@pytest.mark.parametrize("held", [0, 4])
def test_a_delta_on_another_version_is_a_conflict(tmp_path: Path, held: int) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            if held:
                await tell(home, held, full=full(member("alice", "$a")))
            async with refused() as told:
                await tell(home, 9, base_version=8, delta=room_pb2.RoomStateDelta(members=[member("bob", "$b")]))
            assert (told[0].code, told[0].reason) == ("ABORTED", "CONFLICT")
            if held:
                assert await users_of(home) == {"@alice:hs1": JOIN}

    run(main())


def test_an_older_state_is_taken_only_as_a_reset(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            await tell(home, 9, full=full(member("alice", "$a")))
            assert (await tell(home, 2, full=full(member("bob", "$b")))).outcome == DUPLICATE
            answer = await tell(home, 2, full=full(member("bob", "$b")), reset=True)
            assert (answer.outcome, answer.version) == (APPLIED, 2)
            assert await users_of(home) == {"@bob:hs1": JOIN}

    run(main())


def test_parts_change_nothing_before_the_last_has_come(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            await tell(home, 1, full=full(member("zoe", "$z")))

            async def part(number: int, name: str, *, more: bool) -> room_pb2.UpdateRoomStateResponse:
                if number == 0:
                    return await tell(home, 2, full=full(member(name, f"${name}")), more=more)
                delta = room_pb2.RoomStateDelta(members=[member(name, f"${name}")])
                return await tell(home, 2, delta=delta, part=number, more=more)

            assert (await part(0, "alice", more=True)).outcome == STAGED
            assert (await part(1, "bob", more=True)).outcome == STAGED
            assert (await part(1, "bob", more=True)).outcome == STAGED
            assert await users_of(home) == {"@zoe:hs1": JOIN}
            async with refused() as told:
                await part(3, "dora", more=False)
            assert told[0].code == "ABORTED"
            assert (await part(2, "carol", more=False)).outcome == APPLIED
            assert set(await users_of(home)) == {"@alice:hs1", "@bob:hs1", "@carol:hs1"}
            assert (await part(2, "carol", more=False)).outcome == DUPLICATE

    run(main())


def test_a_staged_part_that_is_sent_again_after_a_restart_is_staged_again(tmp_path: Path) -> None:
    async def main() -> None:
        first = {"full": full(member("alice", "$a")), "more": True, "request_id": "part-0"}
        last = {"delta": room_pb2.RoomStateDelta(members=[member("bob", "$b")]), "part": 1}
        async with running(tmp_path) as home:
            assert (await tell(home, 2, **first)).outcome == STAGED
        async with running(tmp_path) as home:
            async with refused() as told:
                await tell(home, 2, **last)
            assert told[0].code == "ABORTED"
            assert (await tell(home, 2, **first)).outcome == STAGED
            assert (await tell(home, 2, **last)).outcome == APPLIED
            assert set(await users_of(home)) == {"@alice:hs1", "@bob:hs1"}

    run(main())


@pytest.mark.parametrize(
    ("state", "field"),
    [
        (full(member("alice", "$a"), member("alice", "$b")), ""),
        (full(member("alice", "$a"), member("bob", "$a")), ""),
        (full(member("alice", "$a", room_pb2.MEMBERSHIP_UNSPECIFIED)), "full.members[0].membership"),
        (full(member("alice", "$a", JOIN, *(f"${number}" for number in range(11)))), "full.members[0]"),
        (full(encryption=b"[]"), "full.encryption"),
        (full(encryption=b'{"algorithm":"org.dmls.v1"'), "full.encryption"),
        (full(create_sender=""), "full.create_sender"),
    ],
)
def test_a_state_that_makes_no_sense_is_refused_whole(tmp_path: Path, state: room_pb2.RoomState, field: str) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            await tell(home, 1, full=full(member("zoe", "$z")))
            async with refused() as told:
                await tell(home, 2, full=state)
            assert told[0].code == "INVALID_ARGUMENT"
            assert [path for path, _ in told[0].violations] == ([field] if field else [])
            assert await users_of(home) == {"@zoe:hs1": JOIN}
            assert (await state_of(home)).room.state_version == 1

    run(main())


def test_a_room_of_another_algorithm_is_not_encrypted_here(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            await home.register("@alice:hs1")
            megolm = b'{"algorithm":"m.megolm.v1.aes-sha2"}'
            await tell(home, 1, full=full(member("alice", "$a"), encryption=megolm))
            assert not (await state_of(home)).room.encrypted
            assert not await home.pending()

    run(main())


def test_a_user_who_comes_back_under_an_old_join_is_told(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            joined, left = member("bob", "$join"), member("bob", "$leave", LEAVE, "$join")
            await tell(home, 1, full=full(member("alice", "$a"), joined))
            await tell(home, 2, base_version=1, delta=room_pb2.RoomStateDelta(members=[left]))
            answer = await tell(home, 3, base_version=2, delta=room_pb2.RoomStateDelta(members=[joined]))
            assert list(answer.readmission_wanted_user_ids) == ["@bob:hs1"]
            assert list((await state_of(home)).readmission_wanted_user_ids) == ["@bob:hs1"]

    run(main())
