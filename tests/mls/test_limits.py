"""Every bound stands in one table, which the documentation repeats."""

from __future__ import annotations

import importlib
import random
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest

from dmls.errors import UsageError
from dmls.mls.codec import decode
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.group.process import open_message
from dmls.mls.group.snapshot import decode_state, encode_state
from dmls.mls.limits import DEFAULT_LIMITS, Limits
from dmls.mls.messages.message import MLSMessage
from tests.support.groups import Store, parties, refusing, room_of

PAGE = Path(__file__).parents[2] / "docs" / "limits.md"
ROW = re.compile(r"^\| `([\w.]+)` \| ([\d,]+) \| (\w+) \| (.+) \|$", re.MULTILINE)


def rows() -> list[tuple[str, int, str, str]]:
    """The rows of the page: name, value, unit, reason."""
    return [(name, int(value.replace(",", "")), unit, reason) for name, value, unit, reason in ROW.findall(PAGE.read_text())]


def test_the_page_repeats_the_table() -> None:
    listed = [(bound.name, bound.default, bound.metadata["unit"], bound.metadata["reason"]) for bound in fields(Limits)]
    assert [row for row in rows() if "." not in row[0]] == listed


def test_the_page_says_what_is_fixed() -> None:
    fixed = {name: value for name, value, _, _ in rows() if "." in name}
    assert len(fixed) == 4
    for name, value in fixed.items():
        module, _, constant = name.rpartition(".")
        assert getattr(importlib.import_module(module), constant) == value


@pytest.mark.parametrize("name", [bound.name for bound in fields(Limits)])
def test_no_bound_is_negative(name: str) -> None:
    replace(DEFAULT_LIMITS, **{name: 0})
    with pytest.raises(UsageError):
        replace(DEFAULT_LIMITS, **{name: -1})


# Bounds of messages reach the ratchets of every epoch, however it was entered.


@pytest.mark.breaks("ST-08", "CRY-17")
def test_bounds_of_messages_hold_in_every_epoch(rng: random.Random) -> None:
    tight = Limits(max_forward=2, max_skipped=2, max_messages=4)
    (alice,) = parties(cipher_suite(1), ["alice"], rng)
    alice.create(limits=tight)
    assert alice.state.secret_tree.limits == tight
    room, (alice, bob) = room_of(rng, "ab")
    staged = alice.stage(limits=tight)
    bob.receive(staged.message, limits=tight)
    alice.enter(staged)
    assert alice.state.secret_tree.limits == bob.state.secret_tree.limits == tight
    store = Store()
    store.keep(bob.state.public.tree)
    bob.state = decode_state(encode_state(bob.state), bob.state.rule, store.load, tight)
    sent = [alice.send(b"data") for _ in range(4)]
    with refusing("CRY-17", alice):
        alice.send(b"one more")
    with refusing("ST-08", bob):
        open_message(bob.state, decode(MLSMessage, sent[3]))
    assert bob.receive(sent[2]) == b"data"
    assert room.follower.context.epoch == bob.epoch - 1
