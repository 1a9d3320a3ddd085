"""Which implementations there are, and how each is started."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

from benchmarks.group_operations.results import OURS, PUNCTURABLE
from tests.interop.peers.peer import PeerProcess

__all__ = ["PEERS", "missing", "start"]

_HERE = Path(__file__).parent / "contestants"
_MODULES = "benchmarks.group_operations.contestants"
_NODE_MODULES = Path(__file__).parents[2] / "tests" / "interop" / "peers" / "node_modules"
_PYTHON = {
    "mls-rs": ("mls_rs_uniffi", "mls_rs"),
    "rine-mls": ("rine_mls", "rine_mls"),
    "openmls": ("gbp_stack", "openmls"),
    "rfc9420": ("rfc9420", "rfc9420"),
    "pure-mls": ("pure_mls", "pure_mls"),
}
_NODE = {"ts-mls": ("ts-mls", "ts_mls.mjs")}

PEERS = (*_PYTHON, *_NODE)
"""The implementations of others."""


def missing(name: str, suite: int) -> str | None:
    """Say why a contestant cannot take part, or return None."""
    if name in {OURS, PUNCTURABLE}:
        return None
    if suite != 1:
        return "is driven with cipher suite 1 only"
    if name in _PYTHON and importlib.util.find_spec(_PYTHON[name][0]) is None:
        return "is not installed: make peers"
    if name in _NODE and shutil.which("node") is None:
        return "needs Node.js 20 or later"
    if name in _NODE and not (_NODE_MODULES / _NODE[name][0]).is_dir():
        return "is not installed: make peers"
    return None


def start(name: str, suite: int, seed: int, seconds: float) -> PeerProcess:
    """Start a contestant, which may take so many seconds for one command."""
    if name in _NODE:
        return PeerProcess(name, ["node", str(_HERE / _NODE[name][1])], seconds)
    if name in _PYTHON:
        return PeerProcess(name, [sys.executable, "-m", f"{_MODULES}.{_PYTHON[name][1]}"], seconds)
    schedule = "pprf" if name == PUNCTURABLE else "rfc9420"
    settings = [f"--suite={suite}", f"--seed={seed}", f"--key-schedule={schedule}"]
    return PeerProcess(name, [sys.executable, "-m", f"{_MODULES}.dmls", *settings], seconds)
