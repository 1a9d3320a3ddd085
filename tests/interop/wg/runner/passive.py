"""Turn a runner's log into known-answer cases: `python -m tests.interop.wg.runner.passive LOG FILE`.

Everybody who joined by Welcome becomes a case of the working group's passive-client kind: its key package with the private keys,
the Welcome, and the commits that it handled until it sent a handshake message of its own, which nobody but itself can follow.
What a conversation with foreign servers has shown once can so be checked for ever, without them.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["passive_cases"]

Fields = Mapping[str, Any]

_HANDLING = ("HandleCommit", "HandleReInitCommit")
_HARMLESS = frozenset({*_HANDLING, "GroupInfo", "StateAuth", "Export", "Protect", "Unprotect", "StorePSK", "Free"})
"""What a member can do without sending a handshake message. Branches are made beside the group, and end what is followed."""


def _hex(fields: Fields, name: str) -> str:
    """Return bytes of a logged message; those that are empty are left out in it."""
    return base64.b64decode(fields.get(name, "")).hex()


@dataclass
class _Actor:
    """What the log tells of one actor."""

    packages: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Key packages with their private keys, by transaction."""
    psks: list[dict[str, str]] = field(default_factory=list)
    followed: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Cases that go on, by state."""


def passive_cases(run: Fields) -> list[dict[str, Any]]:
    """Return the cases that one logged run gives."""
    actors: dict[str, _Actor] = {}
    cases: list[dict[str, Any]] = []
    for call in run["calls"]:
        if "response" in call:
            cases += _follow(actors.setdefault(call["actor"], _Actor()), call["rpc"], call["request"], call["response"])
    return cases


def _follow(actor: _Actor, rpc: str, request: Fields, response: Fields) -> Iterator[dict[str, Any]]:
    if rpc == "CreateKeyPackage":
        keys = ("key_package", "signature_priv", "encryption_priv", "init_priv")
        package: dict[str, Any] = {"cipher_suite": request["cipher_suite"]}
        actor.packages[response["transaction_id"]] = package | {name: _hex(response, name) for name in keys}
    elif rpc == "StorePSK":
        actor.psks.append({"psk_id": _hex(request, "psk_id"), "psk": _hex(request, "psk_secret")})
    elif rpc == "JoinGroup" and request["transaction_id"] in actor.packages:
        case = actor.packages.pop(request["transaction_id"]) | {
            "external_psks": actor.psks,
            "welcome": _hex(request, "welcome"),
            "ratchet_tree": _hex(request, "ratchet_tree") or None,
            "initial_epoch_authenticator": _hex(response, "epoch_authenticator"),
            "epochs": [],
        }
        actor.followed[response["state_id"]] = case
        yield case
    elif request.get("state_id") in actor.followed:
        case = actor.followed.pop(request["state_id"])
        if rpc in _HANDLING:
            proposals = [base64.b64decode(proposal).hex() for proposal in request.get("proposal", [])]
            epoch = {"commit": _hex(request, "commit"), "epoch_authenticator": _hex(response, "epoch_authenticator")}
            case["epochs"].append({"proposals": proposals} | epoch)
        if rpc in _HARMLESS:
            actor.followed[response.get("state_id", request["state_id"])] = case


def _read(lines: Iterable[str]) -> list[dict[str, Any]]:
    return [case for line in lines for case in passive_cases(json.loads(line))]


def main(
    log: Annotated[Path, typer.Argument(metavar="LOG", help="What the runner wrote with --log.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the cases go; passive-client-SOMETHING.json.")],
) -> None:
    """Turn a runner's log into passive-client cases, which `dmls conformance` plays."""
    with log.open() as lines:
        cases = _read(lines)
    file.write_text(json.dumps(cases, indent=1) + "\n")
    typer.echo(f"{len(cases)} cases, {sum(len(case['epochs']) for case in cases)} epochs")


if __name__ == "__main__":
    typer.run(main)
