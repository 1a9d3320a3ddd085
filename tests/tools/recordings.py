"""Recordings made for a test: shorter ones, and ones that lie."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.room_logs import FIGURE_1

__all__ = ["cut_after", "edit"]


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a JSON file."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def cut_after(body: str, folder: Path) -> Path:
    """Copy the first recording up to the moment when everybody had the message that says `body`.

    What was still on its way then was never sent.
    """
    source, target = FIGURE_1[0], folder / "recording"
    shutil.copytree(source, target)
    logs = {path: [json.loads(line) for line in path.read_text().splitlines()] for path in target.glob("*.jsonl")}
    end = max(line["received_ts"] for lines in logs.values() for line in lines if _says(line, body))
    present = {
        path: {line["event_id"] for line in lines if line.get("received_ts", end + 1) <= end} for path, lines in logs.items()
    }
    everywhere = set.intersection(*present.values())
    for path, lines in logs.items():
        logs[path] = [line for line in lines if line["event_id"] in everywhere and line.get("received_ts", 0) <= end]
        path.write_text("".join(json.dumps(line) + "\n" for line in logs[path]))
    edit(target / "members-final.json", lambda content: _end_there(content, logs))
    edit(target / "devices.json", lambda content: content.update(log=[each for each in content["log"] if each["ts"] <= end]))
    return target


def _says(line: dict[str, Any], body: str) -> bool:
    return bool(line.get("event", {}).get("content", {}).get("body") == body)


def _end_there(content: dict[str, Any], logs: dict[Path, list[dict[str, Any]]]) -> None:
    for room in content["rooms"].values():
        for path, lines in logs.items():
            changes = {change["user_id"]: change for line in lines for change in line["state_change"]}
            members = {
                user: {"membership": change["membership"], "event_id": change["event_id"]} for user, change in changes.items()
            }
            room[path.stem]["members"] = members
