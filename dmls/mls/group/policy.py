"""What RFC 9420 leaves to the application: who a credential speaks for, and who may do what."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Protocol

from dmls.ids import LeafIndex
from dmls.mls.messages.credential import BasicCredential, X509Credential
from dmls.mls.messages.custom import CustomProposal
from dmls.mls.messages.leaf_node import LeafNode
from dmls.mls.messages.message import ExternalSenderIndex, NewMemberProposal, SenderBody
from dmls.mls.messages.proposal import ProposalBody
from dmls.mls.messages.psk import PreSharedKeyID

if TYPE_CHECKING:
    from dmls.mls.group.follower import PublicGroup
    from dmls.mls.group.proposals import ResolvedProposal

__all__ = ["GroupPolicy", "OpenPolicy", "PSKLookup"]


class GroupPolicy(Protocol):
    """The application's rules. A method refuses by raising a `ValidationError`, `CodecError` or `CryptoError`.

    All members of a group must come to the same answers, or commits split them. `OpenPolicy` has the answers to inherit.
    """

    def check_credential(self, credential: BasicCredential | X509Credential, signature_key: bytes) -> None:
        """Refuse a credential that does not speak for the holder of the key (RFC 9420, Section 5.3.1).

        Asked about every credential that is new: of leaves and of external senders. An old one is not asked about again, so that
        members whose credential has expired since can still be replaced.
        """

    def check_succession(self, old: BasicCredential | X509Credential, new: BasicCredential | X509Credential) -> None:
        """Refuse `new` in the place of `old`, which may have expired (RFC 9420, Section 5.3.1)."""

    def client_of(self, leaf_node: LeafNode) -> Hashable | None:
        """Return what two leaves have in common iff they are leaves of one client (RFC 9420, Sections 11.2, 11.3 and 12.2).

        With None, a client is known by its signature key within a group, and by its credential from one group to another.
        """

    def check_outside_proposal(
        self, group: PublicGroup, sender: ExternalSenderIndex | NewMemberProposal, proposal: ProposalBody
    ) -> None:
        """Refuse a proposal by somebody outside the group who is not authorised to make it (RFC 9420, Section 12.1.8)."""

    def check_external_commit(self, group: PublicGroup, leaf_node: LeafNode, replaced: LeafNode | None) -> None:
        """Refuse a client that joins by itself, in place of its old leaf if there is one (RFC 9420, Section 12.4.3.2)."""

    def check_custom_proposal(self, group: PublicGroup, sender: SenderBody, proposal: CustomProposal) -> None:
        """Refuse a proposal of a registered type by what it says (RFC 9420, Section 13.2)."""

    def check_proposals(self, group: PublicGroup, proposals: Sequence[ResolvedProposal], committer: LeafIndex | None) -> None:
        """Refuse a list of proposals that RFC 9420 allows; `committer` is None for an external commit (Section 12.2)."""


class OpenPolicy:
    """Allows everything: for groups whose application decides elsewhere, and to inherit from."""

    def check_credential(self, credential: BasicCredential | X509Credential, signature_key: bytes) -> None:
        """Accept."""

    def check_succession(self, old: BasicCredential | X509Credential, new: BasicCredential | X509Credential) -> None:
        """Accept."""

    def client_of(self, leaf_node: LeafNode) -> Hashable | None:
        """Leave it to signature key and credential."""
        return None

    def check_outside_proposal(
        self, group: PublicGroup, sender: ExternalSenderIndex | NewMemberProposal, proposal: ProposalBody
    ) -> None:
        """Accept."""

    def check_external_commit(self, group: PublicGroup, leaf_node: LeafNode, replaced: LeafNode | None) -> None:
        """Accept."""

    def check_custom_proposal(self, group: PublicGroup, sender: SenderBody, proposal: CustomProposal) -> None:
        """Accept."""

    def check_proposals(self, group: PublicGroup, proposals: Sequence[ResolvedProposal], committer: LeafIndex | None) -> None:
        """Accept."""


class PSKLookup(Protocol):
    """Finds pre-shared keys."""

    def __call__(self, psk_id: PreSharedKeyID) -> bytes | None:
        """Return the key that `psk_id` names, or None."""
