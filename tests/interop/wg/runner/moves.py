"""What several actions have in common: one member's part in a step."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence

from tests.interop.proto import mls_client_pb2 as pb
from tests.interop.wg.runner.run import Run, StepError

__all__ = [
    "agree",
    "enter_pending",
    "handle_commit",
    "join",
    "new_group_id",
    "request_group_info",
    "request_key_package",
]


def agree(run: Run, expected: bytes, found: bytes, actor: str) -> None:
    """Compare epoch authenticators.

    Raises:
        StepError: they differ, or there is none.
    """
    if not expected or expected != found:
        raise StepError(f"{actor} ({run.peers[actor].name}) has another epoch authenticator")


def new_group_id() -> bytes:
    """Return a random group id."""
    return str(uuid.uuid4()).encode()


def request_key_package(run: Run, actor: str) -> bytes:
    """Let an actor make a key package, and remember its transaction."""
    request = pb.CreateKeyPackageRequest(cipher_suite=run.suite, identity=actor.encode())
    response = run.call(actor, "CreateKeyPackage", request, pb.CreateKeyPackageResponse)
    run.transactions[actor] = response.transaction_id
    return response.key_package


def request_group_info(run: Run, actor: str, *, external_tree: bool) -> pb.GroupInfoResponse:
    """Ask a member for the GroupInfo of its epoch."""
    request = pb.GroupInfoRequest(state_id=run.state(actor), external_tree=external_tree)
    return run.call(actor, "GroupInfo", request, pb.GroupInfoResponse)


def join(run: Run, joiners: Iterable[str], welcome: bytes, ratchet_tree: bytes, authenticator: bytes | None) -> None:
    """Let actors join by Welcome; an empty `ratchet_tree` means that it is in there. All must agree with `authenticator`.

    Raises:
        StepError: an actor has no key package, cannot join, or comes to another epoch.
    """
    for actor in joiners:
        if actor not in run.transactions:
            raise StepError(f"{actor} has no key package")
        request = pb.JoinGroupRequest(
            transaction_id=run.transactions.pop(actor),
            welcome=welcome,
            encrypt_handshake=run.encrypt_handshake,
            identity=actor.encode(),
            ratchet_tree=ratchet_tree,
        )
        response = run.call(actor, "JoinGroup", request, pb.JoinGroupResponse)
        run.enter(actor, response.state_id)
        if authenticator is not None:
            agree(run, authenticator, response.epoch_authenticator, actor)


def enter_pending(run: Run, actor: str) -> bytes:
    """Let a member enter the epoch of its own commit; return the epoch authenticator."""
    request = pb.HandlePendingCommitRequest(state_id=run.state(actor))
    response = run.call(actor, "HandlePendingCommit", request, pb.HandleCommitResponse)
    run.enter(actor, response.state_id)
    return response.epoch_authenticator


def handle_commit(
    run: Run, members: Iterable[str], proposals: Sequence[bytes], commit: bytes, authenticator: bytes | None
) -> None:
    """Let members process proposals and a commit. All must agree with `authenticator`.

    Raises:
        StepError: a member cannot, or comes to another epoch.
    """
    for actor in members:
        request = pb.HandleCommitRequest(state_id=run.state(actor), proposal=proposals, commit=commit)
        response = run.call(actor, "HandleCommit", request, pb.HandleCommitResponse)
        run.enter(actor, response.state_id)
        if authenticator is not None:
            agree(run, authenticator, response.epoch_authenticator, actor)
