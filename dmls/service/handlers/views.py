"""GetRoom, ListRooms, GetGroupInfo, GetRatchetTree and GetEpochGraph: what may be seen of a room's group."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from devicestore import blobs, rooms
from dmls.engine.planning import Plan, make_plan
from dmls.engine.readiness import send_state
from dmls.engine.state import NodeEntry, RoomState
from dmls.forks.aad import KeySchedule, read_params
from dmls.forks.graph import Node
from dmls.forks.reconcile import finally_gone
from dmls.ids import CommitRef, RoomId
from dmls.matrix.bodies import ALGORITHM
from dmls.matrix.encoding import encode_canonical_json
from dmls.matrix.identifiers import server_of
from dmls.mls.messages.extensions import RequiredCapabilities, read_extension
from dmls.mls.messages.registry import ExtensionType
from dmls.service.convert import device_ref, from_member_event, pointer, to_timestamp, to_visibility
from dmls.service.core import Core
from dmls.service.errors import UnknownResourceError
from dmls.service.handlers.key_packages import required_capabilities
from dmls.service.handlers.plans import pending_changes, to_send_state
from dmls.service.paging import Place, page_of, page_size, read_token
from dmls.v1 import common_pb2, room_pb2

__all__ = ["RoomView", "get_epoch_graph", "get_group_info", "get_ratchet_tree", "get_room", "list_rooms", "to_node"]

_MEMBERS = 1_000
_MOST_MEMBERS = 10_000
_SCHEDULES = {
    KeySchedule.RFC9420: common_pb2.KEY_SCHEDULE_RFC9420,
    KeySchedule.PPRF: common_pb2.KEY_SCHEDULE_PPRF,
}


@dataclass(frozen=True)
class RoomView:
    """A room at one moment."""

    state: RoomState
    now_ms: int

    @cached_property
    def plan(self) -> Plan | None:
        """What the group is about to do; None before its genesis."""
        return make_plan(self.state, self.now_ms)

    @cached_property
    def chain(self) -> frozenset[CommitRef]:
        """The head and its ancestors."""
        head = self.state.head
        return frozenset() if head is None else frozenset(self.state.graph.path_up(head))

    @cached_property
    def resolved(self) -> frozenset[CommitRef]:
        """Nodes that the head's chain has dealt with."""
        return frozenset(ref for above in self.chain for ref in self.state.graph.node(above).resolves)


def get_room(core: Core, request: room_pb2.GetRoomRequest) -> room_pb2.GetRoomResponse:
    """Tell what is known of a room and its group.

    Raises:
        UnknownResourceError: the room is not known.
        InvalidRequestError: the page token is not one of this list.
    """
    view = RoomView(_state(core, request.room_id), core.now_ms())
    state, plan = view.state, view.plan
    answer = room_pb2.GetRoomResponse(
        room=_summary(request.room_id, view),
        pending=pending_changes(state, plan, view.now_ms),
        readmission_wanted_user_ids=sorted(state.membership.needs_readmission()),
    )
    if plan is not None and state.head is not None:
        answer.options.CopyFrom(_options(plan.entry))
        answer.side_heads.extend(_head(view, ref) for ref in state.graph.side_heads(state.head))
        size = page_size(request.page_size, _MEMBERS, _MOST_MEMBERS)
        members = [(member.leaf_index.to_bytes(4, "big"), member) for member in _members(state, plan)]
        page, token = page_of(members, lambda each: (each[0],), size, read_token(request.page_token))
        answer.members.extend(member for _, member in page)
        answer.next_page_token = token
        gone = finally_gone(state.graph) | frozenset(state.gone)
        listed = {device for held in state.lists.values() for device in held.devices}
        answer.new_key_wanted.extend(device_ref(device) for device in sorted(gone & listed))
    if request.include_state:
        answer.state.CopyFrom(_room_state(state))
    if request.include_device_lists:
        answer.device_lists.extend(_device_lists(core, state))
    return answer


def list_rooms(core: Core, request: room_pb2.ListRoomsRequest) -> room_pb2.ListRoomsResponse:
    """Give a page of the rooms, in short.

    Raises:
        InvalidRequestError: the page token is not one of this list.
    """
    place, size = read_token(request.page_token), page_size(request.page_size)
    after = b"".join(place or ()).decode(errors="replace")
    names = core.store.read(lambda conn: rooms.list_rooms(conn, after=after, limit=size + 1))
    page, token = page_of(names, lambda name: (name.encode(),), size, None)
    states = ((RoomId(name), core.keeper.state(RoomId(name))) for name in page)
    now_ms = core.now_ms()
    summaries = [_summary(room_id, RoomView(state, now_ms)) for room_id, state in states if state is not None]
    return room_pb2.ListRoomsResponse(rooms=summaries, next_page_token=token)


def get_ratchet_tree(core: Core, request: room_pb2.GetRatchetTreeRequest) -> room_pb2.GetRatchetTreeResponse:
    """Give the ratchet tree of a node.

    Raises:
        UnknownResourceError: the room or the node is not known.
    """
    state = _state(core, request.room_id)
    ref, entry = _entry(state, request.commit_ref)
    tree = entry.group.tree
    return room_pb2.GetRatchetTreeResponse(
        ratchet_tree=_blob(core, tree.encode()),
        tree_hash=tree.tree_hash,
        pointer=pointer(state, ref),
        member_count=tree.member_count,
    )


def get_group_info(core: Core, request: room_pb2.GetGroupInfoRequest) -> room_pb2.GetGroupInfoResponse:
    """Give the GroupInfo of a node, with its ratchet tree if that is asked for.

    Raises:
        UnknownResourceError: the room or the node is not known.
    """
    state = _state(core, request.room_id)
    ref, entry = _entry(state, request.commit_ref)
    answer = room_pb2.GetGroupInfoResponse(group_info=entry.group_info, pointer=pointer(state, ref), event_id=entry.node.event_id)
    if request.include_ratchet_tree:
        answer.ratchet_tree.CopyFrom(_blob(core, entry.group.tree.encode()))
    return answer


def get_epoch_graph(core: Core, request: room_pb2.GetEpochGraphRequest) -> room_pb2.GetEpochGraphResponse:
    """Give a page of the room's epoch graph, each node after its parent.

    Raises:
        UnknownResourceError: the room is not known.
        InvalidRequestError: the page token is not one of this list.
    """
    view = RoomView(_state(core, request.room_id), core.now_ms())
    state = view.state
    nodes = sorted((entry.node for entry in state.entries.values()), key=_place)
    page, token = page_of(nodes, _place, page_size(request.page_size), read_token(request.page_token))
    shown = {node.commit_ref for node in page}
    return room_pb2.GetEpochGraphResponse(
        nodes=[to_node(view, node) for node in page],
        edges=[edge for node in page for edge in _edges(node)],
        votes=[vote for vote in _votes(view) if vote.commit_ref in shown],
        head=state.head or b"",
        heads=state.graph.leaves(),
        next_page_token=token,
    )


def _state(core: Core, room_id: str) -> RoomState:
    state = core.keeper.state(RoomId(room_id))
    if state is None:
        raise UnknownResourceError("room", room_id)
    return state


def _entry(state: RoomState, commit_ref: bytes) -> tuple[CommitRef, NodeEntry]:
    """Return a node by its commit_ref, the head by none."""
    ref = CommitRef(commit_ref) if commit_ref else state.head
    entry = None if ref is None else state.entries.get(ref)
    if ref is None or entry is None:
        raise UnknownResourceError("epoch", commit_ref.hex() or "head")
    return ref, entry


def _summary(room_id: str, view: RoomView) -> room_pb2.RoomSummary:
    state, plan = view.state, view.plan
    return room_pb2.RoomSummary(
        room_id=room_id,
        state_version=state.state_version,
        encrypted=state.membership.facts.encryption_algorithm is not None,
        head=None if state.head is None else _head(view, state.head),
        member_count=0 if plan is None else plan.entry.group.tree.member_count,
        fork_count=0 if plan is None else len(plan.survey.side_heads),
        parked_count=len(state.parked),
        send_state=to_send_state(send_state(state, plan, view.now_ms)),
    )


def _head(view: RoomView, ref: CommitRef) -> room_pb2.GroupHead:
    state = view.state
    entry = state.entries[ref]
    return room_pb2.GroupHead(
        pointer=pointer(state, ref),
        epoch=entry.node.epoch,
        event_id=entry.node.event_id,
        cipher_suite=entry.group.suite.id,
        author=device_ref(entry.node.author),
        supporters=view.state.tally.support(ref),
        holds_secrets=ref in state.epochs,
        resolved=ref in view.resolved,
    )


def _options(entry: NodeEntry) -> room_pb2.RoomOptions:
    extensions = entry.group.context.extensions
    params = read_params(extensions)
    required = read_extension(extensions, ExtensionType.REQUIRED_CAPABILITIES, RequiredCapabilities)
    options = room_pb2.RoomOptions(
        cipher_suite=entry.group.suite.id,
        key_schedule=_SCHEDULES[params.key_schedule],
        retain_epochs=params.retain_epochs,
        required_capabilities=None if required is None else required_capabilities(required),
    )
    options.retain_duration.FromSeconds(params.retain_seconds)
    return options


def _members(state: RoomState, plan: Plan) -> Iterable[room_pb2.GroupMember]:
    unvouched = {leaf.leaf_index for leaf in plan.survey.unvouched}
    going = {removal.leaf.leaf_index for removal in plan.survey.removals}
    for leaf in plan.survey.situation.leaves:
        yield room_pb2.GroupMember(
            device=device_ref(leaf.device),
            leaf_index=leaf.leaf_index,
            signature_key=leaf.device.signature_key,
            hosted=leaf.device in state.agent.devices,
            vouched=leaf.leaf_index not in unvouched,
            must_go=leaf.leaf_index in going,
        )


def _room_state(state: RoomState) -> room_pb2.RoomState:
    membership, facts = state.membership, state.membership.facts
    algorithm = facts.encryption_algorithm
    current = [event for user in sorted(membership.users()) if (event := membership.member_event(user)) is not None]
    return room_pb2.RoomState(
        room_version=facts.room_version or "",
        create_sender=facts.create_sender or "",
        encryption=b"" if algorithm is None else encode_canonical_json({"algorithm": ALGORITHM}),
        history_visibility=to_visibility(facts.history_visibility),
        members=map(from_member_event, current),
        past_members=map(from_member_event, membership.past_events()),
    )


def _device_lists(core: Core, state: RoomState) -> Iterable[room_pb2.DeviceList]:
    for user, held in sorted(state.lists.items()):
        if server_of(user) != core.server_name:
            told = room_pb2.DeviceList(user_id=user, version=held.version, taken_at=to_timestamp(held.taken_at_ms))
            for device in sorted(held.devices):
                key = common_pb2.SignatureKey(public_key=device.signature_key, cipher_suites=[state.cipher_suite])
                told.devices.add(device_id=device.device_id, signature_keys=[key])
            yield told


def _blob(core: Core, data: bytes) -> common_pb2.Blob:
    """Return bytes as a blob; what is too large for one message can be fetched."""
    sha256 = core.store.write(lambda conn: blobs.put(conn, data, now_ms=core.now_ms())).result()
    is_inline = len(data) <= core.limits.max_inline_blob_bytes
    return common_pb2.Blob(sha256=sha256, size=len(data), data=data if is_inline else b"")


def _place(node: Node) -> Place:
    return node.epoch.to_bytes(8, "big"), node.commit_ref


def to_node(view: RoomView, node: Node) -> room_pb2.EpochNode:
    """Return a node of the epoch graph as callers see it."""
    state, ref = view.state, node.commit_ref
    entry = state.entries[ref]
    return room_pb2.EpochNode(
        pointer=pointer(state, ref),
        epoch=node.epoch,
        event_id=node.event_id,
        author=device_ref(node.author),
        author_leaf_index=entry.group.tree.find_signature_key(node.author.signature_key) or 0,
        genesis=node.is_genesis,
        external=node.is_external,
        state=_node_state(state, ref),
        on_head_chain=ref in view.chain,
        counts=view.state.tally.counts(ref),
        supporters=view.state.tally.support(ref),
        added=map(device_ref, node.adds),
        removed=map(device_ref, node.removes),
    )


def _node_state(state: RoomState, ref: CommitRef) -> room_pb2.NodeState:
    if ref in state.epochs:
        return room_pb2.NODE_STATE_HELD
    if ref in state.expired:
        return room_pb2.NODE_STATE_DELETED
    if ref in state.failed:
        return room_pb2.NODE_STATE_FAILED
    stale = state.entries[ref].node.parent_ref in state.expired
    return room_pb2.NODE_STATE_STALE_PARENT if stale else room_pb2.NODE_STATE_FOLLOWED


def _edges(node: Node) -> list[room_pb2.EpochEdge]:
    targets = [] if node.is_genesis else [(node.parent_ref, room_pb2.EDGE_KIND_PARENT)]
    targets += [(ref, room_pb2.EDGE_KIND_RESOLVES) for ref in node.resolves]
    targets += [(ref, room_pb2.EDGE_KIND_REJECTS) for ref in node.rejects]
    return [room_pb2.EpochEdge(source=node.commit_ref, target=target, kind=kind) for target, kind in targets]


def _votes(view: RoomView) -> list[room_pb2.EpochVote]:
    """Return the vote of each device: that of its greatest vote_seq."""
    state = view.state
    cast = [(tracked.vote.device, tracked.vote.vote_seq, tracked.vote.commit_ref) for tracked in state.votes.values()]
    nodes = (entry.node for entry in state.entries.values())
    cast += [(node.author, node.vote_seq, node.commit_ref) for node in nodes if not node.is_external]
    last = {device: (seq, ref) for device, seq, ref in sorted(cast)}
    counted = view.state.tally.votes
    return [
        room_pb2.EpochVote(device=device_ref(device), commit_ref=ref, vote_seq=seq, counts=ref in counted.get(device, ()))
        for device, (seq, ref) in last.items()
    ]
