"""The areas of the set, and their files."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from dmls.errors import DMLSError
from tests.support.negative import (
    commits,
    credentials,
    crypto,
    encoding,
    extensions,
    external_commits,
    external_senders,
    framing,
    group_infos,
    key_packages,
    key_schedule,
    leaf_nodes,
    paths,
    private_messages,
    proposals,
    psks,
    successors,
    trees,
    welcomes,
)
from tests.support.negative.model import Scene, write_file
from tests.support.negative.player import Player

__all__ = ["AREAS", "FOLDER", "area_file", "make_area"]

FOLDER: Final = Path(__file__).resolve().parents[2] / "vectors" / "negative"

AREAS: Final = MappingProxyType(
    {
        "crypto": crypto.scenes,
        "encoding": encoding.scenes,
        "credentials": credentials.scenes,
        "branch": successors.branches,
        "reinit": successors.successors,
        "external-senders": external_senders.scenes,
        "extensions": extensions.scenes,
        "commits": commits.scenes,
        "psks": psks.scenes,
        "paths": paths.scenes,
        "group-infos": group_infos.scenes,
        "external-commits": external_commits.scenes,
        "welcomes": welcomes.scenes,
        "trees": trees.scenes,
        "private-messages": private_messages.scenes,
        "framing": framing.scenes,
        "key-packages": key_packages.scenes,
        "key-schedule": key_schedule.scenes,
        "leaf-nodes": leaf_nodes.scenes,
        "proposals": proposals.scenes,
    }
)


def area_file(area: str) -> Path:
    return FOLDER / f"{area}.json"


def _finished(scene: Scene) -> dict[str, Any]:
    """Play a scene as it will be read, and write down how each case is refused."""
    made = scene.to_json()
    assert all((made["good"], made["cases"])), scene.name
    player = Player(made)
    for number, attempt in enumerate(made["good"]):
        try:
            player.accept(attempt)
        except DMLSError as refusal:
            raise AssertionError(f"{scene.name}: control {number} was refused: {refusal!r}") from refusal
    wrong = []
    for case in made["cases"]:
        try:
            error = player.refuse(case["bad"])
        except AssertionError as failure:
            wrong.append(f"{case['name']} ({case['rule']}): {failure}")
            continue
        if error.rule != case["noticed"]["rule"]:
            wrong.append(f"{case['name']} ({case['rule']}): refused as {error!r}")
        case["noticed"]["reason"] = error.reason
    assert not wrong, "\n".join([scene.name, *wrong])
    return made


def make_area(area: str) -> str:
    """Return the text of an area's file; the same each time."""
    source = random.Random(zlib.crc32(area.encode()))
    build: Callable[[random.Random], Iterator[Scene]] = AREAS[area]
    return write_file(area, [_finished(scene) for scene in build(source)])
