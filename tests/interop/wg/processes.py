"""Servers as processes of their own, so that every byte of a conversation leaves one and enters another."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

__all__ = ["ROOT", "serving"]

ROOT = Path(__file__).resolve().parents[3]


@contextmanager
def _serving_one(name: str) -> Iterator[str]:
    command = [sys.executable, "-m", "tests.interop.wg.server", "--name", name]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        # The address is printed once the port is open.
        address = process.stdout.readline().strip()
        try:
            assert address, process.communicate(timeout=20)[1]
            yield address
        finally:
            process.terminate()
            _, words = process.communicate(timeout=20)
        assert process.returncode == 0, words


@contextmanager
def serving(*names: str) -> Iterator[list[str]]:
    """Run a server of each name; yield their addresses."""
    with ExitStack() as stack:
        yield [stack.enter_context(_serving_one(name)) for name in names]
