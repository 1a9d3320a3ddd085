"""The tables of a fork: what each side has of its own, and what became of every branch."""

from __future__ import annotations

from dmls.ids import CommitRef, DeviceId, EventId, RoomId, UserId
from dmls.tools.demo.epochs import Epoch, EpochLog
from dmls.tools.demo.forks import branch_rows, side_rows
from dmls.tools.demo.homeserver import Name
from dmls.tools.demo.messages import Message

ALICE: Name = (UserId("@alice:hs1"), DeviceId("A1"))
BOB: Name = (UserId("@bob:hs2"), DeviceId("B1"))
CAROL: Name = (UserId("@carol:hs1"), DeviceId("C1"))
NOBODY = frozenset[Name]()


def _ref(number: int) -> CommitRef:
    return CommitRef(bytes([number]) * 32)


def _log(*epochs: Epoch) -> EpochLog:
    log = EpochLog(RoomId("!room:hs1"))
    for epoch in epochs:
        log.epochs[epoch.commit_ref] = epoch
        log.children.setdefault(epoch.parent, []).append(epoch.commit_ref)
    return log


def _epoch(
    ref: int, parent: int, author: Name, members: set[Name], *, added: frozenset[Name] = NOBODY, resolves: tuple[int, ...] = ()
) -> Epoch:
    before = CommitRef(b"") if not parent else _ref(parent)
    number, settled = {1: 0, 2: 1, 3: 1, 4: 2, 5: 2}[ref], tuple(map(_ref, resolves))
    return Epoch(_ref(ref), before, number, EventId(f"${ref}"), author, added, NOBODY, frozenset(members), False, settled)


BEGUN = _epoch(1, 0, ALICE, {ALICE, BOB})
ONE = _epoch(2, 1, ALICE, {ALICE, BOB, CAROL}, added=frozenset({CAROL}))
OTHER = _epoch(3, 1, BOB, {ALICE, BOB})
HEALED = _epoch(4, 2, CAROL, {ALICE, BOB, CAROL}, resolves=(3,))


def test_sides_have_a_column_each_with_what_the_others_do_not_have() -> None:
    messages = [
        Message(EventId(f"$m{ref}"), RoomId("!room:hs1"), ALICE, {"body": "hello"}, {}, _ref(ref)) for ref in (1, 2, 2, 3)
    ]
    assert side_rows(_log(BEGUN, ONE, OTHER), [_ref(2), _ref(3)], messages) == [
        ("head", "epoch 1 (02020202)", "epoch 1 (03030303)"),
        ("its own commits", "1 (02020202) adds carol/C1", "1 (03030303) fresh keys"),
        ("users", "alice, bob, carol", "alice, bob"),
        ("messages in them", "2", "1"),
    ]


def test_a_branch_that_lost_names_the_commit_that_settled_it() -> None:
    assert branch_rows(_log(BEGUN, ONE, OTHER, HEALED), _ref(4)) == [
        ("1 (02020202)", "alice/A1", "adds carol/C1", "on the one branch"),
        ("1 (03030303)", "bob/B1", "fresh keys", "lost, settled by 2 (04040404)"),
        ("2 (04040404)", "carol/C1", "settles the side branch 03030303", "on the one branch"),
    ]


def test_what_nobody_settled_is_only_lost() -> None:
    late = _epoch(5, 3, BOB, {ALICE, BOB})
    fates = {row[0]: row[3] for row in branch_rows(_log(BEGUN, ONE, OTHER, HEALED, late), _ref(4))}
    assert fates["2 (05050505)"] == "lost"
    assert fates["1 (03030303)"] == "lost, settled by 2 (04040404)"


def test_a_group_that_never_forked_has_no_branches() -> None:
    assert branch_rows(_log(BEGUN, ONE), _ref(2)) == []
