"""One implementation of MLS as the tests see it: something that takes commands and answers them.

`LocalPeer` runs a driver in this process, `PeerProcess` runs one in a process of its own and talks to it in lines of JSON.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Protocol

from tests.interop.peers.drivers.json_lines import Answer, Commands, answer

__all__ = ["LocalPeer", "Peer", "PeerError", "PeerProcess", "PeerTimeoutError"]

_SECONDS = 60.0
"""How long one command may take."""

_PATIENCE = 5.0
"""Seconds that a process has to end when its input does."""

_ROOT = Path(__file__).parents[3]


class PeerError(Exception):
    """A peer refused a command, or is gone."""


class PeerTimeoutError(PeerError):
    """A peer took too long, and was ended."""


class Peer(Protocol):
    """Takes commands."""

    name: str

    def call(self, command: str, **fields: object) -> Answer:
        """Run a command; raise `PeerError` if the peer refuses."""

    def close(self) -> None:
        """Stop."""


class LocalPeer:
    """A driver in this process."""

    def __init__(self, name: str, commands: Commands) -> None:
        self.name = name
        self._commands = commands

    def call(self, command: str, **fields: object) -> Answer:
        """Run a command; raise `PeerError` if the peer refuses."""
        return _checked(self.name, command, answer(self._commands, {"command": command, **fields}))

    def close(self) -> None:
        """Nothing to stop."""


class PeerProcess:
    """A driver in a process of its own. What it writes to its standard error is shown with an error.

    Attributes:
        seconds: how long one command may take; whoever takes longer is ended.
    """

    def __init__(self, name: str, command: list[str], seconds: float = _SECONDS) -> None:
        self.name = name
        self.seconds = seconds
        self._number = 0
        self._unread = b""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  it lives as long as the process
        environment = os.environ | {"PYTHONPATH": str(_ROOT)}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, env=environment, cwd=_ROOT
        )
        assert self._process.stdout is not None
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._process.stdout, selectors.EVENT_READ)

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    def call(self, command: str, **fields: object) -> Answer:
        """Run a command; raise `PeerError` if the peer refuses, is gone or does not answer in time."""
        self._number += 1
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"id": self._number, "command": command, **fields}).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise self._failure(command, "is gone") from error
        received: dict[str, Any] = json.loads(self._read_line(command))
        if received["id"] != self._number:
            raise self._failure(command, "answered another request")
        return _checked(self.name, command, received)

    def close(self) -> None:
        """End the process, kindly and then not."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._selector.close()
        process.stdout.close()
        self._errors.close()

    def _read_line(self, command: str) -> bytes:
        assert self._process.stdout is not None
        deadline = time.monotonic() + self.seconds
        while b"\n" not in self._unread:
            if not self._selector.select(max(0.0, deadline - time.monotonic())):
                self._process.kill()
                raise PeerTimeoutError(f"{self.name} gave no answer in {self.seconds:.0f} s ({command})")
            chunk = os.read(self._process.stdout.fileno(), 1 << 16)
            if not chunk:
                raise self._failure(command, "is gone")
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _failure(self, command: str, what: str) -> PeerError:
        self._errors.seek(0)
        told = self._errors.read().decode(errors="replace")[-2000:]
        return PeerError(f"{self.name} {what} ({command}). Its standard error ends:\n{told}")


def _checked(name: str, command: str, received: Answer) -> Answer:
    if not received["ok"]:
        raise PeerError(f"{name}: {command}: {received['error']}")
    return received
