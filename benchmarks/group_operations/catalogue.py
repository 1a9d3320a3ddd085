"""The operations that are measured: on which trees, with what material, and how many primitive operations RFC 9420 asks for.

The material of an operation is what `prepare` of the contestants' protocol takes beside its name:

| operation | material |
|---|---|
| key-package, create, commit, apply, encrypt, save, load | none |
| add-all | `key_packages`: of everybody else, for a group that the contestant founds |
| add | `key_packages`: one |
| remove | `leaf`, and `identity` and `signature_key` of the member there, for implementations that ask for these |
| process | `message`: a commit with a path and without proposals, by the member farthest away |
| join | `welcomes`: one for each key package of `newcomers` |
| external-join | `group_info`, with the tree |
| decrypt | `messages`: one sender's, in order, the first of which is opened before the clock starts |
| first-message | `message`: the first of its sender |
| follow | `group_info`, with the tree, and `message`: a commit as of process |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.group_operations import floor
from benchmarks.group_operations.floor import Counts
from benchmarks.group_operations.shape import Shape
from benchmarks.group_operations.stage import Stage

__all__ = ["OPERATIONS", "TEXT_SIZE", "Operation", "Setting"]

TEXT_SIZE = 1024
"""Bytes of the messages that are encrypted."""

Material = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """Where an operation is to be done.

    Attributes:
        stage: the group.
        size: members that an operation has to do with; the group's, if it is done in one.
        ask: calls a command of the contestant.
        rounds: how often it will be done, at most, or in how many bursts.
        burst: how often in one burst, at most.
    """

    stage: Stage
    size: int
    ask: Callable[..., dict[str, Any]]
    rounds: int
    burst: int


@dataclass(frozen=True)
class Operation:
    """One thing to measure."""

    name: str
    title: str
    floor: Callable[[Shape], Counts] | None
    """Primitive operations that it cannot do without; None where cryptography is not what it costs."""
    material: Callable[[Setting], Material] = lambda _setting: {}
    needs_group: bool = True
    """It is done in the group that there is, so that it matters whether its tree is fresh or full."""


def _others(setting: Setting) -> Material:
    return {"key_packages": [data.hex() for data in setting.stage.key_packages(setting.size - 1)]}


def _newcomer(setting: Setting) -> Material:
    return {"key_packages": [data.hex() for data in setting.stage.key_packages(1)]}


def _leaver(setting: Setting) -> Material:
    return setting.stage.leaver()


def _commit(setting: Setting) -> Material:
    return {"message": setting.stage.commit(setting.stage.farthest).hex()}


def _welcomes(setting: Setting) -> Material:
    newcomers = setting.ask("newcomers", count=setting.rounds)["key_packages"]
    return {"welcomes": [setting.stage.admit(bytes.fromhex(data)).hex() for data in newcomers]}


def _group_info(setting: Setting) -> Material:
    return {"group_info": setting.stage.group_info().hex()}


def _messages(setting: Setting) -> Material:
    sent = setting.stage.messages(setting.stage.farthest, bytes(TEXT_SIZE), setting.rounds * setting.burst + 1)
    return {"messages": [data.hex() for data in sent]}


def _first_message(setting: Setting) -> Material:
    return {"message": setting.stage.messages(setting.stage.farthest, bytes(TEXT_SIZE), 1)[0].hex()}


def _followed(setting: Setting) -> Material:
    return {**_group_info(setting), **_commit(setting)}


OPERATIONS = {
    operation.name: operation
    for operation in (
        Operation("key-package", "key package", floor.key_package, needs_group=False),
        Operation("create", "create a group", floor.create, needs_group=False),
        Operation("add-all", "add N-1 in one commit", floor.add_all, _others, needs_group=False),
        Operation("add", "add one", floor.add, _newcomer),
        Operation("remove", "remove one", floor.remove, _leaver),
        Operation("commit", "create a commit", floor.commit),
        Operation("apply", "apply the own commit", None),
        Operation("process", "process a commit", floor.process, _commit),
        Operation("join", "join by Welcome", floor.join, _welcomes),
        Operation("external-join", "join by external commit", floor.external_join, _group_info),
        Operation("encrypt", "encrypt 1 KiB", floor.encrypt),
        Operation("decrypt", "decrypt 1 KiB", floor.decrypt, _messages),
        Operation("first-message", "first message of a sender", floor.first_message, _first_message),
        Operation("save", "save after a commit", None),
        Operation("load", "load", None),
        Operation("follow", "follow a commit from outside", floor.follow, _followed),
    )
}
"""All operations by name, in the order in which they are shown."""
