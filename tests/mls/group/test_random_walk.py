"""Random lives of groups of three to eight members: they agree after every step, whatever the order of steps.

Every step is drawn by Hypothesis and all keys come from one seeded generator, so a failure repeats and shrinks.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dmls.errors import DMLSError
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.framing.padding import Padding, no_padding, pad_in_steps, pad_to_multiple
from dmls.mls.messages.commit import ProposalReference
from dmls.mls.messages.extensions import ExternalSenders, make_extension
from dmls.mls.messages.proposal import Add, GroupContextExtensions, PreSharedKey, Remove
from dmls.mls.messages.psk import ExternalPSK, PreSharedKeyID, ResumptionPSK, ResumptionPSKUsage
from dmls.mls.messages.registry import ExtensionType, WireFormat
from tests.support.groups import Party, Room, fingerprint, fresh_update, parties

MOST, LEAST = 8, 3
pick = st.integers(0, MOST - 1)
formats = st.sampled_from([WireFormat.PUBLIC_MESSAGE, WireFormat.PRIVATE_MESSAGE])


class Walk(RuleBasedStateMachine):
    """A room, the proposals that wait in it, and messages that are still under way."""

    @initialize(seed=st.integers(0, 2**32 - 1), suite=st.sampled_from([1, 1, 1, 2, 3, 7]))
    def create(self, seed: int, suite: int) -> None:
        self.rng = random.Random(seed)
        self.suite = cipher_suite(suite)
        self.count = 0
        founder, *others = (self.newcomer() for _ in range(LEAST))
        self.room = Room(founder)
        self.room.add(founder, *others)
        self.clear()

    def clear(self) -> None:
        """Forget what an epoch takes with it."""
        self.waiting: dict[ProposalReference, tuple[str, Party | None]] = {}
        self.joining: dict[ProposalReference, Party] = {}
        self.under_way: list[tuple[bytes, bytes, set[Party]]] = []

    def newcomer(self) -> Party:
        self.count += 1
        return parties(self.suite, [f"member{self.count}"], self.rng)[0]

    def member(self, number: int) -> Party:
        return self.room.members[number % len(self.room.members)]

    @property
    def size(self) -> int:
        leaving = sum(kind == "remove" for kind, _ in self.waiting.values())
        return len(self.room.members) + len(self.joining) - leaving

    def form(self, wire_format: WireFormat) -> dict[str, Any]:
        return {"wire_format": wire_format, "psks": lambda _: b"key"}

    @precondition(lambda self: self.size < MOST)
    @rule(proposer=pick, wire_format=formats)
    def propose_addition(self, proposer: int, wire_format: WireFormat) -> None:
        joiner = self.newcomer()
        reference = self.room.propose(self.member(proposer), Add(joiner.key_package()), wire_format=wire_format)
        self.waiting[reference] = ("add", None)
        self.joining[reference] = joiner

    @rule(proposer=pick, wire_format=formats)
    def propose_update(self, proposer: int, wire_format: WireFormat) -> None:
        party = self.member(proposer)
        reference = self.room.propose(party, fresh_update(party), wire_format=wire_format)
        self.waiting[reference] = ("update", party)

    @precondition(lambda self: self.size > LEAST)
    @rule(proposer=pick, leaver=pick, wire_format=formats)
    def propose_removal(self, proposer: int, leaver: int, wire_format: WireFormat) -> None:
        party, leaving = self.member(proposer), self.member(leaver)
        self.waiting[self.room.propose(party, Remove(leaving.leaf), wire_format=wire_format)] = ("remove", leaving)

    @rule(proposer=pick, wire_format=formats, epochs_back=st.integers(0, 3))
    def propose_psk(self, proposer: int, wire_format: WireFormat, epochs_back: int) -> None:
        context = self.room.follower.context
        epoch = context.epoch - epochs_back
        known = all(epoch in party.state.resumption_psks for party in self.room.members)
        resumption = ResumptionPSK(ResumptionPSKUsage.APPLICATION, context.group_id, epoch) if known else ExternalPSK(b"name")
        psk_id = PreSharedKeyID(resumption, self.rng.randbytes(self.suite.hash_size))
        self.waiting[self.room.propose(self.member(proposer), PreSharedKey(psk_id), wire_format=wire_format)] = ("psk", None)

    @rule(committer=pick, force_path=st.booleans(), with_tree=st.booleans(), wire_format=formats, extend=st.booleans())
    def commit(self, committer: int, force_path: bool, with_tree: bool, wire_format: WireFormat, extend: bool) -> None:
        """Commit all that waits and may be committed together: a Remove before an Update, the last Update of a member."""
        party = self.member(committer)
        chosen: dict[object, ProposalReference] = {}
        for reference, (kind, touched) in self.waiting.items():
            if touched is party:
                continue
            key = reference if touched is None else touched
            if kind == "update" and key in chosen and self.waiting[chosen[key]][0] == "remove":
                continue
            chosen[key] = reference
        leavers = [touched for kind, touched in (self.waiting[one] for one in chosen.values()) if kind == "remove" and touched]
        resumption_only = {reference for reference in chosen.values() if self.waiting[reference][0] == "psk"}
        joiners = [self.joining[reference] for reference in chosen.values() if reference in self.joining]
        # A newcomer has lived through no epoch, so it is not invited with a key of one.
        if joiners:
            chosen = {key: reference for key, reference in chosen.items() if reference not in resumption_only}
        proposals: list[Any] = list(chosen.values())
        if extend:
            proposals.append(GroupContextExtensions((make_extension(ExtensionType.EXTERNAL_SENDERS, ExternalSenders(())),)))
        self.room.commit(
            party,
            *proposals,
            joiners=joiners,
            leavers=leavers,
            process_options={"psks": lambda _: b"key"},
            force_path=force_path,
            welcome_with_tree=with_tree,
            **self.form(wire_format),
        )
        self.clear()

    @precondition(lambda self: len(self.room.members) < MOST)
    @rule()
    def join_externally(self) -> None:
        self.room.join_externally(self.newcomer())
        self.clear()

    @rule(who=pick)
    def come_back(self, who: int) -> None:
        party = self.member(who)
        self.room.join_externally(party, replaces=party)
        self.clear()

    @precondition(lambda self: not self.waiting)
    @rule(sender=pick, text=st.binary(max_size=40), padding=st.sampled_from([no_padding, pad_to_multiple(32), pad_in_steps()]))
    def send(self, sender: int, text: bytes, padding: Padding) -> None:
        party = self.member(sender)
        message = party.send(text, padding=padding)
        self.under_way.append((message, text, set(self.room.members) - {party}))

    @precondition(lambda self: self.under_way)
    @rule(receiver=pick, which=st.integers(0, 100))
    def receive(self, receiver: int, which: int) -> None:
        party = self.member(receiver)
        waiting = [(message, text, readers) for message, text, readers in self.under_way if party in readers]
        if waiting:
            message, text, readers = waiting[which % len(waiting)]
            assert party.receive(message) == text
            readers.discard(party)

    @rule(sender=pick, receiver=pick, position=st.integers(0, 10_000), change=st.integers(1, 255))
    def receive_damaged(self, sender: int, receiver: int, position: int, change: int) -> None:
        """A message with one octet altered is refused, and nothing changes."""
        party = self.member(sender)
        others = [member for member in self.room.members if member is not party]
        other = others[receiver % len(others)]
        spoilt = bytearray(party.stage().message)
        spoilt[position % len(spoilt)] ^= change
        before = fingerprint(other.state)
        with pytest.raises(DMLSError):
            other.process(bytes(spoilt))
        assert fingerprint(other.state) == before

    @invariant()
    def all_agree(self) -> None:
        if hasattr(self, "room"):
            self.room.settle()


TestWalk = Walk.TestCase
# A walk is worth many examples of other tests, and takes as long.
TestWalk.settings = settings(stateful_step_count=25, max_examples=min(settings().max_examples, 300))
