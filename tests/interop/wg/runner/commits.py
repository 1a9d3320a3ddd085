"""Actions that commit, and that send application data."""

from __future__ import annotations

from tests.interop.proto import mls_client_pb2 as pb
from tests.interop.wg.runner.moves import enter_pending, handle_commit, join
from tests.interop.wg.runner.proposals import describe
from tests.interop.wg.runner.run import Outputs, Run, StepError
from tests.interop.wg.runner.scenarios import Step

__all__ = ["commit", "commit_and_deliver", "handle_pending", "handle_sent", "protect", "unprotect"]


def commit(run: Run, step: Step) -> Outputs:
    """Make a commit that stays pending."""
    actor = step.text("actor")
    request = pb.CommitRequest(
        state_id=run.state(actor),
        by_reference=run.output_list(step.numbers("byReference"), "proposal"),
        by_value=[describe(run, description) for description in step.parts("byValue")],
        force_path=step.flag("force_path"),
        external_tree=step.flag("external_tree"),
    )
    response = run.call(actor, "Commit", request, pb.CommitResponse)
    outputs = {"commit": response.commit, "welcome": response.welcome}
    if step.flag("external_tree"):
        outputs["ratchet_tree"] = response.ratchet_tree
    return outputs


def commit_and_deliver(run: Run, step: Step) -> Outputs:
    """Make a commit and let it take effect with everybody."""
    made = commit(run, step)
    authenticator = enter_pending(run, step.text("actor"))
    proposals = run.output_list(step.numbers("byReference"), "proposal")
    handle_commit(run, step.names("members"), proposals, made["commit"], authenticator)
    join(run, step.names("joiners"), made["welcome"], made.get("ratchet_tree", b""), authenticator)
    return made | {"epoch_authenticator": authenticator}


def handle_sent(run: Run, step: Step) -> Outputs:
    """Let a member process the commit of an earlier step."""
    proposals = run.output_list(step.numbers("byReference"), "proposal")
    handle_commit(run, [step.text("actor")], proposals, run.output(step.number("commit"), "commit"), None)
    return {}


def handle_pending(run: Run, step: Step) -> Outputs:
    """Let a member enter the epoch of its own commit."""
    enter_pending(run, step.text("actor"))
    return {}


def protect(run: Run, step: Step) -> Outputs:
    """Encrypt application data."""
    actor = step.text("actor")
    authenticated_data, plaintext = step.text("authenticatedData").encode(), step.text("plaintext").encode()
    request = pb.ProtectRequest(state_id=run.state(actor), authenticated_data=authenticated_data, plaintext=plaintext)
    response = run.call(actor, "Protect", request, pb.ProtectResponse)
    return {"authenticatedData": authenticated_data, "plaintext": plaintext, "ciphertext": response.ciphertext}


def unprotect(run: Run, step: Step) -> Outputs:
    """Decrypt the application data of an earlier step.

    Raises:
        StepError: something else comes out than went in.
    """
    actor, sent = step.text("actor"), step.number("ciphertext")
    request = pb.UnprotectRequest(state_id=run.state(actor), ciphertext=run.output(sent, "ciphertext"))
    response = run.call(actor, "Unprotect", request, pb.UnprotectResponse)
    if response.plaintext != run.output(sent, "plaintext"):
        raise StepError(f"{actor} ({run.peers[actor].name}) reads another plaintext than was sent")
    if response.authenticated_data != run.output(sent, "authenticatedData"):
        raise StepError(f"{actor} ({run.peers[actor].name}) reads other authenticated data than was sent")
    return {"authenticatedData": response.authenticated_data, "plaintext": response.plaintext}
