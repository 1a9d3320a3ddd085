"""What docs/interop.md tells a reader to type does what the document says."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import sysconfig
from contextlib import ExitStack
from pathlib import Path

from tests.interop.wg.processes import ROOT, serving
from tests.support.scenarios import scenario_file

_DOCUMENT = ROOT / "docs" / "interop.md"
_SERVER = "tests.interop.wg.server"


def _commands() -> list[list[str]]:
    blocks = re.findall(r"(?ms)^```sh\n(.*?)^```", _DOCUMENT.read_text())
    return [shlex.split(line) for block in blocks for line in block.splitlines()]


def test_the_commands_of_the_document_work_in_their_order(tmp_path: Path) -> None:
    servers = [command for command in _commands() if _SERVER in command]
    others = [command for command in _commands() if _SERVER not in command]
    assert len(servers) == 2
    assert len(others) == 5
    with ExitStack() as stack:
        # The reader's ports may be taken here: the kernel chooses others.
        names = [command[command.index("--name") + 1] if "--name" in command else "dmls" for command in servers]
        ports = [command[command.index("--port") + 1] for command in servers]
        addresses = dict(zip(ports, stack.enter_context(serving(*names)), strict=True))
        texts = {
            "CONFIG": str(scenario_file("application.json")),
            "LOG": str(tmp_path / "log.jsonl"),
            "DIR": str(tmp_path / "cases"),
            "DIR/passive-client-logged.json": str(tmp_path / "cases" / "passive-client-logged.json"),
            ".venv/bin/python": sys.executable,
            ".venv/bin/dmls": str(Path(sysconfig.get_path("scripts")) / "dmls"),
            **{f"127.0.0.1:{port}": address for port, address in addresses.items()},
        }
        (tmp_path / "cases").mkdir()
        for command in others:
            here = [texts.get(word, word) for word in command]
            done = subprocess.run(here, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
            assert done.returncode == 0, (command, done.stdout, done.stderr)
