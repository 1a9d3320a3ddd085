"""One JSON object a line in, one out: how a driver in Python talks to the tests."""

from __future__ import annotations

import json
import sys
from typing import Any

__all__ = ["Answer", "Commands", "answer", "serve"]

Answer = dict[str, Any]


class Commands:
    """The commands of a driver: methods named `do_` and the command, which take a request's fields and return the answer's."""

    def do_hello(self) -> Answer:
        """Say who this is and what it can do."""
        raise LookupError("a driver says who it is")


def answer(commands: Commands, request: dict[str, Any]) -> Answer:
    """Run one request; whatever a library raises becomes an error text, for no refusal may end a driver."""
    fields = {key: value for key, value in request.items() if key not in {"id", "command"}}
    try:
        return {"id": request.get("id"), "ok": True, **getattr(commands, f"do_{request['command']}")(**fields)}
    except Exception as error:  # noqa: BLE001
        return {"id": request.get("id"), "ok": False, "error": f"{type(error).__name__}: {error}"}


def serve(commands: Commands) -> None:
    """Answer until the input ends."""
    for line in sys.stdin:
        print(json.dumps(answer(commands, json.loads(line))), flush=True)
