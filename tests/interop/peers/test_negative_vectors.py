"""What our negative vectors call good is good for an implementation that nobody here wrote (docs/negative-vectors.md).

ts-mls takes private keys from outside, which the others do not. That it refuses the cases, too, is not asked: it misses many.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.interop.peers.conftest import Peers
from tests.interop.peers.peer import PeerError, PeerProcess
from tests.support.negative.areas import AREAS, area_file

_DRIVER = "tests/interop/peers/drivers/judge_ts_mls.mjs"
_KINDS = {"decode", "join", "receive"}
"""Key packages and GroupInfos by themselves are judged inside the library only."""

_ONE_SENDER = "takes external_senders for one sender, not for a list"
_NO_DEFAULTS = "wants default types to be listed where they are required"
_VERSIONS = "reads no capabilities with versions that it does not know"
_UNMERGED = "refuses trees whose nodes differ in their unmerged leaves"
_OWN_DEFECTS = {
    "a group that requires capabilities": _NO_DEFAULTS,
    "a group whose list of external senders was emptied": _ONE_SENDER,
    "a group with two external senders": _ONE_SENDER,
    "capabilities that a commit requires": _NO_DEFAULTS,
    "credentials that the application judges": _ONE_SENDER,
    "encodings of the tree": _UNMERGED,
    "extensions that a commit gives to the group": _ONE_SENDER,
    "leaves of the tree": _VERSIONS,
    "the leaf of a path": _VERSIONS,
    "the leaf of an Update that a commit refers to": _VERSIONS,
    "the leaf of an external commit": _VERSIONS,
    "unmerged leaves": _UNMERGED,
}
"""Scenes in which ts-mls refuses a control, by name, and why."""


def _scenes() -> list[dict[str, Any]]:
    scenes = [scene for area in AREAS for scene in json.loads(area_file(area).read_text())["scenes"]]
    return [scene for scene in scenes if scene["kind"] in _KINDS]


@pytest.fixture(scope="module")
def judge(peers: Peers) -> Iterator[PeerProcess]:
    """ts-mls, which stands in for the one who judges."""
    assert peers["ts-mls"].name == "ts-mls"
    process = PeerProcess("ts-mls", ["node", _DRIVER])
    yield process
    process.close()


@pytest.mark.parametrize("scene", _scenes(), ids=lambda scene: scene["name"])
def test_controls_are_accepted_by_ts_mls(judge: PeerProcess, scene: dict[str, Any]) -> None:
    refused = []
    try:
        judge.call("prepare", scene=scene)
    except PeerError as error:
        refused.append(str(error))
    for attempt in () if refused else scene["good"]:
        try:
            judge.call("attempt", attempt=attempt)
        except PeerError as error:
            refused.append(str(error))
    assert bool(refused) == (scene["name"] in _OWN_DEFECTS), refused


def test_scenes_have_names_of_their_own() -> None:
    names = [scene["name"] for scene in _scenes()]
    assert len(set(names)) == len(names)
    assert set(names) >= _OWN_DEFECTS.keys()
