"""The files of known answers, and what makes each (docs/protocol.md, Section 15)."""

from __future__ import annotations

import json
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from tests.support.known_answers import committing, events, heads, pprf, references, schedule, structs

__all__ = ["FILES", "FOLDER", "make_file", "read_file"]

FOLDER: Final = Path(__file__).resolve().parents[2] / "vectors" / "dmls"

FILES: Final = MappingProxyType(
    {
        "pprf": pprf.make,
        "key-schedule": schedule.make,
        "structs": structs.make,
        "references": references.make,
        "events": events.make,
        "heads": heads.make,
        "committing": committing.make,
    }
)


def make_file(name: str) -> str:
    """Return the text of a file. All bytes are hexadecimal."""
    return json.dumps(FILES[name](), indent=1, ensure_ascii=False) + "\n"


def read_file(name: str) -> Any:
    """Return what a file holds."""
    return json.loads((FOLDER / f"{name}.json").read_text())
