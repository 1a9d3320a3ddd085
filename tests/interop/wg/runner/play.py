"""Playing a script to its end or to its first failing step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TextIO

from tests.interop.wg.runner import commits, groups, proposals, successors
from tests.interop.wg.runner.matrix import Plan
from tests.interop.wg.runner.report import log_line
from tests.interop.wg.runner.run import Failure, Outputs, Run, StepError
from tests.interop.wg.runner.scenarios import ScenarioError, Step

__all__ = ["ACTIONS", "play", "play_plan"]

ACTIONS: Mapping[str, Callable[[Run, Step], Outputs]] = MappingProxyType(
    {
        "createGroup": groups.create_group,
        "createKeyPackage": groups.create_key_package,
        "joinGroup": groups.join_group,
        "externalJoin": groups.externally_join,
        "installExternalPSK": groups.install_external_psk,
        "groupInfo": groups.show_group_info,
        "addProposal": proposals.propose_add,
        "updateProposal": proposals.propose_update,
        "removeProposal": proposals.propose_remove,
        "externalPSKProposal": proposals.propose_external_psk,
        "resumptionPSKProposal": proposals.propose_resumption_psk,
        "groupContextExtensionsProposal": proposals.propose_extensions,
        "newMemberAddProposal": proposals.propose_as_new_member,
        "addExternalSigner": proposals.add_external_signer,
        "externalSignerProposal": proposals.propose_as_signer,
        "fullCommit": commits.commit_and_deliver,
        "commit": commits.commit,
        "handleCommit": commits.handle_sent,
        "handlePendingCommit": commits.handle_pending,
        "protect": commits.protect,
        "unprotect": commits.unprotect,
        "reinit": successors.reinit,
        "branch": successors.branch,
    }
)
"""What is done for each action."""


def _ignore() -> None:
    return


def play(run: Run, advance: Callable[[], None] = _ignore) -> Failure | None:
    """Play a run, free what it leaves on the servers, and say where it failed if it did; `advance` is called after each step."""
    try:
        for number, step in enumerate(run.script.steps):
            action = step.members.get("action")
            try:
                perform = ACTIONS.get(step.text("action"))
                if perform is None:
                    raise ScenarioError("unknown action")
                run.outputs[number] = perform(run, step)
                advance()
            except (StepError, ScenarioError) as error:
                return Failure(number, str(action), str(error))
    finally:
        run.free()
    return None


def play_plan(
    plan: Plan, deadline: float = 120.0, *, log: TextIO | None = None, advance: Callable[[], None] = _ignore
) -> Failure | None:
    """Play a run from scratch, with `deadline` seconds for each call, and write it to `log`, one line of JSON."""
    peers = dict(zip(plan.script.actors, plan.cast, strict=True))
    run = Run(plan.script, plan.suite, plan.encrypt_handshake, peers, deadline, keep_calls=log is not None)
    failure = play(run, advance)
    if log is not None:
        print(log_line(plan, run, failure), file=log, flush=True)
    return failure
