"""What a runner tells: how to repeat a run, and a log of every call."""

from __future__ import annotations

import json
import shlex
from typing import Any

from google.protobuf.json_format import MessageToDict

from tests.interop.wg.runner.matrix import Plan
from tests.interop.wg.runner.run import Call, Failure, Run

__all__ = ["describe_plan", "log_line", "repeat_options"]

_NAMED_ACTORS = 9


def describe_plan(plan: Plan) -> str:
    """Return what was played, and by whom, for people."""
    cast = [f"{actor}={peer.name}" for actor, peer in zip(plan.script.actors, plan.cast, strict=True)]
    others = [f"and {len(cast) - _NAMED_ACTORS} more"] if len(cast) > _NAMED_ACTORS else []
    handshake = "private" if plan.encrypt_handshake else "public"
    return f"{plan.script.title}, suite {plan.suite}, {handshake}, {' '.join([*cast[:_NAMED_ACTORS], *others])}"


def repeat_options(plan: Plan) -> str:
    """Return the options that choose this run and no other, beside those that name servers."""
    handshake = "private" if plan.encrypt_handshake else "public"
    chosen = ["--config", str(plan.script.path), "--script", plan.script.name, "--suite", str(plan.suite)]
    return shlex.join([*chosen, "--handshake", handshake, "--assignment", f"{plan.assignment:x}"])


def log_line(plan: Plan, run: Run, failure: Failure | None) -> str:
    """Return a run with its calls as one line of JSON; bytes are base64, fields that were left out are so here too."""
    return json.dumps(
        {
            "config": plan.script.path.stem,
            "script": plan.script.name,
            "cipher_suite": plan.suite,
            "encrypt_handshake": plan.encrypt_handshake,
            "actors": {actor: peer.name for actor, peer in run.peers.items()},
            "repeat": repeat_options(plan),
            "calls": [_log_call(call) for call in run.calls],
            "failure": None if failure is None else {"step": failure.step, "action": failure.action, "error": failure.error},
        }
    )


def _log_call(call: Call) -> dict[str, Any]:
    logged = {"actor": call.actor, "rpc": call.rpc, "request": MessageToDict(call.request, preserving_proto_field_name=True)}
    if call.response is None:
        return logged | {"error": call.error}
    return logged | {"response": MessageToDict(call.response, preserving_proto_field_name=True)}
