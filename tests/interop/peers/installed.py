"""Which peers are installed here, and how each is started. As a program: fails if one is missing."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

from tests.interop.peers.drivers.dmls import DMLSCommands
from tests.interop.peers.peer import LocalPeer, Peer, PeerProcess

__all__ = ["NAMES", "missing", "start"]

_HERE = Path(__file__).parent
_PYTHON = {"mls-rs": ("mls_rs_uniffi", "mls_rs"), "gbp-stack": ("gbp_stack", "gbp")}
_NODE = {"ts-mls": ("ts-mls", "ts_mls.mjs"), "core-crypto": ("@wireapp/core-crypto", "core_crypto.mjs")}

NAMES = ("dmls", *_PYTHON, *_NODE)
"""All implementations, ours first."""


def missing(name: str) -> str | None:
    """Say what of a peer is not installed, or return None."""
    if name in _PYTHON and importlib.util.find_spec(_PYTHON[name][0]) is None:
        return f"{name} is not installed: make peers"
    if name in _NODE and shutil.which("node") is None:
        return f"{name} needs Node.js 20 or later"
    if name in _NODE and not (_HERE / "node_modules" / _NODE[name][0]).is_dir():
        return f"{name} is not installed: make peers"
    return None


def start(name: str) -> Peer:
    """Start a peer: ours in this process, others in their own."""
    if name in _PYTHON:
        return PeerProcess(name, [sys.executable, "-m", f"tests.interop.peers.drivers.{_PYTHON[name][1]}"])
    if name in _NODE:
        return PeerProcess(name, ["node", str(_HERE / "drivers" / _NODE[name][1])])
    return LocalPeer(name, DMLSCommands())


def main() -> None:
    """Name the peers that are installed, with their versions, or fail."""
    lacking = [reason for reason in map(missing, NAMES) if reason is not None]
    if lacking:
        sys.exit("; ".join(lacking))
    for name in NAMES[1:]:
        peer = start(name)
        print(f"{name} {peer.call('hello')['version']}")
        peer.close()


if __name__ == "__main__":
    main()
