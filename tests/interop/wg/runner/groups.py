"""Actions around groups: creating one, joining it, its GroupInfo, its pre-shared keys."""

from __future__ import annotations

import os

from tests.interop.proto import mls_client_pb2 as pb
from tests.interop.wg.runner.moves import (
    enter_pending,
    handle_commit,
    join,
    new_group_id,
    request_group_info,
    request_key_package,
)
from tests.interop.wg.runner.run import Outputs, Run
from tests.interop.wg.runner.scenarios import Step

__all__ = ["create_group", "create_key_package", "externally_join", "install_external_psk", "join_group", "show_group_info"]

_PSK_SIZE = 32


def create_group(run: Run, step: Step) -> Outputs:
    """Create a group, with members from the beginning if there are any."""
    actor, group_id = step.text("actor"), new_group_id()
    request = pb.CreateGroupRequest(
        group_id=group_id, cipher_suite=run.suite, encrypt_handshake=run.encrypt_handshake, identity=actor.encode()
    )
    run.enter(actor, run.call(actor, "CreateGroup", request, pb.CreateGroupResponse).state_id)
    members = step.names("members")
    if members:
        packages = [request_key_package(run, member) for member in members]
        adds = [pb.ProposalDescription(proposal_type=b"add", key_package=package) for package in packages]
        commit = run.call(actor, "Commit", pb.CommitRequest(state_id=run.state(actor), by_value=adds), pb.CommitResponse)
        join(run, members, commit.welcome, b"", enter_pending(run, actor))
    return {"group_id": group_id}


def create_key_package(run: Run, step: Step) -> Outputs:
    """Make a key package."""
    return {"key_package": request_key_package(run, step.text("actor"))}


def join_group(run: Run, step: Step) -> Outputs:
    """Join by the Welcome of an earlier step."""
    join(run, [step.text("actor")], run.output(step.number("welcome"), "welcome"), b"", None)
    return {}


def externally_join(run: Run, step: Step) -> Outputs:
    """Join by external commit."""
    actor, joiner = step.text("actor"), step.text("joiner")
    info = request_group_info(run, actor, external_tree=step.flag("externalTree"))
    psks = [
        pb.PreSharedKey(psk_id=run.output(number, "psk_id"), psk_secret=run.output(number, "psk_secret"))
        for number in step.numbers("psks")
    ]
    request = pb.ExternalJoinRequest(
        group_info=info.group_info,
        ratchet_tree=info.ratchet_tree,
        encrypt_handshake=run.encrypt_handshake,
        identity=joiner.encode(),
        remove_prior=step.flag("removePrior"),
        psks=psks,
    )
    joined = run.call(joiner, "ExternalJoin", request, pb.ExternalJoinResponse)
    run.enter(joiner, joined.state_id)
    handle_commit(run, [*step.names("members"), actor], [], joined.commit, joined.epoch_authenticator)
    return {
        "group_info": info.group_info,
        "ratchet_tree": info.ratchet_tree,
        "commit": joined.commit,
        "epoch_authenticator": joined.epoch_authenticator,
    }


def install_external_psk(run: Run, step: Step) -> Outputs:
    """Give one pre-shared key to several actors, in a group already or about to join one."""
    psk_id, psk_secret = os.urandom(_PSK_SIZE), os.urandom(_PSK_SIZE)
    for client in step.names("clients"):
        holder = run.states.get(client, run.transactions.get(client, 0))
        request = pb.StorePSKRequest(state_or_transaction_id=holder, psk_id=psk_id, psk_secret=psk_secret)
        run.call(client, "StorePSK", request, pb.StorePSKResponse)
    return {"psk_id": psk_id, "psk_secret": psk_secret}


def show_group_info(run: Run, step: Step) -> Outputs:
    """Ask for a GroupInfo."""
    info = request_group_info(run, step.text("actor"), external_tree=step.flag("externalTree"))
    return {"group_info": info.group_info, "ratchet_tree": info.ratchet_tree}
