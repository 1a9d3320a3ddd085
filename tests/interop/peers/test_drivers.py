"""Drivers: what they say of themselves holds, and processes that misbehave are noticed and ended."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tests.interop.peers import installed, peer
from tests.interop.peers.abilities import ABILITIES, LACKS, SUITES
from tests.interop.peers.conftest import Peers
from tests.interop.peers.conversation import make_member
from tests.interop.peers.peer import PeerError, PeerProcess

_HERE = Path(__file__).parent
_LOCKED_PYTHON = (_HERE.parents[2] / "requirements" / "peers.txt").read_text()
_DOCUMENT = (_HERE.parents[2] / "docs" / "peers.md").read_text()
_LOCKED_NODE = json.loads((_HERE / "package-lock.json").read_text())["packages"]


@pytest.mark.parametrize("name", installed.NAMES)
def test_a_driver_lists_what_the_table_does_not_say_it_lacks(peers: Peers, name: str) -> None:
    told = peers[name].call("hello")
    assert told["implementation"] == name
    assert set(told["abilities"]) == ABILITIES.keys() - LACKS[name].keys()
    assert tuple(told["suites"]) == SUITES.get(name, (1, 2, 3, 4, 5, 6, 7))


@pytest.mark.parametrize("name", installed.NAMES)
def test_a_driver_does_what_it_says_in_every_suite_it_lists(peers: Peers, name: str) -> None:
    for suite in peers[name].call("hello")["suites"]:
        member = make_member(peers[name], suite=suite)
        assert bytes.fromhex(member.make_key_package())[:6] == bytes.fromhex("000100050001")
        assert int(member.make_key_package()[12:16], 16) == suite


@pytest.mark.parametrize("name", installed.NAMES)
def test_a_refused_command_leaves_a_driver_running(peers: Peers, name: str) -> None:
    with pytest.raises(PeerError, match=name):
        peers[name].call("join", client="nobody", welcome="00")
    with pytest.raises(PeerError, match=name):
        peers[name].call("fly")
    assert peers[name].call("hello")["ok"]


@pytest.mark.parametrize(
    ("name", "lock"),
    [
        ("mls-rs", "agentvault-mls-rs-uniffi"),
        ("gbp-stack", "gbp-stack"),
        ("ts-mls", "ts-mls"),
        ("core-crypto", "@wireapp/core-crypto"),
    ],
)
def test_the_version_that_answers_is_the_locked_and_documented_one(peers: Peers, name: str, lock: str) -> None:
    version = peers[name].call("hello")["version"]
    assert f"`{lock}` | {version} |" in _DOCUMENT
    entry = _LOCKED_NODE.get(f"node_modules/{lock}")
    assert f"{lock}=={version} " in _LOCKED_PYTHON if entry is None else entry["version"] == version


def test_a_process_that_ends_is_noticed_with_what_it_wrote() -> None:
    dying = PeerProcess("dying", [sys.executable, "-c", "import sys; print('no luck', file=sys.stderr)"])
    try:
        with pytest.raises(PeerError, match=r"dying is gone \(hello\)(?s:.*)no luck"):
            dying.call("hello")
            dying.call("hello")
    finally:
        dying.close()


def test_a_process_that_does_not_answer_is_noticed_and_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "_SECONDS", 0.1)
    silent = PeerProcess("silent", [sys.executable, "-c", "import sys; sys.stdin.read()"])
    try:
        with pytest.raises(PeerError, match="silent gave no answer"):
            silent.call("hello")
    finally:
        silent.close()


def test_no_process_outlives_its_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "_PATIENCE", 0.1)
    stubborn = PeerProcess("stubborn", [sys.executable, "-c", "import time; time.sleep(600)"])
    stubborn.close()
    with pytest.raises(ProcessLookupError):
        os.kill(stubborn.pid, 0)
