"""Proposals by those who are not members: external signers, and newcomers that ask to be added."""

from __future__ import annotations

from dataclasses import dataclass

from dmls.mls.crypto.suites import CipherSuite
from dmls.mls.group.external_proposal import propose_as_external_sender, propose_own_addition
from dmls.mls.group.leaf import Client
from dmls.mls.messages.extensions import ExternalSender
from tests.interop.proto import mls_client_pb2 as pb
from tests.interop.wg.server.clients import PendingJoin, create_client
from tests.interop.wg.server.joins import follow_group_info
from tests.interop.wg.server.proposals import make_proposal

__all__ = ["Signer", "ask_to_be_added"]


@dataclass(frozen=True)
class Signer:
    """A signature key that groups may list among their external senders."""

    client: Client

    @classmethod
    def create(cls, suite: CipherSuite, identity: bytes) -> Signer:
        """Make a signer with a fresh key."""
        return cls(create_client(suite, identity))

    @property
    def external_sender(self) -> ExternalSender:
        """What a group lists."""
        return ExternalSender(self.client.signature_key, self.client.credential)

    def propose(self, group_info: bytes, ratchet_tree: bytes, description: pb.ProposalDescription) -> bytes:
        """Propose what `description` asks for, wherever in the list of senders this key is."""
        group, _ = follow_group_info(group_info, ratchet_tree)
        body = make_proposal(description, group.suite, group.context.group_id, group.tree)
        return propose_as_external_sender(group.context, body, self.client.signature_private_key).message


def ask_to_be_added(group_info: bytes, identity: bytes) -> tuple[PendingJoin, bytes]:
    """Make a key package and propose to add it; return the join that is then pending, and the proposal."""
    group, _ = follow_group_info(group_info, b"")
    pending = PendingJoin.create(group.suite, create_client(group.suite, identity))
    asked = propose_own_addition(group.context, pending.bundle.key_package, pending.client.signature_private_key)
    return pending, asked.message
