"""A group reduced to what framing needs: a context, one signing member, and the secrets of an epoch."""

from __future__ import annotations

import random
from dataclasses import dataclass

from dmls.ids import LeafIndex
from dmls.mls.crypto.kem import KeyPair
from dmls.mls.crypto.randomness import Random
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CIPHER_SUITES, CipherSuite
from dmls.mls.framing.padding import Padding, no_padding
from dmls.mls.framing.private_message import protect_private, unprotect_private
from dmls.mls.framing.signing import sign_content
from dmls.mls.messages.commit import Commit
from dmls.mls.messages.group_context import GroupContext
from dmls.mls.messages.message import (
    ApplicationData,
    AuthenticatedContent,
    FramedContent,
    Member,
    NewMemberCommit,
    PrivateMessage,
    SenderBody,
)
from dmls.mls.messages.proposal import ProposalBody, Remove
from dmls.mls.messages.registry import ProtocolVersion, WireFormat
from dmls.mls.schedule.secret_tree import SecretTree

PUBLIC, PRIVATE = WireFormat.PUBLIC_MESSAGE, WireFormat.PRIVATE_MESSAGE
SUITES = {f"suite{suite.id}": suite for suite in CIPHER_SUITES}
BODIES: dict[str, ApplicationData | ProposalBody | Commit] = {
    "application": ApplicationData(b"hello"),
    "proposal": Remove(2),
    "commit": Commit((Remove(2),), None),
}


@dataclass(frozen=True)
class Scene:
    """An epoch of two leaves; leaf 1 sends."""

    suite: CipherSuite
    random: Random
    keys: KeyPair
    context: GroupContext
    tree: SecretTree
    sender_data_secret: Secret
    membership_key: Secret

    @classmethod
    def create(cls, suite: CipherSuite, seed: int = 0) -> Scene:
        randomness = random.Random(seed).randbytes
        size = suite.hash_size
        return cls(
            suite,
            randomness,
            suite.generate_signature_key_pair(randomness),
            GroupContext(ProtocolVersion.MLS10, suite.id, b"group", 7, randomness(size), randomness(size), ()),
            SecretTree.create(suite, Secret(randomness(size)), 2),
            Secret(randomness(size)),
            Secret(randomness(size)),
        )

    def frame(
        self,
        body: ApplicationData | ProposalBody | Commit,
        *,
        sender: SenderBody | None = None,
        authenticated_data: bytes = b"aad",
    ) -> FramedContent:
        return FramedContent(self.context.group_id, self.context.epoch, sender or Member(1), authenticated_data, body)

    def sign(self, content: FramedContent, wire_format: WireFormat) -> AuthenticatedContent:
        context = self.context if isinstance(content.sender, Member | NewMemberCommit) else None
        signature = sign_content(self.suite, wire_format, content, context, self.keys.private_key)
        tag = bytes(self.suite.hash_size) if isinstance(content.content, Commit) else None
        return AuthenticatedContent(wire_format, content, signature, tag)

    def encrypt(
        self, content: AuthenticatedContent, tree: SecretTree | None = None, padding: Padding = no_padding
    ) -> tuple[PrivateMessage, SecretTree]:
        return protect_private(self.suite, content, tree or self.tree, self.sender_data_secret, padding, self.random)

    def decrypt(self, message: PrivateMessage, tree: SecretTree | None = None) -> tuple[AuthenticatedContent, SecretTree, int]:
        return unprotect_private(self.suite, message, tree or self.tree, self.sender_data_secret, self.is_member)

    @staticmethod
    def is_member(leaf: LeafIndex) -> bool:
        return leaf == 1
