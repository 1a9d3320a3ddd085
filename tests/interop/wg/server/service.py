"""The working group's MLSClient interface, answered by the core."""

from __future__ import annotations

import os

from dmls.mls.codec import decode, encode
from dmls.mls.crypto.suites import CIPHER_SUITES, cipher_suite
from dmls.mls.group.external_proposal import append_external_sender
from dmls.mls.group.state import create_group, export_secret
from dmls.mls.messages.extensions import ExternalSender
from dmls.mls.messages.message import encode_message
from dmls.mls.messages.proposal import ProposalBody
from tests.interop.proto import mls_client_pb2 as pb
from tests.interop.proto.mls_client_pb2_grpc import MLSClientServicer
from tests.interop.wg.server.clients import PendingJoin, PSKHolder, create_client, lifetime
from tests.interop.wg.server.handles import Handles
from tests.interop.wg.server.joins import join_by_welcome, join_externally
from tests.interop.wg.server.member import Member
from tests.interop.wg.server.outsiders import Signer, ask_to_be_added
from tests.interop.wg.server.proposals import make_proposal, read_extensions
from tests.interop.wg.server.successors import ClosedGroup, Founded, branch_off, enter_branch

__all__ = ["Service"]

Context = object
"""No method needs the call's context: errors become statuses around them."""


class Service(MLSClientServicer):
    """Any number of clients in any number of groups, all in memory."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._handles = Handles()

    def _member(self, state_id: int) -> Member:
        return self._handles.find(state_id, Member)

    # What there is

    def Name(self, request: pb.NameRequest, context: Context) -> pb.NameResponse:
        return pb.NameResponse(name=self._name)

    def SupportedCiphersuites(
        self, request: pb.SupportedCiphersuitesRequest, context: Context
    ) -> pb.SupportedCiphersuitesResponse:
        return pb.SupportedCiphersuitesResponse(ciphersuites=[suite.id for suite in CIPHER_SUITES])

    def Free(self, request: pb.FreeRequest, context: Context) -> pb.FreeResponse:
        self._handles.drop(request.state_id)
        return pb.FreeResponse()

    # Entering a group

    def CreateGroup(self, request: pb.CreateGroupRequest, context: Context) -> pb.CreateGroupResponse:
        suite = cipher_suite(request.cipher_suite)
        client = create_client(suite, request.identity)
        created = create_group(suite, request.group_id, client, lifetime(), os.urandom)
        member = Member(client, created.state, created.private_keys, encrypt_handshake=request.encrypt_handshake)
        return pb.CreateGroupResponse(state_id=self._handles.add(member))

    def CreateKeyPackage(self, request: pb.CreateKeyPackageRequest, context: Context) -> pb.CreateKeyPackageResponse:
        suite = cipher_suite(request.cipher_suite)
        pending = PendingJoin.create(suite, create_client(suite, request.identity))
        return pb.CreateKeyPackageResponse(
            transaction_id=self._handles.add(pending),
            key_package=encode_message(pending.bundle.key_package),
            init_priv=pending.bundle.init_private_key,
            encryption_priv=pending.bundle.encryption_private_key,
            signature_priv=pending.client.signature_private_key,
        )

    def JoinGroup(self, request: pb.JoinGroupRequest, context: Context) -> pb.JoinGroupResponse:
        pending = self._handles.find(request.transaction_id, PendingJoin)
        member = join_by_welcome(pending, request.welcome, request.ratchet_tree, encrypt_handshake=request.encrypt_handshake)
        self._handles.drop(request.transaction_id)
        return pb.JoinGroupResponse(state_id=self._handles.add(member), epoch_authenticator=member.epoch_authenticator)

    def ExternalJoin(self, request: pb.ExternalJoinRequest, context: Context) -> pb.ExternalJoinResponse:
        member, commit = join_externally(
            request.group_info,
            request.ratchet_tree,
            request.identity,
            request.psks,
            remove_prior=request.remove_prior,
            encrypt_handshake=request.encrypt_handshake,
        )
        state_id = self._handles.add(member)
        return pb.ExternalJoinResponse(state_id=state_id, commit=commit, epoch_authenticator=member.epoch_authenticator)

    # What a member shows of its epoch

    def GroupInfo(self, request: pb.GroupInfoRequest, context: Context) -> pb.GroupInfoResponse:
        member = self._member(request.state_id)
        return pb.GroupInfoResponse(
            group_info=member.make_group_info(with_tree=not request.external_tree),
            ratchet_tree=member.encode_tree() if request.external_tree else b"",
        )

    def StateAuth(self, request: pb.StateAuthRequest, context: Context) -> pb.StateAuthResponse:
        return pb.StateAuthResponse(state_auth_secret=self._member(request.state_id).epoch_authenticator)

    def Export(self, request: pb.ExportRequest, context: Context) -> pb.ExportResponse:
        member = self._member(request.state_id)
        secret = export_secret(member.state, request.label, request.context, request.key_length)
        return pb.ExportResponse(exported_secret=secret)

    # Application data

    def Protect(self, request: pb.ProtectRequest, context: Context) -> pb.ProtectResponse:
        member = self._member(request.state_id)
        return pb.ProtectResponse(ciphertext=member.protect(request.plaintext, request.authenticated_data))

    def Unprotect(self, request: pb.UnprotectRequest, context: Context) -> pb.UnprotectResponse:
        plaintext, authenticated_data = self._member(request.state_id).unprotect(request.ciphertext)
        return pb.UnprotectResponse(plaintext=plaintext, authenticated_data=authenticated_data)

    def StorePSK(self, request: pb.StorePSKRequest, context: Context) -> pb.StorePSKResponse:
        holder = self._handles.find(request.state_or_transaction_id, PSKHolder)
        holder.psks = holder.psks.add_external(request.psk_id, request.psk_secret)
        return pb.StorePSKResponse()

    # A member's proposals

    def _propose(self, state_id: int, body: ProposalBody) -> pb.ProposalResponse:
        return pb.ProposalResponse(proposal=self._member(state_id).propose(body))

    def _describe(self, state_id: int, description: pb.ProposalDescription) -> ProposalBody:
        public = self._member(state_id).state.public
        return make_proposal(description, public.suite, public.context.group_id, public.tree)

    def _propose_described(self, state_id: int, description: pb.ProposalDescription) -> pb.ProposalResponse:
        return self._propose(state_id, self._describe(state_id, description))

    def AddProposal(self, request: pb.AddProposalRequest, context: Context) -> pb.ProposalResponse:
        description = pb.ProposalDescription(proposal_type=b"add", key_package=request.key_package)
        return self._propose_described(request.state_id, description)

    def UpdateProposal(self, request: pb.UpdateProposalRequest, context: Context) -> pb.ProposalResponse:
        return self._propose(request.state_id, self._member(request.state_id).make_update())

    def RemoveProposal(self, request: pb.RemoveProposalRequest, context: Context) -> pb.ProposalResponse:
        description = pb.ProposalDescription(proposal_type=b"remove", removed_id=request.removed_id)
        return self._propose_described(request.state_id, description)

    def ExternalPSKProposal(self, request: pb.ExternalPSKProposalRequest, context: Context) -> pb.ProposalResponse:
        description = pb.ProposalDescription(proposal_type=b"externalPSK", psk_id=request.psk_id)
        return self._propose_described(request.state_id, description)

    def ResumptionPSKProposal(self, request: pb.ResumptionPSKProposalRequest, context: Context) -> pb.ProposalResponse:
        description = pb.ProposalDescription(proposal_type=b"resumptionPSK", epoch_id=request.epoch_id)
        return self._propose_described(request.state_id, description)

    def GroupContextExtensionsProposal(
        self, request: pb.GroupContextExtensionsProposalRequest, context: Context
    ) -> pb.ProposalResponse:
        description = pb.ProposalDescription(proposal_type=b"groupContextExtensions", extensions=request.extensions)
        return self._propose_described(request.state_id, description)

    def ReInitProposal(self, request: pb.ReInitProposalRequest, context: Context) -> pb.ProposalResponse:
        description = pb.ProposalDescription(
            proposal_type=b"reinit",
            group_id=request.group_id,
            cipher_suite=request.cipher_suite,
            extensions=request.extensions,
        )
        return self._propose_described(request.state_id, description)

    # Commits

    def Commit(self, request: pb.CommitRequest, context: Context) -> pb.CommitResponse:
        member = self._member(request.state_id)
        references = member.learn(request.by_reference)
        inline = [self._describe(request.state_id, description) for description in request.by_value]
        staged = member.commit([*references, *inline], force_path=request.force_path, external_tree=request.external_tree)
        return pb.CommitResponse(
            commit=staged.message,
            welcome=b"" if staged.welcome is None else encode_message(staged.welcome),
            ratchet_tree=staged.state.public.tree.encode() if request.external_tree else b"",
        )

    def HandlePendingCommit(self, request: pb.HandlePendingCommitRequest, context: Context) -> pb.HandleCommitResponse:
        member = self._member(request.state_id)
        member.enter_pending()
        return pb.HandleCommitResponse(state_id=request.state_id, epoch_authenticator=member.epoch_authenticator)

    def HandleCommit(self, request: pb.HandleCommitRequest, context: Context) -> pb.HandleCommitResponse:
        member = self._member(request.state_id)
        member.process(request.proposal, request.commit)
        return pb.HandleCommitResponse(state_id=request.state_id, epoch_authenticator=member.epoch_authenticator)

    # Proposals from outside

    def NewMemberAddProposal(self, request: pb.NewMemberAddProposalRequest, context: Context) -> pb.NewMemberAddProposalResponse:
        pending, proposal = ask_to_be_added(request.group_info, request.identity)
        return pb.NewMemberAddProposalResponse(
            transaction_id=self._handles.add(pending),
            proposal=proposal,
            init_priv=pending.bundle.init_private_key,
            encryption_priv=pending.bundle.encryption_private_key,
            signature_priv=pending.client.signature_private_key,
        )

    def CreateExternalSigner(self, request: pb.CreateExternalSignerRequest, context: Context) -> pb.CreateExternalSignerResponse:
        signer = Signer.create(cipher_suite(request.cipher_suite), request.identity)
        return pb.CreateExternalSignerResponse(
            signer_id=self._handles.add(signer), external_sender=encode(signer.external_sender)
        )

    def AddExternalSigner(self, request: pb.AddExternalSignerRequest, context: Context) -> pb.ProposalResponse:
        listed = self._member(request.state_id).state.public.context.extensions
        sender = decode(ExternalSender, request.external_sender)
        return self._propose(request.state_id, append_external_sender(listed, sender))

    def ExternalSignerProposal(self, request: pb.ExternalSignerProposalRequest, context: Context) -> pb.ProposalResponse:
        signer = self._handles.find(request.signer_id, Signer)
        return pb.ProposalResponse(proposal=signer.propose(request.group_info, request.ratchet_tree, request.description))

    # Groups that continue another

    def ReInitCommit(self, request: pb.CommitRequest, context: Context) -> pb.CommitResponse:
        return self.Commit(request, context)

    def _close(self, state_id: int) -> pb.HandleReInitCommitResponse:
        closed = ClosedGroup(self._member(state_id))
        return pb.HandleReInitCommitResponse(
            reinit_id=self._handles.add(closed),
            key_package=encode_message(closed.pending.bundle.key_package),
            epoch_authenticator=closed.member.epoch_authenticator,
        )

    def HandlePendingReInitCommit(
        self, request: pb.HandlePendingCommitRequest, context: Context
    ) -> pb.HandleReInitCommitResponse:
        self._member(request.state_id).enter_pending(closing=True)
        return self._close(request.state_id)

    def HandleReInitCommit(self, request: pb.HandleCommitRequest, context: Context) -> pb.HandleReInitCommitResponse:
        self._member(request.state_id).process(request.proposal, request.commit, closing=True)
        return self._close(request.state_id)

    def _show(self, founded: Founded) -> pb.CreateSubgroupResponse:
        return pb.CreateSubgroupResponse(
            state_id=self._handles.add(founded.member),
            welcome=founded.welcome,
            ratchet_tree=founded.ratchet_tree,
            epoch_authenticator=founded.member.epoch_authenticator,
        )

    def ReInitWelcome(self, request: pb.ReInitWelcomeRequest, context: Context) -> pb.CreateSubgroupResponse:
        closed = self._handles.find(request.reinit_id, ClosedGroup)
        founded = closed.found_successor(request.key_package, force_path=request.force_path, external_tree=request.external_tree)
        self._handles.drop(request.reinit_id)
        return self._show(founded)

    def HandleReInitWelcome(self, request: pb.HandleReInitWelcomeRequest, context: Context) -> pb.JoinGroupResponse:
        member = self._handles.find(request.reinit_id, ClosedGroup).join_successor(request.welcome, request.ratchet_tree)
        self._handles.drop(request.reinit_id)
        return pb.JoinGroupResponse(state_id=self._handles.add(member), epoch_authenticator=member.epoch_authenticator)

    def CreateBranch(self, request: pb.CreateBranchRequest, context: Context) -> pb.CreateSubgroupResponse:
        founded = branch_off(
            self._member(request.state_id),
            request.group_id,
            read_extensions(request.extensions),
            request.key_packages,
            force_path=request.force_path,
            external_tree=request.external_tree,
        )
        return self._show(founded)

    def HandleBranch(self, request: pb.HandleBranchRequest, context: Context) -> pb.HandleBranchResponse:
        pending = self._handles.find(request.transaction_id, PendingJoin)
        member = enter_branch(self._member(request.state_id), pending, request.welcome, request.ratchet_tree)
        self._handles.drop(request.transaction_id)
        return pb.HandleBranchResponse(state_id=self._handles.add(member), epoch_authenticator=member.epoch_authenticator)
