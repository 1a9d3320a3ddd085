"""Actions that lead to another group: reinit and branch."""

from __future__ import annotations

from tests.interop.proto import mls_client_pb2 as pb
from tests.interop.wg.runner.moves import agree, new_group_id, request_key_package
from tests.interop.wg.runner.proposals import change_group
from tests.interop.wg.runner.run import Outputs, Run
from tests.interop.wg.runner.scenarios import Step

__all__ = ["branch", "reinit"]


def branch(run: Run, step: Step) -> Outputs:
    """Let everybody enter a branch of the group, and leave the old one."""
    actor, members = step.text("actor"), step.names("members")
    request = pb.CreateBranchRequest(
        state_id=run.state(actor),
        group_id=new_group_id(),
        extensions=step.extensions(),
        key_packages=[request_key_package(run, member) for member in members],
        force_path=step.flag("force_path"),
        external_tree=step.flag("external_tree"),
    )
    created = run.call(actor, "CreateBranch", request, pb.CreateSubgroupResponse)
    run.enter(actor, created.state_id)
    for member in members:
        old = run.state(member)
        entered = run.call(
            member,
            "HandleBranch",
            pb.HandleBranchRequest(
                state_id=old,
                transaction_id=run.transactions.pop(member),
                welcome=created.welcome,
                ratchet_tree=created.ratchet_tree,
            ),
            pb.HandleBranchResponse,
        )
        agree(run, created.epoch_authenticator, entered.epoch_authenticator, member)
        run.enter(member, entered.state_id)
        if entered.state_id != old:
            run.forget(member, old)
    return {}


def reinit(run: Run, step: Step) -> Outputs:
    """Close the group, and let everybody enter its successor."""
    proposal = _find_proposal(run, step)
    committer, welcomer = step.text("committer"), step.text("welcomer")
    named = [committer, *step.names("members"), welcomer]
    everybody = dict.fromkeys([*named, step.text("proposer")] if step.has("proposer") else named)
    closed = _close(run, committer, list(everybody), proposal)

    others = [actor for actor in everybody if actor != welcomer]
    request = pb.ReInitWelcomeRequest(
        reinit_id=closed[welcomer].reinit_id,
        key_package=[closed[actor].key_package for actor in others],
        force_path=step.flag("forcePath"),
        external_tree=step.flag("externalTree"),
    )
    created = run.call(welcomer, "ReInitWelcome", request, pb.CreateSubgroupResponse)
    run.enter(welcomer, created.state_id)
    for actor in others:
        welcome = pb.HandleReInitWelcomeRequest(
            reinit_id=closed[actor].reinit_id, welcome=created.welcome, ratchet_tree=created.ratchet_tree
        )
        entered = run.call(actor, "HandleReInitWelcome", welcome, pb.JoinGroupResponse)
        run.enter(actor, entered.state_id)
        agree(run, created.epoch_authenticator, entered.epoch_authenticator, actor)
    return {}


def _find_proposal(run: Run, step: Step) -> bytes:
    if step.has("externalReinitProposal"):
        return run.output(step.number("externalReinitProposal"), "proposal")
    proposer = step.text("proposer")
    request = pb.ReInitProposalRequest(
        state_id=run.state(proposer), group_id=change_group(run, step), cipher_suite=run.suite, extensions=step.extensions()
    )
    return run.call(proposer, "ReInitProposal", request, pb.ProposalResponse).proposal


def _close(run: Run, committer: str, everybody: list[str], proposal: bytes) -> dict[str, pb.HandleReInitCommitResponse]:
    """Let everybody close the group; return what each of them brings to the successor."""
    commit = pb.CommitRequest(state_id=run.state(committer), by_reference=[proposal])
    made = run.call(committer, "ReInitCommit", commit, pb.CommitResponse)
    pending = pb.HandlePendingCommitRequest(state_id=run.state(committer))
    first = run.call(committer, "HandlePendingReInitCommit", pending, pb.HandleReInitCommitResponse)
    closed = {committer: first}
    for actor in everybody:
        if actor != committer:
            handled = pb.HandleCommitRequest(state_id=run.state(actor), proposal=[proposal], commit=made.commit)
            closed[actor] = run.call(actor, "HandleReInitCommit", handled, pb.HandleReInitCommitResponse)
            agree(run, first.epoch_authenticator, closed[actor].epoch_authenticator, actor)
    return closed
