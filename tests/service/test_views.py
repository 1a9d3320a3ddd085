"""What may be seen of a room's group over gRPC, and of the service itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from dmls.mls.codec import decode
from dmls.mls.crypto.suites import CIPHER_SUITES, cipher_suite
from dmls.mls.messages.group_info import GroupInfo
from dmls.mls.messages.message import MLSMessage
from dmls.mls.tree.ratchet_tree import RatchetTree
from dmls.v1 import admin_pb2, common_pb2, room_pb2
from tests.service.contract import rpcs
from tests.service.loopback import run
from tests.service.recording import newcomer, small_room
from tests.service.scene import ROOM, World, now_ms, refused, running


def test_a_room_is_shown_with_its_group(tmp_path: Path) -> None:
    async def main() -> None:
        async with small_room(tmp_path) as world, newcomer(tmp_path / "new") as (fresh, events):
            hs1 = world.homes["hs1"]
            told = await hs1.rooms.GetRoom(room_pb2.GetRoomRequest(room_id=ROOM, include_state=True, include_device_lists=True))
            assert (told.room.room_id, told.room.member_count, told.room.fork_count) == (ROOM, 2, 0)
            assert told.room.send_state == room_pb2.SEND_STATE_OPEN
            assert told.room.head.event_id == list(world.timeline)[1]
            assert told.room.head.holds_secrets
            assert (told.options.cipher_suite, told.options.key_schedule) == (1, common_pb2.KEY_SCHEDULE_PPRF)
            assert (told.options.retain_duration.seconds, told.options.retain_epochs) == (259_200, 16)
            assert [(each.device.user_id, each.leaf_index, each.hosted, each.vouched) for each in told.members] == [
                ("@alice:hs1", 0, True, True),
                ("@dan:hs2", 1, False, True),
            ]
            assert not told.pending
            assert [each.user_id for each in told.state.members] == ["@alice:hs1", "@dan:hs2"]
            assert [(each.user_id, len(each.devices)) for each in told.device_lists] == [("@dan:hs2", 1)]

            await fresh.ingest(*events)
            followed = await fresh.room()
            assert not followed.room.head.holds_secrets
            assert not followed.room.head.pointer.epoch_id
            assert followed.room.send_state == room_pb2.SEND_STATE_UNSPECIFIED

            page = await hs1.rooms.GetRoom(room_pb2.GetRoomRequest(room_id=ROOM, page_size=1))
            rest = await hs1.rooms.GetRoom(room_pb2.GetRoomRequest(room_id=ROOM, page_size=1, page_token=page.next_page_token))
            assert [*page.members, *rest.members] == list(told.members)
            assert not rest.next_page_token

    run(main())


def test_a_pending_removal_is_shown_with_its_time(tmp_path: Path) -> None:
    async def main() -> None:
        async with small_room(tmp_path) as world:
            # The server of whoever removed alice has nobody left in the room, so hs2 does it after a while, or before it sends.
            await world.set_membership("@alice:hs1", "leave")
            hs2 = world.homes["hs2"]
            told = await hs2.room()
            (change,) = told.pending
            assert (change.kind, change.device.user_id) == (room_pb2.PENDING_KIND_REMOVE, "@alice:hs1")
            assert now_ms() < change.due_time.ToMilliseconds() < now_ms() + 60_000
            assert [member.must_go for member in told.members] == [True, False]
            assert told.room.send_state == room_pb2.SEND_STATE_COMMIT_FIRST
            await world.say("@dan:hs2", "alone")
            after = await hs2.room()
            assert (after.room.send_state, list(after.pending)) == (room_pb2.SEND_STATE_OPEN, [])
            assert [member.device.user_id for member in after.members] == ["@dan:hs2"]

    run(main())


def test_a_group_info_and_its_tree_fit_together(tmp_path: Path) -> None:
    async def main() -> None:
        async with small_room(tmp_path) as world, newcomer(tmp_path / "new") as (fresh, events):
            await fresh.ingest(*events)
            hs1 = world.homes["hs1"]
            for home in (hs1, fresh):
                graph = await home.rooms.GetEpochGraph(room_pb2.GetEpochGraphRequest(room_id=ROOM))
                for ref in (b"", *(node.pointer.commit_ref for node in graph.nodes)):
                    request = room_pb2.GetGroupInfoRequest(room_id=ROOM, commit_ref=ref, include_ratchet_tree=True)
                    told = await home.rooms.GetGroupInfo(request)
                    info = decode(MLSMessage, told.group_info).body
                    assert isinstance(info, GroupInfo)
                    tree = RatchetTree.decode(cipher_suite(1), told.ratchet_tree.data)
                    assert tree.tree_hash == info.group_context.tree_hash
                    assert told.pointer.commit_ref == (ref or graph.head)
                    assert told.event_id
            async with refused() as failed:
                await hs1.rooms.GetGroupInfo(room_pb2.GetGroupInfoRequest(room_id=ROOM, commit_ref=bytes(32)))
            assert failed[0].resource == ("epoch", bytes(32).hex())

    run(main())


def test_a_tree_is_that_of_its_epoch(tmp_path: Path) -> None:
    async def main() -> None:
        async with small_room(tmp_path) as world:
            hs1 = world.homes["hs1"]
            graph = await hs1.rooms.GetEpochGraph(room_pb2.GetEpochGraphRequest(room_id=ROOM))
            head = await hs1.rooms.GetRatchetTree(room_pb2.GetRatchetTreeRequest(room_id=ROOM))
            assert head.pointer.commit_ref == graph.head
            counts = []
            for node in graph.nodes:
                request = room_pb2.GetRatchetTreeRequest(room_id=ROOM, commit_ref=node.pointer.commit_ref)
                told = await hs1.rooms.GetRatchetTree(request)
                tree = RatchetTree.decode(cipher_suite(1), told.ratchet_tree.data)
                assert (told.tree_hash, told.member_count) == (tree.tree_hash, tree.member_count)
                counts.append(told.member_count)
            assert counts == [1, 2]
            async with refused() as failed:
                await hs1.rooms.GetRatchetTree(room_pb2.GetRatchetTreeRequest(room_id=ROOM, commit_ref=bytes(32)))
            assert failed[0].resource == ("epoch", bytes(32).hex())

    run(main())


def test_rooms_are_listed_in_pages(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            assert not (await home.rooms.ListRooms(room_pb2.ListRoomsRequest())).rooms
            await home.register("@alice:hs1")
            world = World({"hs1": home})
            names = [f"!{letter}:hs1" for letter in "badce"]
            for name in names:
                await world.join("@alice:hs1", room_id=name)
            whole = (await home.rooms.ListRooms(room_pb2.ListRoomsRequest())).rooms
            assert [room.room_id for room in whole] == sorted(names)
            assert [room.member_count for room in whole] == [1] * 5
            assert whole[0] == (await home.room("!a:hs1")).room
            found, token = [], ""
            for _ in names:
                page = await home.rooms.ListRooms(room_pb2.ListRoomsRequest(page_size=2, page_token=token))
                assert len(page.rooms) <= 2
                found += page.rooms
                token = page.next_page_token
                if not token:
                    break
            assert found == list(whole)

    run(main())


def test_the_graph_comes_in_pages_each_node_after_its_parent(tmp_path: Path) -> None:
    async def main() -> None:
        async with small_room(tmp_path) as world:
            hs1 = world.homes["hs1"]
            whole = await hs1.rooms.GetEpochGraph(room_pb2.GetEpochGraphRequest(room_id=ROOM))
            genesis, commit = whole.nodes
            assert (genesis.genesis, genesis.epoch, genesis.author.user_id) == (True, 0, "@alice:hs1")
            assert (commit.epoch, commit.on_head_chain, commit.counts, commit.state) == (1, True, True, room_pb2.NODE_STATE_HELD)
            assert [node.event_id for node in whole.nodes] == list(world.timeline)[:2]
            assert [ref.user_id for ref in commit.added] == ["@dan:hs2"]
            (edge,) = whole.edges
            assert (edge.source, edge.target) == (commit.pointer.commit_ref, genesis.pointer.commit_ref)
            assert whole.head == commit.pointer.commit_ref
            assert list(whole.heads) == [whole.head]
            assert {vote.device.user_id for vote in whole.votes if vote.counts} == {"@alice:hs1", "@dan:hs2"}
            nodes, token = [], ""
            for _ in range(3):
                request = room_pb2.GetEpochGraphRequest(room_id=ROOM, page_size=1, page_token=token)
                page = await hs1.rooms.GetEpochGraph(request)
                nodes += page.nodes
                token = page.next_page_token
                if not token:
                    break
            assert nodes == list(whole.nodes)

    run(main())


def test_an_unknown_room_is_not_found(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            for call, request in (
                (home.rooms.GetRoom, room_pb2.GetRoomRequest(room_id=ROOM)),
                (home.rooms.GetGroupInfo, room_pb2.GetGroupInfoRequest(room_id=ROOM)),
                (home.rooms.GetRatchetTree, room_pb2.GetRatchetTreeRequest(room_id=ROOM)),
                (home.rooms.GetEpochGraph, room_pb2.GetEpochGraphRequest(room_id=ROOM)),
            ):
                async with refused() as told:
                    await call(request)
                assert (told[0].code, told[0].resource) == ("NOT_FOUND", ("room", ROOM))
            await home.tell_state()
            async with refused() as told:
                await home.rooms.GetGroupInfo(room_pb2.GetGroupInfoRequest(room_id=ROOM))
            assert told[0].resource == ("epoch", "head")
            assert not (await home.room()).members

    run(main())


def test_the_service_tells_what_it_is(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path, hosting=False) as home:
            told = await home.admin.GetServerInfo(admin_pb2.GetServerInfoRequest())
            assert (told.server_name, told.algorithm, told.hosting) == ("hs1", "org.dmls.v1", False)
            assert list(told.cipher_suites) == [suite.id for suite in CIPHER_SUITES]
            assert told.incarnation == 1
            assert told.schema_revision
            assert told.limits.max_batch_items == 256
            assert told.start_time.ToMilliseconds() <= told.current_time.ToMilliseconds()
            channel: Any = home.channel
            health: Any = health_pb2_grpc.HealthStub(channel)
            for name in ("", "dmls.v1.RoomService", "dmls.v1.AdminService"):
                answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
                assert answer.status == health_pb2.HealthCheckResponse.SERVING
            reflection: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
            call = reflection.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
            listed = {service.name for service in (await call.read()).list_services_response.service}
            assert {method.containing_service.full_name for method in rpcs().values()} < listed

    run(main())


TO_COME = {"SetRoomOptions", "ReportFailure"}


def test_what_is_to_come_is_unimplemented(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            for path, method in rpcs().items():
                if method.name in TO_COME:
                    async with refused() as told:
                        call: Any = home.channel.unary_unary(path)
                        await call(b"")
                    assert told[0].code in ("UNIMPLEMENTED", "INVALID_ARGUMENT"), path

    run(main())
