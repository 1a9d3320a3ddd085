"""A store's file that is older than what was sent from it: put back by hand, as from a backup."""

from __future__ import annotations

import shutil
from pathlib import Path

from dmls.engine.effects import NoticeKind
from dmls.engine.inputs import EventReceived
from tests.rooms.homes import ROOM, Home, World, heads

ALICE, DAN = "@alice:hs1", "@dan:hs2"


def _copy(home: Home, folder: Path) -> Path:
    home.store.close()
    saved = folder / "saved.db"
    shutil.copy(home.path, saved)
    home.open()
    return saved


def _put_back(home: Home, saved: Path) -> None:
    home.store.close()
    for path in home.path.parent.glob(home.path.name + "*"):
        path.unlink()
    shutil.copy(saved, home.path)
    home.open()


def _show(home: Home, world: World, since: int) -> None:
    """Show a homeserver's service again what it has forgotten."""
    for event in world.timeline[ROOM][since:]:
        home.keeper.transact([ROOM], lambda session, event=event: session.step(ROOM, EventReceived(event)))  # type: ignore[misc]


def test_an_old_file_refuses_to_send_with_its_leaf_and_joins_again(world: World, tmp_path: Path) -> None:
    hs1, hs2 = world.homes.values()
    alice, dan = hs1.add_device("alice"), hs2.add_device("dan")
    world.join(ALICE)
    world.settle()
    world.join(DAN)
    world.settle()
    world.let_time_pass(120)
    world.say(dan, "known to the copy")
    saved = _copy(hs2, tmp_path)
    seen = len(world.timeline[ROOM])
    world.say(dan, "not known to the copy")
    old = hs2.state().head
    _put_back(hs2, saved)
    assert hs2.state().head == old
    hs2.reports.clear()
    _show(hs2, world, seen)
    notices = [notice.kind for report in hs2.reports for _, notice in report.notices]
    assert NoticeKind.ROLLED_BACK in notices
    assert NoticeKind.REJOINED in notices
    # The old leaf is out: what is sent now is in the epoch that dan has joined again.
    state = hs2.state()
    assert state.head is not None
    assert state.graph.node(state.head).is_external
    assert state.graph.node(state.head).removes == (dan,)
    world.settle()
    world.let_time_pass(30)
    assert len(heads([hs1, hs2])) == 1
    hs2.restart()
    said = world.say(dan, "from a leaf of its own")
    assert world.read(alice, said) == ("ok", "from a leaf of its own")
    assert world.read(dan, world.say(alice, "heard"))[0] == "ok"


def test_a_file_put_back_after_nothing_was_sent_goes_on(world: World, tmp_path: Path) -> None:
    hs1, hs2 = world.homes.values()
    alice, dan = hs1.add_device("alice"), hs2.add_device("dan")
    world.join(ALICE)
    world.settle()
    world.join(DAN)
    world.settle()
    world.let_time_pass(120)
    saved = _copy(hs2, tmp_path)
    seen = len(world.timeline[ROOM])
    world.say(alice, "by somebody else")
    _put_back(hs2, saved)
    hs2.reports.clear()
    _show(hs2, world, seen)
    assert not hs2.state().barred
    assert world.read(alice, world.say(dan, "nothing was lost")) == ("ok", "nothing was lost")
