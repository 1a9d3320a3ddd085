"""`dmls serve` as a process of its own, on a Unix socket, so that its address stays when it is killed and started again."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc

from tests.service.scene import Home

__all__ = ["ServeProcess", "serving"]

_ROOT = Path(__file__).resolve().parents[2]


class ServeProcess:
    """One service's process, and its data directory `folder`."""

    def __init__(self, folder: Path, server_name: str, *options: str, listen: str = "") -> None:
        self.folder = folder / server_name
        self.listen = listen or f"unix:{folder / server_name}.sock"
        self._command = [
            *(sys.executable, "-m", "dmls.cli", "serve", "--data", str(self.folder), "--server-name", server_name),
            *("--hosting", "--listen", self.listen, *options),
        ]
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> str:
        """Start it, and return the address once it is ready."""
        self.process = subprocess.Popen(self._command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self._last_words()
        return str(json.loads(line)["listening"])

    def kill(self) -> None:
        """End it with SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self._last_words()

    def terminate(self) -> tuple[int, list[dict[str, Any]]]:
        """End it with SIGTERM; return its status and its log."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        _, log = self.process.communicate(timeout=20)
        return self.process.returncode, [json.loads(line) for line in log.splitlines()]

    def _last_words(self) -> str:
        assert self.process is not None
        _, log = self.process.communicate(timeout=20)
        return log

    async def restart(self) -> None:
        """Kill it, and start it again on what it left."""
        await asyncio.to_thread(self.kill)
        await asyncio.to_thread(self.start)


@asynccontextmanager
async def serving(folder: Path, server_name: str = "hs1") -> AsyncIterator[tuple[ServeProcess, Home]]:
    """Run a service in a process of its own."""
    process = ServeProcess(folder, server_name)
    await asyncio.to_thread(process.start)
    # A killed service is back within a second or two: try again sooner than gRPC would by itself.
    options = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200)]
    try:
        async with grpc.aio.insecure_channel(process.listen, options=options) as channel:
            yield process, Home(server_name, channel)
    finally:
        await asyncio.to_thread(process.kill)
