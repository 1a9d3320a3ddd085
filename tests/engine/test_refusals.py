"""The homeserver finally refuses what an agent makes: it is forgotten, and tried again later and later."""

from __future__ import annotations

from collections.abc import Collection

from dmls.engine.effects import EventToSend, NoticeKind, OutboxItem
from dmls.engine.inputs import OutboxAnswered
from dmls.engine.refusals import free_at_ms
from dmls.ids import CommitRef, DeviceId, ServerName, UserId
from dmls.simulation.driver import Driver
from dmls.simulation.room_graph import GraphEvent
from dmls.simulation.schedule import LogIn
from tests.support.small_rooms import MINUTE_MS, SmallRoom

A, B, C = UserId("@a:s1"), UserId("@b:s2"), UserId("@c:s1")


class Forbidding(SmallRoom):
    """A room in which some users may not send nodes from some moment on."""

    forbidden: Collection[UserId] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        self.refused_at_ms: list[int] = []
        send = self.requests.send_event

        def send_or_refuse(driver: Driver, item: EventToSend) -> GraphEvent | None:
            if not item.commit_ref or item.sender not in self.forbidden:
                return send(driver, item)
            if item.sender == A:
                self.refused_at_ms.append(self.agenda.now_ms)
            return None

        self.requests.send_event = send_or_refuse  # type: ignore[method-assign]


def notices(driver: Driver) -> list[str]:
    return [notice.text for notice in driver.notices if notice.kind is NoticeKind.COMMIT_REFUSED]


def test_refused_commits_are_tried_again_later_and_later(seed: int) -> None:
    room = Forbidding("a:s1", "b:s2", seed=seed)
    room.forbidden = {A, B}
    room.do(LogIn(A, DeviceId("E"), hosted=True))
    room.rest(10 * MINUTE_MS)
    gaps = [later - earlier for earlier, later in zip(room.refused_at_ms, room.refused_at_ms[1:], strict=False)]
    assert len(gaps) >= 8
    assert all(1_000 << number <= gap < (1_000 << number) + 1_000 for number, gap in enumerate(gaps))
    driver = room.services[ServerName("s1")]
    assert len(notices(driver)) == len(room.refused_at_ms)
    assert notices(driver)[2] == "refused 3 times in a row; @a:s1 tries again in 4 s"
    # What was refused has not happened.
    assert len(room.heads().adds) <= 1
    room.rest(3 * 60 * MINUTE_MS)
    before = len(room.refused_at_ms)
    room.rest(5 * 60 * MINUTE_MS)
    assert 4 <= len(room.refused_at_ms) - before <= 6
    room.forbidden = ()
    room.rest(61 * MINUTE_MS)
    assert room.device("a:s1", "E") in room.state("s2").graph.leaf_origins(room.heads().commit_ref)
    assert driver.state.refusals.get(A) is None


def test_the_back_off_outlives_a_crash(seed: int) -> None:
    room = Forbidding("a:s1", "b:s2", seed=seed)
    room.forbidden = {A, B}
    room.do(LogIn(A, DeviceId("E"), hosted=True))
    room.rest(5 * MINUTE_MS)
    driver = room.services[ServerName("s1")]
    before, count = driver.state.refusals, len(room.refused_at_ms)
    assert free_at_ms(driver.state, A) > room.agenda.now_ms
    driver.crash()
    driver.restart()
    room.rest(1_000)
    assert driver.state.refusals == before
    assert len(room.refused_at_ms) == count


def test_another_users_device_commits_in_the_place_of_who_is_refused(seed: int) -> None:
    room = Forbidding("a:s1", "c:s1", "b:s2", seed=seed)
    room.forbidden = {A, B}
    for user in ("a:s1", "c:s1", "b:s2"):
        room.say(user)
    room.do(LogIn(A, DeviceId("E"), hosted=True))
    room.rest(MINUTE_MS)
    graph, head = room.state("s1").graph, room.heads()
    origin = graph.leaf_origin(head.commit_ref, room.device("a:s1", "E"))
    assert origin is not None
    assert graph.node(origin).author.user_id == C
    assert len(room.refused_at_ms) <= 1


def test_messages_go_on_while_additions_are_refused(seed: int) -> None:
    room = Forbidding("a:s1", "b:s2", seed=seed)
    room.forbidden = {A, B}
    room.do(LogIn(A, DeviceId("E"), hosted=True))
    room.rest(MINUTE_MS)
    message = room.say("a:s1")
    assert message.event_id is not None
    assert message.tries == 1


def refused_chain(seed: int) -> tuple[Forbidding, Driver, list[CommitRef]]:
    """A service that has made two nodes, one on the other, of which it does not know yet that none is sent."""
    room = Forbidding("a:s1", "b:s2", seed=seed)
    driver = room.services[ServerName("s1")]
    held: list[OutboxItem] = []

    def hold(item: OutboxItem, event_id: object) -> None:
        held.append(item)

    driver.answer = hold  # type: ignore[method-assign]
    room.forbidden = {A, B}
    for device_id in ("E", "F"):
        room.do(LogIn(A, DeviceId(device_id), hosted=True))
        room.rest(MINUTE_MS)
    refs = [item.commit_ref for item in held if isinstance(item, EventToSend)]
    assert len(refs) == 2
    assert driver.state.graph.parent(refs[1]) == refs[0]
    return room, driver, refs


def test_what_was_made_on_a_refused_node_goes_with_it(seed: int) -> None:
    _, driver, refs = refused_chain(seed)
    driver.tell(OutboxAnswered(refs[0], None))
    assert not set(refs) & set(driver.state.graph)
    assert not set(refs) & set(driver.state.epochs)
    assert len(notices(driver)) == 1
    before = driver.state
    driver.tell(OutboxAnswered(refs[1], None))
    assert driver.state.refusals == before.refusals


def test_a_node_on_which_somebody_else_built_exists_whatever_the_homeserver_says(seed: int) -> None:
    room = Forbidding("a:s1", "b:s2", seed=seed)
    driver = room.services[ServerName("s1")]
    tell, answers = driver.tell, []

    def tell_later(happened: object) -> None:
        answers.append(happened) if isinstance(happened, OutboxAnswered) else tell(happened)  # type: ignore[arg-type]

    driver.tell = tell_later  # type: ignore[method-assign]
    room.do(LogIn(A, DeviceId("E"), hosted=True))
    room.rest(100)
    [answer] = answers
    ref = answer.commit_ref
    room.rest(MINUTE_MS)
    room.do(LogIn(B, DeviceId("E"), hosted=True))
    room.rest(MINUTE_MS)
    children = driver.state.graph.children(ref)
    assert [driver.state.graph.node(child).author.user_id for child in children] == [B]
    tell(OutboxAnswered(ref, None))
    assert ref in driver.state.graph
    assert notices(driver) == []
    assert A not in driver.state.refusals
