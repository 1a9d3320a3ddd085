"""An agent that holds several leaves of one group: one state, one ring, each path opened once."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

from dmls.ids import LeafIndex
from dmls.mls.codec import decode
from dmls.mls.crypto.operations import OperationCounts, count_operations
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.group.application import encrypt
from dmls.mls.group.commit import StagedCommit, create_commit
from dmls.mls.group.keyring import KeyRing, keys_in_use
from dmls.mls.group.process import open_message, process_handshake
from dmls.mls.group.state import GroupState
from dmls.mls.group.welcome import open_path_keys
from dmls.mls.messages.key_package import key_package_ref
from dmls.mls.messages.message import ApplicationData, MLSMessage
from dmls.mls.messages.proposal import Add, Remove
from tests.support.groups import Party, fingerprint, refusing, room_of

SUITE = cipher_suite(1)


@dataclass
class Agent:
    """Some devices that share state and keys."""

    state: GroupState
    ring: KeyRing
    devices: dict[LeafIndex, Party]
    spent: list[KeyRing] = field(default_factory=list)

    @classmethod
    def of(cls, devices: list[Party]) -> Agent:
        """Let devices that joined on their own act as one from now on."""
        ring = KeyRing()
        for device in devices:
            ring = ring.add(device.ring.keys)
        leaves = {device.leaf: device for device in devices}
        return cls(replace(devices[0].state, own_leaves=frozenset(leaves)), ring, leaves)

    def receive(self, message: bytes) -> bytes | None:
        content, after = open_message(self.state, decode(MLSMessage, message))
        if isinstance(content.content.content, ApplicationData):
            self.state = after
            return content.content.content.data
        processed = process_handshake(after, content, self.ring.keys)
        self.state, self.ring = processed.state, self.ring.add(processed.private_keys)
        self.sweep()
        return None

    def sweep(self) -> None:
        used = keys_in_use(self.state.public.tree, self.state.own_leaves)
        self.ring = self.ring.discard(set(self.ring.keys) - used)

    def commit(self, leaf: LeafIndex, *proposals: Add | Remove) -> StagedCommit:
        device = self.devices[leaf]
        staged = create_commit(self.state, device.client, leaf, proposals, device.random)
        self.state, self.ring = staged.state, self.ring.add(staged.private_keys)
        self.sweep()
        return staged


def counting(agent: Agent) -> OperationCounts:
    """Let an agent count what its next operations cost."""
    suite, counts = count_operations(SUITE)
    public = agent.state.public
    tree = type(public.tree)(suite, public.tree.root)
    agent.state = replace(agent.state, public=replace(public, suite=suite, tree=tree))
    return counts


def agent_of(rng: random.Random, own: str = "bdfh", names: str = "abcdefgh") -> tuple[Agent, list[Party]]:
    """A group of eight, of whom one agent holds four; all have committed."""
    room, members = room_of(rng, names)
    for party in members:
        room.commit(party)
    devices = [party for party in members if party.name in own]
    return Agent.of(devices), [party for party in members if party not in devices]


def test_a_path_is_opened_once_and_at_its_lowest_node(rng: random.Random) -> None:
    agent, others = agent_of(rng)
    for committer in others:
        staged = committer.stage()
        committer.enter(staged)
        for party in others:
            if party is not committer:
                party.receive(staged.message)
        counts = counting(agent)
        agent.receive(staged.message)
        assert agent.state.secrets.epoch_authenticator == committer.state.secrets.epoch_authenticator
        # Its neighbour is an own leaf: one ciphertext opens all three nodes of the path.
        assert (counts.decapsulations, counts.key_pairs, counts.verifications) == (1, 3, 2)
        assert agent.state.own_leaves == {1, 3, 5, 7}


def test_every_own_leaf_sends_and_commits_and_the_agent_reads_once(rng: random.Random) -> None:
    agent, others = agent_of(rng)
    for leaf, device in agent.devices.items():
        sent = encrypt(agent.state, device.client, leaf, b"from an own leaf", rng.randbytes)
        agent.state = sent.state
        for party in others:
            assert party.receive(sent.message) == b"from an own leaf"
    message = others[0].send(b"to all")
    assert agent.receive(message) == b"to all"
    before = fingerprint(agent.state)
    with refusing("ST-13"):
        agent.receive(message)
    assert fingerprint(agent.state) == before
    for leaf in sorted(agent.devices):
        staged = agent.commit(leaf)
        for party in others:
            party.receive(staged.message)
        assert agent.state.secrets.epoch_authenticator == others[0].state.secrets.epoch_authenticator
    staged = others[1].stage()
    agent.receive(staged.message)


def test_an_agent_can_process_what_one_of_its_own_leaves_sent(rng: random.Random) -> None:
    """A commit of an own leaf that comes back, the staged epoch being lost, opens with another own leaf's keys."""
    agent, others = agent_of(rng)
    device = agent.devices[LeafIndex(1)]
    staged = create_commit(agent.state, device.client, LeafIndex(1), (), rng.randbytes)
    agent.receive(staged.message)
    assert agent.state.secrets.epoch_authenticator == staged.state.secrets.epoch_authenticator
    others[0].receive(staged.message)
    # Only what is private to the committer's leaf is lost.
    assert staged.state.public.tree.leaf(LeafIndex(1)) is not None


def test_own_leaves_leave_one_by_one_and_the_last_one_is_told(rng: random.Random) -> None:
    agent, others = agent_of(rng)
    alice = others[0]
    for leaf in (7, 1, 5):
        staged = alice.stage(Remove(leaf))
        alice.enter(staged)
        agent.receive(staged.message)
        assert leaf not in agent.state.own_leaves
        assert agent.state.secrets.epoch_authenticator == alice.state.secrets.epoch_authenticator
    staged = alice.stage(Remove(3))
    before = fingerprint(agent.state)
    with refusing("CP-09"):
        agent.receive(staged.message)
    assert fingerprint(agent.state) == before


def test_leaves_that_others_add_become_own_with_their_welcome(rng: random.Random) -> None:
    agent, others = agent_of(rng, own="b")
    device = Party(SUITE, "second device", rng.randbytes)
    alice = others[0]
    package = device.key_package()
    (bundle,) = device.bundles.values()
    agent.ring = agent.ring.add({package.leaf_node.encryption_key: bundle.encryption_private_key})
    twin = alice.stage(Add(package), welcome_with_tree=False, force_path=True)
    staged = alice.stage(Add(package), welcome_with_tree=False, force_path=True)
    alice.enter(staged)
    agent.receive(staged.message)
    assert agent.state.own_leaves == {1, 8}
    # The nodes that only the new leaf is below come with the Welcome; the tree need not be judged again.
    assert staged.welcome is not None
    counts = counting(agent)
    followed = agent.state.public
    keys = open_path_keys(staged.welcome, bundle, followed, alice.leaf)
    assert (counts.verifications, len(keys)) == (0, 1)
    agent.ring = agent.ring.add(keys)
    with refusing("WL-16"):
        open_path_keys(staged.welcome, bundle, twin.state.public, alice.leaf)
    elsewhere = Party(SUITE, "somebody else", rng.randbytes)
    other = elsewhere.key_package()
    with refusing("WL-01"):
        open_path_keys(staged.welcome, elsewhere.bundles[key_package_ref(SUITE, other)], followed, alice.leaf)
    staged = alice.stage(Remove(1))
    agent.receive(staged.message)
    assert agent.state.own_leaves == {8}
    assert agent.state.secrets.epoch_authenticator == staged.state.secrets.epoch_authenticator
