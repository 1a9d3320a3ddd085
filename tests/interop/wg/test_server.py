"""What our server answers where the scenarios do not ask."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from dmls.mls.codec import decode
from dmls.mls.messages.credential import BasicCredential
from dmls.mls.messages.extensions import ExternalSender, ExternalSenders, find_extension
from dmls.mls.messages.key_package import KeyPackage
from dmls.mls.messages.message import MLSMessage, PrivateMessage, PublicMessage
from dmls.mls.messages.proposal import GroupContextExtensions
from dmls.mls.messages.registry import GREASE_VALUES, ExtensionType
from tests.interop.proto import mls_client_pb2 as pb
from tests.interop.proto.mls_client_pb2_grpc import MLSClientServicer, MLSClientStub
from tests.interop.wg.channels import UNLIMITED
from tests.interop.wg.server.service import Service
from tests.interop.wg.server.serving import serve


@pytest.fixture
def stub() -> Iterator[MLSClientStub]:
    """A server of this test's own."""
    with serve(Service("dmls")) as (_, address), grpc.insecure_channel(address, options=UNLIMITED) as channel:
        yield MLSClientStub(channel)


def _create(stub: MLSClientStub, *, encrypt_handshake: bool = False) -> int:
    request = pb.CreateGroupRequest(group_id=b"group", cipher_suite=1, identity=b"alice", encrypt_handshake=encrypt_handshake)
    return stub.CreateGroup(request).state_id


def _key_package(stub: MLSClientStub, name: bytes) -> pb.CreateKeyPackageResponse:
    return stub.CreateKeyPackage(pb.CreateKeyPackageRequest(cipher_suite=1, identity=name))


def _add(stub: MLSClientStub, alice: int, name: bytes = b"bob", *, encrypt_handshake: bool = False) -> int:
    package = _key_package(stub, name)
    adds = [pb.ProposalDescription(proposal_type=b"add", key_package=package.key_package)]
    welcome = stub.Commit(pb.CommitRequest(state_id=alice, by_value=adds)).welcome
    stub.HandlePendingCommit(pb.HandlePendingCommitRequest(state_id=alice))
    request = pb.JoinGroupRequest(transaction_id=package.transaction_id, welcome=welcome, encrypt_handshake=encrypt_handshake)
    return stub.JoinGroup(request).state_id


def _advance(stub: MLSClientStub, committer: int, *others: int) -> bytes:
    commit = stub.Commit(pb.CommitRequest(state_id=committer)).commit
    for other in others:
        stub.HandleCommit(pb.HandleCommitRequest(state_id=other, commit=commit))
    return stub.HandlePendingCommit(pb.HandlePendingCommitRequest(state_id=committer)).epoch_authenticator


def _refused(code: grpc.StatusCode, call: Any, request: Any) -> str:
    with pytest.raises(grpc.RpcError) as caught:
        call(request)
    assert caught.value.code() is code, caught.value.details()
    return str(caught.value.details())


def test_every_method_of_the_interface_is_served() -> None:
    methods = {name for name in vars(MLSClientServicer) if name[0].isupper()}
    assert len(methods) == 34
    assert methods <= vars(Service).keys()


def test_the_server_has_a_name_and_all_suites(stub: MLSClientStub) -> None:
    assert stub.Name(pb.NameRequest()).name == "dmls"
    assert list(stub.SupportedCiphersuites(pb.SupportedCiphersuitesRequest()).ciphersuites) == [1, 2, 3, 4, 5, 6, 7]


def test_members_of_an_epoch_export_the_same(stub: MLSClientStub) -> None:
    alice = _create(stub)
    bob = _add(stub, alice)
    requests = [pb.ExportRequest(state_id=state, label="label", context=b"context", key_length=40) for state in (alice, bob)]
    first, second = (stub.Export(request).exported_secret for request in requests)
    assert len(first) == 40
    assert first == second
    requests[1].label = "other"
    assert stub.Export(requests[1]).exported_secret != first
    first, second = (stub.StateAuth(pb.StateAuthRequest(state_id=state)).state_auth_secret for state in (alice, bob))
    assert first == second
    assert _advance(stub, alice, bob) not in (b"", first)


@pytest.mark.parametrize("encrypt_handshake", [True, False])
def test_the_flag_says_how_proposals_and_commits_are_sent(stub: MLSClientStub, encrypt_handshake: bool) -> None:
    kind = PrivateMessage if encrypt_handshake else PublicMessage
    alice = _create(stub, encrypt_handshake=encrypt_handshake)
    bob = _add(stub, alice, encrypt_handshake=not encrypt_handshake)
    proposal = stub.UpdateProposal(pb.UpdateProposalRequest(state_id=alice)).proposal
    commit = stub.Commit(pb.CommitRequest(state_id=alice)).commit
    assert isinstance(decode(MLSMessage, proposal).body, kind)
    assert isinstance(decode(MLSMessage, commit).body, kind)
    # What the others take does not depend on what they send.
    stub.HandleCommit(pb.HandleCommitRequest(state_id=bob, proposal=[proposal], commit=commit))


@pytest.mark.parametrize("external_tree", [True, False])
def test_the_tree_is_in_the_group_info_or_beside_it(stub: MLSClientStub, external_tree: bool) -> None:
    alice = _create(stub)
    info = stub.GroupInfo(pb.GroupInfoRequest(state_id=alice, external_tree=external_tree))
    body: Any = decode(MLSMessage, info.group_info).body
    assert (find_extension(body.extensions, ExtensionType.RATCHET_TREE) is None) == external_tree
    assert bool(info.ratchet_tree) == external_tree
    assert find_extension(body.extensions, ExtensionType.EXTERNAL_PUB) is not None


def test_a_tree_in_both_places_is_taken(stub: MLSClientStub) -> None:
    alice = _create(stub)
    inside = stub.GroupInfo(pb.GroupInfoRequest(state_id=alice)).group_info
    beside = stub.GroupInfo(pb.GroupInfoRequest(state_id=alice, external_tree=True)).ratchet_tree
    joined = stub.ExternalJoin(pb.ExternalJoinRequest(group_info=inside, ratchet_tree=beside, identity=b"bob"))
    handled = stub.HandleCommit(pb.HandleCommitRequest(state_id=alice, commit=joined.commit))
    assert handled.epoch_authenticator == joined.epoch_authenticator


def test_ones_own_commit_is_recognised_when_it_comes_back(stub: MLSClientStub) -> None:
    alice = _create(stub, encrypt_handshake=True)
    bob = _add(stub, alice)
    proposal = stub.UpdateProposal(pb.UpdateProposalRequest(state_id=bob)).proposal
    commit = stub.Commit(pb.CommitRequest(state_id=alice, by_reference=[proposal])).commit
    answers = [
        stub.HandleCommit(pb.HandleCommitRequest(state_id=state, proposal=[proposal], commit=commit)) for state in (alice, bob)
    ]
    assert answers[0].epoch_authenticator == answers[1].epoch_authenticator


def test_anothers_commit_voids_the_pending_one(stub: MLSClientStub) -> None:
    alice = _create(stub)
    bob = _add(stub, alice)
    stub.Commit(pb.CommitRequest(state_id=alice))
    winner = _advance(stub, bob, alice)
    assert stub.StateAuth(pb.StateAuthRequest(state_id=alice)).state_auth_secret == winner
    _refused(grpc.StatusCode.FAILED_PRECONDITION, stub.HandlePendingCommit, pb.HandlePendingCommitRequest(state_id=alice))


def test_a_proposal_that_the_void_commit_named_can_be_named_again(stub: MLSClientStub) -> None:
    alice = _create(stub, encrypt_handshake=True)
    bob = _add(stub, alice, encrypt_handshake=True)
    package = _key_package(stub, b"carol").key_package
    proposals = [
        stub.AddProposal(pb.AddProposalRequest(state_id=bob, key_package=package)).proposal,
        stub.UpdateProposal(pb.UpdateProposalRequest(state_id=alice)).proposal,
    ]
    stub.Commit(pb.CommitRequest(state_id=alice, by_reference=proposals[:1]))
    commit = stub.Commit(pb.CommitRequest(state_id=bob, by_reference=proposals)).commit
    entered = stub.HandlePendingCommit(pb.HandlePendingCommitRequest(state_id=bob))
    handled = stub.HandleCommit(pb.HandleCommitRequest(state_id=alice, proposal=proposals, commit=commit))
    assert handled.epoch_authenticator == entered.epoch_authenticator


def test_messages_of_a_few_epochs_ago_are_read_and_older_ones_are_not(stub: MLSClientStub) -> None:
    alice = _create(stub)
    bob = _add(stub, alice)
    sent = []
    for number in range(10):
        request = pb.ProtectRequest(state_id=alice, plaintext=b"%d" % number, authenticated_data=b"seen by all")
        sent.append(stub.Protect(request).ciphertext)
        _advance(stub, alice, bob)
    for number in (9, 5, 2):
        read = stub.Unprotect(pb.UnprotectRequest(state_id=bob, ciphertext=sent[number]))
        assert (read.plaintext, read.authenticated_data) == (b"%d" % number, b"seen by all")
    _refused(grpc.StatusCode.ABORTED, stub.Unprotect, pb.UnprotectRequest(state_id=bob, ciphertext=sent[0]))


def test_a_refusal_names_the_rule_and_changes_nothing(stub: MLSClientStub) -> None:
    alice = _create(stub)
    bob = _add(stub, alice)
    commit = stub.Commit(pb.CommitRequest(state_id=alice)).commit
    spoilt = commit[:-1] + bytes([commit[-1] ^ 1])
    told = _refused(grpc.StatusCode.INVALID_ARGUMENT, stub.HandleCommit, pb.HandleCommitRequest(state_id=bob, commit=spoilt))
    assert "[PUB-" in told
    assert stub.HandleCommit(pb.HandleCommitRequest(state_id=bob, commit=commit)).epoch_authenticator


def test_a_message_is_read_once(stub: MLSClientStub) -> None:
    alice = _create(stub)
    bob = _add(stub, alice)
    request = pb.UnprotectRequest(state_id=bob, ciphertext=stub.Protect(pb.ProtectRequest(state_id=alice)).ciphertext)
    stub.Unprotect(request)
    _refused(grpc.StatusCode.FAILED_PRECONDITION, stub.Unprotect, request)


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("StateAuth", pb.StateAuthRequest(state_id=99)),
        ("JoinGroup", pb.JoinGroupRequest(transaction_id=1)),
        ("StorePSK", pb.StorePSKRequest(psk_id=b"id", psk_secret=b"secret")),
        ("ReInitWelcome", pb.ReInitWelcomeRequest(reinit_id=1)),
        ("ExternalSignerProposal", pb.ExternalSignerProposalRequest(signer_id=1)),
        ("RemoveProposal", pb.RemoveProposalRequest(state_id=1, removed_id=b"nobody")),
        ("Free", pb.FreeRequest(state_id=99)),
    ],
)
def test_what_is_not_there_is_not_found(stub: MLSClientStub, method: str, request_: Any) -> None:
    assert _create(stub) == 1
    _refused(grpc.StatusCode.NOT_FOUND, getattr(stub, method), request_)


def test_what_was_freed_is_not_found(stub: MLSClientStub) -> None:
    alice = _create(stub)
    stub.Free(pb.FreeRequest(state_id=alice))
    _refused(grpc.StatusCode.NOT_FOUND, stub.StateAuth, pb.StateAuthRequest(state_id=alice))


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("CreateGroup", pb.CreateGroupRequest(cipher_suite=0)),
        ("CreateKeyPackage", pb.CreateKeyPackageRequest(cipher_suite=0x0A0A)),
        ("AddProposal", pb.AddProposalRequest(state_id=1, key_package=b"no message")),
        ("HandleCommit", pb.HandleCommitRequest(state_id=1, commit=b"")),
        ("Unprotect", pb.UnprotectRequest(state_id=1, ciphertext=b"\x00")),
        ("AddExternalSigner", pb.AddExternalSignerRequest(state_id=1, external_sender=b"\x00")),
        ("ExternalJoin", pb.ExternalJoinRequest()),
        ("Commit", pb.CommitRequest(state_id=1, by_value=[pb.ProposalDescription(proposal_type=b"fly")])),
    ],
)
def test_what_cannot_be_read_is_an_invalid_argument(stub: MLSClientStub, method: str, request_: Any) -> None:
    assert _create(stub) == 1
    _refused(grpc.StatusCode.INVALID_ARGUMENT, getattr(stub, method), request_)


def test_another_message_than_was_asked_for_is_an_invalid_argument(stub: MLSClientStub) -> None:
    alice = _create(stub)
    info = stub.GroupInfo(pb.GroupInfoRequest(state_id=alice)).group_info
    for method, request in (
        ("AddProposal", pb.AddProposalRequest(state_id=alice, key_package=info)),
        ("Unprotect", pb.UnprotectRequest(state_id=alice, ciphertext=info)),
        ("ExternalJoin", pb.ExternalJoinRequest(group_info=_key_package(stub, b"bob").key_package)),
    ):
        _refused(grpc.StatusCode.INVALID_ARGUMENT, getattr(stub, method), request)


def test_a_second_signer_is_listed_beside_the_first_and_all_else_is_kept(stub: MLSClientStub) -> None:
    alice = _create(stub)
    required = pb.Extension(extension_type=3, extension_data=bytes(3))
    extensions = [pb.ProposalDescription(proposal_type=b"groupContextExtensions", extensions=[required])]
    stub.Commit(pb.CommitRequest(state_id=alice, by_value=extensions))
    stub.HandlePendingCommit(pb.HandlePendingCommitRequest(state_id=alice))
    body: Any = None
    for name in (b"ds1", b"ds2"):
        created = stub.CreateExternalSigner(pb.CreateExternalSignerRequest(cipher_suite=1, identity=name))
        assert decode(ExternalSender, created.external_sender).credential == BasicCredential(name)
        request = pb.AddExternalSignerRequest(state_id=alice, external_sender=created.external_sender)
        proposal = stub.AddExternalSigner(request).proposal
        body = decode(MLSMessage, proposal).body
        stub.Commit(pb.CommitRequest(state_id=alice, by_reference=[proposal]))
        stub.HandlePendingCommit(pb.HandlePendingCommitRequest(state_id=alice))
    change = body.content.content
    assert isinstance(change, GroupContextExtensions)
    assert find_extension(change.extensions, ExtensionType.REQUIRED_CAPABILITIES) == bytes(3)
    listed = decode(ExternalSenders, find_extension(change.extensions, ExtensionType.EXTERNAL_SENDERS) or b"")
    assert [getattr(sender.credential, "identity", b"") for sender in listed.senders] == [b"ds1", b"ds2"]


def test_a_signer_that_is_not_listed_cannot_propose(stub: MLSClientStub) -> None:
    alice = _create(stub)
    signer = stub.CreateExternalSigner(pb.CreateExternalSignerRequest(cipher_suite=1, identity=b"ds"))
    info = stub.GroupInfo(pb.GroupInfoRequest(state_id=alice))
    request = pb.ExternalSignerProposalRequest(
        signer_id=signer.signer_id,
        group_info=info.group_info,
        description=pb.ProposalDescription(proposal_type=b"externalPSK", psk_id=b"id"),
    )
    assert "FRM-05" in _refused(grpc.StatusCode.INVALID_ARGUMENT, stub.ExternalSignerProposal, request)


def test_nothing_more_is_sent_in_a_closed_group(stub: MLSClientStub) -> None:
    alice = _create(stub)
    proposal = stub.ReInitProposal(pb.ReInitProposalRequest(state_id=alice, cipher_suite=2, group_id=b"new")).proposal
    stub.ReInitCommit(pb.CommitRequest(state_id=alice, by_reference=[proposal]))
    closed = stub.HandlePendingReInitCommit(pb.HandlePendingCommitRequest(state_id=alice))
    assert closed.key_package
    _refused(grpc.StatusCode.FAILED_PRECONDITION, stub.Protect, pb.ProtectRequest(state_id=alice))
    _refused(grpc.StatusCode.FAILED_PRECONDITION, stub.Commit, pb.CommitRequest(state_id=alice))


def test_a_commit_without_reinit_closes_nothing(stub: MLSClientStub) -> None:
    alice = _create(stub)
    bob = _add(stub, alice)
    commit = stub.Commit(pb.CommitRequest(state_id=alice)).commit
    request = pb.HandleCommitRequest(state_id=bob, commit=commit)
    _refused(grpc.StatusCode.FAILED_PRECONDITION, stub.HandleReInitCommit, request)
    _refused(
        grpc.StatusCode.FAILED_PRECONDITION,
        stub.HandlePendingReInitCommit,
        pb.HandlePendingCommitRequest(state_id=alice),
    )
    entered = stub.HandlePendingCommit(pb.HandlePendingCommitRequest(state_id=alice))
    assert stub.HandleCommit(request).epoch_authenticator == entered.epoch_authenticator


def test_a_plain_welcome_is_no_branch_and_a_branch_no_plain_welcome(stub: MLSClientStub) -> None:
    alice = _create(stub)
    bob = _add(stub, alice)
    package = _key_package(stub, b"bob")
    branch = stub.CreateBranch(pb.CreateBranchRequest(state_id=alice, group_id=b"branch", key_packages=[package.key_package]))
    plain = pb.JoinGroupRequest(transaction_id=package.transaction_id, welcome=branch.welcome)
    assert "WL-04" in _refused(grpc.StatusCode.INVALID_ARGUMENT, stub.JoinGroup, plain)
    request = pb.HandleBranchRequest(state_id=bob, transaction_id=package.transaction_id, welcome=branch.welcome)
    assert stub.HandleBranch(request).epoch_authenticator == branch.epoch_authenticator


def test_clients_list_values_that_stand_for_nothing(stub: MLSClientStub) -> None:
    key_package: Any = decode(MLSMessage, _key_package(stub, b"bob").key_package).body
    assert isinstance(key_package, KeyPackage)
    listed = key_package.leaf_node.capabilities
    for values in (listed.cipher_suites, listed.extensions, listed.proposals, listed.credentials):
        assert len(GREASE_VALUES & set(values)) == 1
    assert key_package.leaf_node.extensions[0].extension_type in GREASE_VALUES
