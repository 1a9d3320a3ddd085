"""A group in which one member only watches."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from dmls.ids import NodeIndex, ProposalRef
from dmls.mls.codec import decode
from dmls.mls.crypto.suites import CipherSuite, cipher_suite
from dmls.mls.framing.signing import proposal_ref
from dmls.mls.group.follower import CachedProposal
from dmls.mls.group.process import open_message
from dmls.mls.messages.commit import ProposalReference
from dmls.mls.messages.leaf_node import Capabilities, LeafNode
from dmls.mls.messages.message import AuthenticatedContent, MLSMessage
from dmls.mls.messages.proposal import ProposalBody
from dmls.mls.tree.nodes import ParentNode
from tests.support.forge import forge_commit
from tests.support.groups import Party, Room
from tests.support.negative.model import Scene, Watcher

__all__ = ["Stand"]


class Stand(Room):
    """Members by name, all added by the first; the one named `w` watches."""

    def __init__(
        self,
        rng: random.Random,
        names: str = "abcw",
        suite: CipherSuite | None = None,
        capabilities: Capabilities | None = None,
        renewed: str = "",
        **options: Any,
    ) -> None:
        """Make the group, and let those named in `renewed` commit once."""
        chosen = suite or cipher_suite(1)
        self.rng = rng
        self.by_name: dict[str, Party] = {}
        for name in names:
            kind = Watcher if name == "w" else Party
            self.by_name[name] = kind(chosen, name, rng.randbytes, capabilities=capabilities)
        first, *others = self.by_name.values()
        super().__init__(first, **options)
        self.add(first, *others)
        for name in renewed:
            self.commit(self.by_name[name])

    def __getitem__(self, name: str) -> Party:
        return self.by_name[name]

    @property
    def watcher(self) -> Watcher:
        watcher = self.by_name["w"]
        assert isinstance(watcher, Watcher)
        return watcher

    def newcomer(self, name: str = "newcomer", capabilities: Capabilities | None = None) -> Party:
        """Somebody who is not a member."""
        return Party(self.suite, name, self.rng.randbytes, capabilities=capabilities)

    def scene(self, name: str, **options: Any) -> Scene:
        """Begin a scene of the watcher, who knows everything that was sent until now."""
        return self.watcher.scene(name, **options)

    def leaf(self, name: str) -> LeafNode:
        """The leaf of a member in the tree of now."""
        found = self.follower.tree.leaf(self.by_name[name].leaf)
        assert found is not None
        return found

    def parent(self, node: int) -> ParentNode:
        """A parent node of the tree of now."""
        found = self.follower.tree.parent(NodeIndex(node))
        assert found is not None
        return found

    def opened(self, message: bytes) -> AuthenticatedContent:
        """The content of a message, as its receivers see it."""
        return open_message(self.members[0].state, decode(MLSMessage, message))[0]

    def ref(self, proposal: bytes) -> ProposalRef:
        """What names a proposal."""
        return proposal_ref(self.suite, self.opened(proposal))

    def refer(
        self,
        *proposals: bytes,
        inline: Sequence[ProposalBody] = (),
        name: Callable[[AuthenticatedContent], bytes] | None = None,
        **options: Any,
    ) -> tuple[bytes, ...]:
        """Return proposals and a commit by the first member that refers to them; the group stays as it is.

        `name` makes the references otherwise than it should be done.
        """
        committer = self.members[0]
        before, references = committer.state, []
        for proposal in proposals:
            content = self.opened(proposal)
            body = content.content.content
            assert isinstance(body, ProposalBody)
            ref = proposal_ref(self.suite, content) if name is None else ProposalRef(name(content))
            public = committer.state.public
            known = public.proposals.set(ref, CachedProposal(content, body))
            committer.state = replace(committer.state, public=replace(public, proposals=known))
            references.append(ProposalReference(ref))
        try:
            return *proposals, forge_commit(committer, *references, *inline, **options)
        finally:
            committer.state = before
