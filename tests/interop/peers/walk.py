"""Random walks: members of several implementations do what they can in an order that a seed draws.

A walk repeats from its seed. A failure carries the seed and the steps that were taken.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from tests.interop.peers.abilities import can
from tests.interop.peers.conversation import Conversation, Member, Waiting, make_member
from tests.interop.peers.peer import Peer
from tests.interop.peers.quirks import gbp_can_remove, openmls_follows_return, ts_mls_can_join

__all__ = ["LEAST", "MOST", "Mix", "Walk"]

LEAST, MOST = 3, 12
"""How many members a walk keeps in its group."""

_PSK_ID = "70736b"
_REQUIREMENTS = ["000000", "0000020001"]
"""Contents of required_capabilities that everybody meets: nothing, and basic credentials."""


@dataclass(frozen=True)
class Mix:
    """Which implementations walk together, in which proportion, in which cipher suite, and how handshake messages travel."""

    name: str
    weights: Mapping[str, int]
    forms: tuple[str, ...] = ("public",)
    suite: int = 1


@dataclass
class Walk:
    """One walk. `run` takes the steps."""

    peers: Mapping[str, Peer]
    mix: Mix
    seed: int
    steps: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rng = random.Random(f"{self.mix.name} {self.seed}")
        self.room = Conversation(self._make("dmls"), suite=self.mix.suite)

    def run(self, count: int) -> None:
        """Take `count` steps after filling the group; what fails says how it came about."""
        operations: dict[Callable[[], str | None], int] = {
            self._add: 10,
            self._remove: 8,
            self._refresh: 12,
            self._propose_update: 8,
            self._propose_membership: 6,
            self._propose_psk: 3,
            self._commit_waiting: 14,
            self._say: 14,
            self._burst: 6,
            self._join_externally: 5,
            self._come_back: 4,
            self._inject_psk: 3,
            self._require: 2,
            self._change_key: 3,
            self._reload: 4,
        }
        try:
            while len(self.room.members) < LEAST:
                self._take(self._add)
            while len(self.steps) < count:
                (step,) = self.rng.choices(list(operations), list(operations.values()))
                self._take(step)
        except Exception as error:
            error.add_note(f"{self.mix.name}, repeat with DMLS_SEED={self.seed}; the steps were:\n" + "\n".join(self.steps))
            raise

    def _take(self, operation: Callable[[], str | None]) -> None:
        """Take one step, if it can be taken now; what it is about to do is noted before it is done."""
        before = len(self.steps)
        if operation() is not None:
            assert len(self.steps) == before + 1
            name = operation.__name__.strip("_")
            self.counts[name] = self.counts.get(name, 0) + 1

    def _note(self, *words: object) -> str:
        self.steps.append(f"{len(self.steps)}: {' '.join(map(str, words))}")
        return self.steps[-1]

    # Choosing

    def _make(self, name: str) -> Member:
        member = make_member(self.peers[name], suite=self.mix.suite, handshake=self.mix.forms[0])
        if can(name, "psk"):
            member.peer.call("psk", client=member.client, psk_id=_PSK_ID, psk="5e" * 32)
        return member

    def _newcomer(self, *abilities: str) -> Member | None:
        names = {name: weight for name, weight in self.mix.weights.items() if can(name, *abilities)}
        if not names or self._size >= MOST:
            return None
        return self._make(self.rng.choices(list(names), list(names.values()))[0])

    def _pick(self, among: Iterable[Member], *abilities: str) -> Member | None:
        able = [member for member in among if can(member.peer.name, *abilities)]
        return self.rng.choice(able) if able else None

    def _form(self, member: Member) -> dict[str, object]:
        """Choose a form that the sender can send and everybody reads."""
        forms = [form for form in self.mix.forms if can(member.peer.name, f"send_{form}")]
        return {"handshake": self.rng.choice(forms)}

    @property
    def _size(self) -> int:
        """How many members there are once everything that waits is committed."""
        kinds = [waiting.proposal["type"] for waiting in self.room.waiting]
        return len(self.room.members) + kinds.count("add") - kinds.count("remove")

    @property
    def _touched(self) -> set[Member]:
        """Members whose leaf some waiting proposal changes: they neither commit nor are they touched again."""
        updating = {item.proposer for item in self.room.waiting if item.proposal["type"] == "update"}
        leaving = {item.subject for item in self.room.waiting if item.subject and item.proposal["type"] == "remove"}
        return updating | leaving

    def _committers(self, joiners: Iterable[Member | None]) -> list[Member]:
        """Members who could commit now and let these newcomers in."""
        names = {joiner.peer.name for joiner in joiners if joiner is not None}
        names |= {item.subject.peer.name for item in self.room.waiting if item.subject and item.proposal["type"] == "add"}
        committers = self._untouched()
        if "ts-mls" in names:  # whoever commits has to look at the tree before others see the commit
            committers = [member for member in committers if member.peer.name in {"dmls", "ts-mls"}]
        if names & {"mls-rs", "gbp-stack"}:
            committers = [member for member in committers if can(member.peer.name, "add_basic_only")]
        return committers

    def _accepts(self, joiners: Iterable[Member | None]) -> Callable[[str], bool]:
        waiting = [item.subject for item in self.room.waiting if item.proposal["type"] == "add"]
        if any(joiner is not None and joiner.peer.name == "ts-mls" for joiner in (*joiners, *waiting)):
            return lambda tree: ts_mls_can_join(tree, self.mix.suite)
        return lambda _: True

    def _commit(
        self, committer: Member, *proposals: Waiting | dict[str, object], joiners: Iterable[Member] = (), **options: bool
    ) -> None:
        """Commit; where a newcomer could not read the tree, drop what waits by an external commit of ours."""
        if not self.room.commit(committer, *proposals, accepts=self._accepts(joiners), **self._form(committer), **options):
            ours = [member for member in self.room.members if member.peer.name == "dmls"]
            returning = self._pick(member for member in ours if self._can_return(member))
            self.room.join_externally(returning or self._make("dmls"), ours[0], replaces=returning)

    # Membership

    def _add(self) -> str | None:
        if self.room.waiting:
            return None
        joiners = [self._newcomer()]
        if self.rng.random() < 0.4 and self._size + 3 <= MOST:
            joiners += [self._newcomer(), self._newcomer()]
        invited = [joiner for joiner in joiners if joiner is not None]
        committer = self._pick(self._committers(invited), *(["several_proposals"] if len(invited) > 1 else []))
        if not invited or committer is None:
            return None
        noted = self._note(committer, "adds", invited)
        self._commit(committer, *(self.room.adding(joiner) for joiner in invited), joiners=invited)
        return noted

    def _remove(self) -> str | None:
        committer = self._pick(self.room.members)
        others = [] if committer is None else list(self.room.others(committer))
        leavers = self.rng.sample(others, min(len(others), self.rng.choice([1, 1, 2])))
        if committer is None or self.room.waiting or len(self.room.members) - len(leavers) < LEAST:
            return None
        if not self._leaves_one_of_us(*leavers) or (len(leavers) > 1 and not can(committer.peer.name, "several_proposals")):
            return None
        leaves = [self.room.leaf_of(leaver) for leaver in leavers]
        if committer.peer.name == "gbp-stack" and not all(gbp_can_remove(leaf, len(self.room.members)) for leaf in leaves):
            return None
        noted = self._note(committer, "removes", leavers)
        self._commit(committer, *(self.room.removing(leaver) for leaver in leavers))
        return noted

    def _refresh(self) -> str | None:
        committer = self._pick(self.room.members, "empty_commit")
        if committer is None or self.room.waiting:
            return None
        noted = self._note(committer, "commits nothing")
        self._commit(committer)
        return noted

    # Proposals

    def _may_propose(self) -> bool:
        return len(self.room.waiting) < 5 and all(can(member.peer.name, "references") for member in self.room.members)

    def _propose_update(self) -> str | None:
        proposer = self._pick(self._untouched(), "propose_update")
        if proposer is None or not self._may_propose() or not self._leaves_one_of_us(proposer):
            return None
        noted = self._note(proposer, "proposes to update")
        self.room.propose(proposer, {"type": "update"}, **self._form(proposer))
        return noted

    def _untouched(self) -> list[Member]:
        touched = self._touched
        return [member for member in self.room.members if member not in touched]

    def _leaves_one_of_us(self, *apart: Member) -> bool:
        """Tell whether one of us is untouched beside these: whatever waits, one of us can commit it."""
        return any(member.peer.name == "dmls" and member not in apart for member in self._untouched())

    def _propose_membership(self) -> str | None:
        proposer = self._pick(self.room.members, "propose")
        if proposer is None or not self._may_propose():
            return None
        if self.rng.random() < 0.5:
            needs_psk = any(item.proposal["type"] == "psk" for item in self.room.waiting)
            joiner = self._newcomer("references", *(["psk"] if needs_psk else []))
            if joiner is None:
                return None
            noted = self._note(proposer, "proposes to add", joiner)
            self.room.propose(proposer, self.room.adding(joiner), **self._form(proposer))
            return noted
        leaver = self._pick(member for member in self._untouched() if member is not proposer)
        if leaver is None or self._size <= LEAST or not self._leaves_one_of_us(leaver):
            return None
        noted = self._note(proposer, "proposes to remove", leaver)
        self.room.propose(proposer, self.room.removing(leaver), **self._form(proposer))
        return noted

    def _propose_psk(self) -> str | None:
        proposer = self._pick(self.room.members, "propose", "psk")
        if proposer is None or not self._may_propose() or not self._all_can("psk"):
            return None
        noted = self._note(proposer, "proposes a PSK")
        self.room.propose(proposer, {"type": "psk", "psk_id": _PSK_ID}, **self._form(proposer))
        return noted

    def _commit_waiting(self) -> str | None:
        committer = self._pick(self._committers([]), "references")
        if committer is None or not self.room.waiting:
            return None
        noted = self._note(committer, "commits what waits:", [item.proposal["type"] for item in self.room.waiting])
        self._commit(committer)
        return noted

    # Keys and extensions

    def _all_can(self, ability: str) -> bool:
        waiting = [item.subject for item in self.room.waiting if item.subject]
        return all(can(member.peer.name, ability) for member in (*self.room.members, *waiting))

    def _inject_psk(self) -> str | None:
        committer = self._pick(self.room.members, "psk")
        if committer is None or self.room.waiting:
            return None
        if self._all_can("psk") and self.rng.random() < 0.5:
            noted = self._note(committer, "injects an external PSK")
            self._commit(committer, {"type": "psk", "psk_id": _PSK_ID})
            return noted
        if any(member.peer.name == "gbp-stack" for member in self.room.members):
            return None
        noted = self._note(committer, "injects the resumption PSK")
        self._commit(committer, {"type": "resumption_psk", "epoch": committer.ask("state")["epoch"]})
        return noted

    def _require(self) -> str | None:
        committer = self._pick(member for member in self.room.members if member.peer.name == "dmls")
        if committer is None or self.room.waiting:
            return None
        noted = self._note(committer, "requires capabilities")
        extensions = [[3, self.rng.choice(_REQUIREMENTS)]]
        self._commit(committer, {"type": "group_context_extensions", "extensions": extensions})
        return noted

    def _change_key(self) -> str | None:
        committer = self._pick(member for member in self.room.members if member.peer.name == "dmls")
        if committer is None or self.room.waiting or not self._all_can("new_signature_keys"):
            return None
        noted = self._note(committer, "changes its signature key")
        self._commit(committer, rotate=True)
        return noted

    # Messages

    def _say(self) -> str | None:
        sender = self._pick(self.room.members, "messages")
        if sender is None or self.room.waiting:
            return None
        noted = self._note(sender, "says something")
        self.room.say(sender, self.rng.randbytes(self.rng.choice([0, 1, 30, 300, 3000])))
        return noted

    def _burst(self) -> str | None:
        """Send some messages that everybody reads in an order of their own."""
        sender = self._pick(self.room.members, "messages")
        if sender is None or self.room.waiting:
            return None
        noted = self._note(sender, "says several things")
        sent = [sender.ask("encrypt", data=bytes([number]).hex())["message"] for number in range(4)]
        for member in self.room.others(sender):
            if can(member.peer.name, "messages"):
                order = self.rng.sample(range(4), 4) if can(member.peer.name, "far_out_of_order") else [1, 0, 3, 2]
                read = [member.ask("process", message=sent[number])["data"] for number in order]
                assert read == [bytes([number]).hex() for number in order], member
        return noted

    # External commits and restarts

    def _join_externally(self) -> str | None:
        joiner, via = self._newcomer("external_join"), self._pick(self.room.members, "tree_out_of_band", "group_info")
        # An external commit leaves out what waits, removals too.
        if joiner is None or via is None or len(self.room.members) >= MOST or not self._can_read_tree(joiner, via):
            return None
        noted = self._note(joiner, "joins by external commit through", via)
        self.room.join_externally(joiner, via)
        return noted

    def _come_back(self) -> str | None:
        returning = self._pick(self.room.members, "external_join")
        others = [] if returning is None else self.room.others(returning)
        via = self._pick(others, "tree_out_of_band", "group_info")
        if returning is None or via is None or not self._can_read_tree(returning, via) or not self._can_return(returning):
            return None
        noted = self._note(returning, "comes back by external commit through", via)
        self.room.join_externally(returning, via, replaces=returning)
        return noted

    def _can_return(self, member: Member) -> bool:
        is_openmls_here = any(other.peer.name in {"gbp-stack", "core-crypto"} for other in self.room.members)
        return not is_openmls_here or openmls_follows_return(self.room.leaves, self.room.leaf_of(member))

    def _can_read_tree(self, joiner: Member, via: Member) -> bool:
        return joiner.peer.name != "ts-mls" or ts_mls_can_join(via.ask("tree")["ratchet_tree"], self.mix.suite)

    def _reload(self) -> str | None:
        member = self._pick(self.room.members, "tree_out_of_band")
        if member is None or self.room.waiting:
            return None
        noted = self._note(member, "restarts")
        member.ask("reload")
        self.room.agree()
        return noted
