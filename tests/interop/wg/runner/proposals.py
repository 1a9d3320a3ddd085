"""Actions that make proposals: members', a newcomer's, an external signer's."""

from __future__ import annotations

from google.protobuf.message import Message

from tests.interop.proto import mls_client_pb2 as pb
from tests.interop.wg.runner.moves import request_group_info
from tests.interop.wg.runner.run import Outputs, Run, StepError
from tests.interop.wg.runner.scenarios import ScenarioError, Step

__all__ = [
    "add_external_signer",
    "change_group",
    "describe",
    "propose_add",
    "propose_as_new_member",
    "propose_as_signer",
    "propose_extensions",
    "propose_external_psk",
    "propose_remove",
    "propose_resumption_psk",
    "propose_update",
]


def _propose(run: Run, step: Step, rpc: str, request: Message) -> Outputs:
    return {"proposal": run.call(step.text("actor"), rpc, request, pb.ProposalResponse).proposal}


def _state(run: Run, step: Step) -> int:
    return run.state(step.text("actor"))


def propose_add(run: Run, step: Step) -> Outputs:
    """Propose to add the key package of an earlier step."""
    key_package = run.output(step.number("keyPackage"), "key_package")
    return _propose(run, step, "AddProposal", pb.AddProposalRequest(state_id=_state(run, step), key_package=key_package))


def propose_update(run: Run, step: Step) -> Outputs:
    """Propose a new leaf of one's own."""
    return _propose(run, step, "UpdateProposal", pb.UpdateProposalRequest(state_id=_state(run, step)))


def propose_remove(run: Run, step: Step) -> Outputs:
    """Propose to remove another."""
    removed = step.text("removed").encode()
    return _propose(run, step, "RemoveProposal", pb.RemoveProposalRequest(state_id=_state(run, step), removed_id=removed))


def propose_external_psk(run: Run, step: Step) -> Outputs:
    """Propose the pre-shared key of an earlier step."""
    psk_id = run.output(step.number("pskID"), "psk_id")
    request = pb.ExternalPSKProposalRequest(state_id=_state(run, step), psk_id=psk_id)
    return _propose(run, step, "ExternalPSKProposal", request)


def propose_resumption_psk(run: Run, step: Step) -> Outputs:
    """Propose the resumption PSK of an epoch."""
    request = pb.ResumptionPSKProposalRequest(state_id=_state(run, step), epoch_id=step.number("epochID"))
    return _propose(run, step, "ResumptionPSKProposal", request)


def propose_extensions(run: Run, step: Step) -> Outputs:
    """Propose other extensions of the group."""
    request = pb.GroupContextExtensionsProposalRequest(state_id=_state(run, step), extensions=step.extensions())
    return _propose(run, step, "GroupContextExtensionsProposal", request)


def change_group(run: Run, step: Step) -> bytes:
    """Return the id of the successor that a reinit asks for, and let the run have its cipher suite from now on.

    Raises:
        StepError: everybody is to change to another cipher suite, and there is none that all support.
    """
    if step.flag("changeCipherSuite"):
        common = sorted(frozenset.intersection(*(peer.suites for peer in run.peers.values())) - {run.suite})
        if not common:
            raise StepError("there is no other cipher suite that everybody supports")
        # The next one in turn, so that all pairs of neighbours come up.
        run.suite = next((suite for suite in common if suite > run.suite), common[0])
    return run.output(0, "group_id") + (b"++" if step.flag("changeGroupID") else b"")


def describe(run: Run, description: Step) -> pb.ProposalDescription:
    """Return a description of a scenario as the interface has it.

    Raises:
        ScenarioError: the type is unknown.
    """
    kind = description.text("proposalType")
    described = pb.ProposalDescription(proposal_type=kind.encode())
    if kind == "add":
        described.key_package = run.output(description.number("keyPackage"), "key_package")
    elif kind == "remove":
        described.removed_id = description.text("removed").encode()
    elif kind == "externalPSK":
        described.psk_id = run.output(description.number("pskID"), "psk_id")
    elif kind == "resumptionPSK":
        described.epoch_id = description.number("epochID")
    elif kind == "groupContextExtensions":
        described.extensions.extend(description.extensions())
    elif kind == "reinit":
        described.group_id = change_group(run, description)
        described.cipher_suite = run.suite
        described.extensions.extend(description.extensions())
    else:
        raise ScenarioError(f"unknown type of proposal: {kind}")
    return described


def propose_as_new_member(run: Run, step: Step) -> Outputs:
    """Let somebody propose its own addition."""
    joiner = step.text("joiner")
    info = request_group_info(run, step.text("actor"), external_tree=False)
    request = pb.NewMemberAddProposalRequest(group_info=info.group_info, identity=joiner.encode())
    response = run.call(joiner, "NewMemberAddProposal", request, pb.NewMemberAddProposalResponse)
    run.transactions[joiner] = response.transaction_id
    return {
        "proposal": response.proposal,
        "init_priv": response.init_priv,
        "encryption_priv": response.encryption_priv,
        "signature_priv": response.signature_priv,
    }


def add_external_signer(run: Run, step: Step) -> Outputs:
    """Let a member propose to list a new signer among the group's external senders."""
    signer = step.text("signer")
    request = pb.CreateExternalSignerRequest(cipher_suite=run.suite, identity=signer.encode())
    created = run.call(signer, "CreateExternalSigner", request, pb.CreateExternalSignerResponse)
    run.signers[signer] = created.signer_id
    added = pb.AddExternalSignerRequest(state_id=_state(run, step), external_sender=created.external_sender)
    return _propose(run, step, "AddExternalSigner", added)


def propose_as_signer(run: Run, step: Step) -> Outputs:
    """Let a signer propose something to a group."""
    signer = step.text("actor")
    if signer not in run.signers:
        raise StepError(f"{signer} is no signer")
    info = request_group_info(run, step.text("member"), external_tree=True)
    request = pb.ExternalSignerProposalRequest(
        signer_id=run.signers[signer],
        signer_index=0,
        group_info=info.group_info,
        ratchet_tree=info.ratchet_tree,
        description=describe(run, step.part("description")),
    )
    return _propose(run, step, "ExternalSignerProposal", request)
