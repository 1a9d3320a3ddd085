"""One client's view of one group, from epoch to epoch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from dmls.errors import InvalidArgumentError, StaleEpochError, StateError
from dmls.ids import LeafIndex, ProposalRef
from dmls.mls.codec import decode
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CipherSuite
from dmls.mls.framing.padding import pad_in_steps
from dmls.mls.framing.signing import proposal_ref
from dmls.mls.group.application import encrypt, propose
from dmls.mls.group.commit import CommitOptions, StagedCommit, create_commit
from dmls.mls.group.keyring import KeyRing, keys_in_use
from dmls.mls.group.leaf import Client
from dmls.mls.group.own_proposal import SentProposals, create_update
from dmls.mls.group.process import ProcessedCommit, open_message, process_handshake, receive_proposal
from dmls.mls.group.psks import PSKKeeper
from dmls.mls.group.state import GroupState
from dmls.mls.group.welcome import make_group_info
from dmls.mls.messages.commit import ProposalReference
from dmls.mls.messages.message import ApplicationData, MLSMessage, PrivateMessage, encode_message
from dmls.mls.messages.proposal import ProposalBody, Update
from dmls.mls.messages.registry import WireFormat
from tests.interop.wg.server.clients import LIMITS, NO_PSKS, PSKHolder, now

__all__ = ["Member"]

_PADDING = pad_in_steps()

_KEPT_EPOCHS = 8
"""Past epochs whose application messages can still be read."""


class Member(PSKHolder):
    """A member: its state, its private keys, and what it has sent and not yet seen take effect."""

    def __init__(
        self,
        client: Client,
        state: GroupState,
        private_keys: Mapping[bytes, Secret],
        *,
        encrypt_handshake: bool,
        psks: PSKKeeper = NO_PSKS,
    ) -> None:
        self.client = client
        self.state = state
        self.psks = psks
        self.encrypt_handshake = encrypt_handshake
        self._ring = KeyRing().add(private_keys)
        self._past: dict[int, GroupState] = {}
        self._pending: StagedCommit | None = None
        # Proposals of this epoch: neither those that were sent nor those that were opened can be opened again.
        self._sent = SentProposals()
        self._opened: dict[bytes, ProposalRef] = {}

    @property
    def suite(self) -> CipherSuite:
        """The group's cipher suite."""
        return self.state.public.suite

    @property
    def leaf_index(self) -> LeafIndex:
        """Where this member is in the tree."""
        return min(self.state.own_leaves)

    @property
    def epoch_authenticator(self) -> bytes:
        """What all members of the epoch share and nobody else knows."""
        return self.state.secrets.epoch_authenticator

    @property
    def epochs(self) -> list[GroupState]:
        """The current epoch and those before it that are kept, latest first."""
        return [self.state, *reversed(self._past.values())]

    @property
    def _wire_format(self) -> WireFormat:
        return WireFormat.PRIVATE_MESSAGE if self.encrypt_handshake else WireFormat.PUBLIC_MESSAGE

    def make_update(self) -> Update:
        """Make an Update with a fresh encryption key, whose private half is kept while the epoch lasts."""
        update = create_update(self.state, self.client, self.leaf_index, os.urandom)
        self._ring = self._ring.add(update.private_keys)
        return update.proposal

    def propose(self, body: ProposalBody) -> bytes:
        """Send a proposal."""
        sent = propose(
            self.state, self.client, self.leaf_index, body, os.urandom, wire_format=self._wire_format, padding=_PADDING
        )
        self.state, self._sent = sent.state, self._sent.add(sent)
        return sent.message

    def learn(self, messages: Sequence[bytes]) -> list[ProposalReference]:
        """Take proposal messages in, one's own and those seen before among them; return what a commit calls them."""
        return [ProposalReference(self._learn(message)) for message in messages]

    def _learn(self, message: bytes) -> ProposalRef:
        found = self._sent.find(message) or self._opened.get(message)
        if found is None:
            content, after = open_message(self.state, decode(MLSMessage, message))
            self.state = receive_proposal(after, content, LIMITS)
            found = self._opened[message] = proposal_ref(self.suite, content)
        return found

    def commit(
        self, proposals: Sequence[ProposalBody | ProposalReference], *, force_path: bool, external_tree: bool
    ) -> StagedCommit:
        """Make a commit, which is pending until `enter_pending`."""
        options = CommitOptions(
            wire_format=self._wire_format,
            padding=_PADDING,
            force_path=force_path,
            welcome_with_tree=not external_tree,
            psks=self.psks,
            now=now(),
            limits=LIMITS,
        )
        self._pending = create_commit(self.state, self.client, self.leaf_index, proposals, os.urandom, options)
        self.state = self._pending.parent
        return self._pending

    def enter_pending(self, *, closing: bool = False) -> None:
        """Make the epoch of one's own commit the current one.

        Raises:
            StateError: no commit is pending, or it does not close the group where it should.
        """
        if self._pending is None:
            raise StateError("no commit is pending")
        self._enter(self._pending, closing)

    def process(self, proposals: Sequence[bytes], commit: bytes, *, closing: bool = False) -> None:
        """Take proposals and then a commit in, and enter its epoch. Whatever one had pending is void.

        Raises:
            StateError: the commit does not close the group where it should.
        """
        if self._pending is not None and commit == self._pending.message:
            self._enter(self._pending, closing)
            return
        self.learn(proposals)
        content, after = open_message(self.state, decode(MLSMessage, commit))
        self._enter(process_handshake(after, content, self._ring.keys, psks=self.psks, now=now(), limits=LIMITS), closing)

    def _enter(self, step: StagedCommit | ProcessedCommit, closing: bool) -> None:
        if closing and step.state.closed_by is None:
            raise StateError("the commit does not close the group")
        self._past[step.parent.public.context.epoch] = step.parent
        for epoch in sorted(self._past)[:-_KEPT_EPOCHS]:
            del self._past[epoch]
        ring = self._ring.add(step.private_keys)
        self._ring = ring.discard(set(ring.keys) - keys_in_use(step.state.public.tree, step.state.own_leaves))
        self.state = step.state
        self._pending = None
        self._sent = SentProposals()
        self._opened.clear()

    def protect(self, data: bytes, authenticated_data: bytes) -> bytes:
        """Encrypt application data."""
        sent = encrypt(
            self.state, self.client, self.leaf_index, data, os.urandom, authenticated_data=authenticated_data, padding=_PADDING
        )
        self.state = sent.state
        return sent.message

    def unprotect(self, message: bytes) -> tuple[bytes, bytes]:
        """Decrypt application data of this epoch or a recent one; return the data and the authenticated data.

        Raises:
            StaleEpochError: the epoch is not kept any more.
        """
        envelope = decode(MLSMessage, message)
        if not isinstance(envelope.body, PrivateMessage):
            raise InvalidArgumentError("application data is a PrivateMessage")
        epoch = envelope.body.epoch
        current = self.state.public.context.epoch
        if epoch < current and epoch not in self._past:
            raise StaleEpochError("the epoch is not kept any more")
        content, after = open_message(self._past.get(epoch, self.state), envelope)
        body = content.content.content
        if not isinstance(body, ApplicationData):
            raise InvalidArgumentError("not application data")
        if epoch == current:
            self.state = after
        else:
            self._past[epoch] = after
        return body.data, content.content.authenticated_data

    def make_group_info(self, *, with_tree: bool) -> bytes:
        """Return the signed GroupInfo of the epoch as an MLSMessage."""
        return encode_message(make_group_info(self.state, self.client, self.leaf_index, with_tree=with_tree))

    def encode_tree(self) -> bytes:
        """Return the ratchet tree, encoded as in the extension."""
        return self.state.public.tree.encode()
