"""One attacker in a simulated room: a user, a device, a homeserver that does as it is told, and a hoard."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dmls.engine.agent import OwnDevice, make_client
from dmls.engine.committing import LEAF_LIFETIME_S
from dmls.engine.nodes import epoch_id, find_leaf
from dmls.engine.profile import group_extensions, rule_of
from dmls.errors import DMLSError
from dmls.forks.aad import EpochPointer, KeySchedule, commit_ref, genesis_ref, make_commit_aad, make_node_ref
from dmls.forks.graph import Device
from dmls.forks.pprf import init_secret_rule
from dmls.ids import CommitRef, DeviceId, EventId, LeafIndex, ServerName, UserId
from dmls.matrix.bodies import CommitBody, EventPointer, GenesisBody, Inline, content_of
from dmls.matrix.identifiers import group_id
from dmls.mls.group.commit import CommitOptions
from dmls.mls.group.external import create_external_commit
from dmls.mls.group.leaf import Client, create_key_package
from dmls.mls.group.state import create_group
from dmls.mls.group.welcome import make_group_info
from dmls.mls.messages.commit import UpdatePath
from dmls.mls.messages.leaf_node import Lifetime
from dmls.mls.messages.message import encode_message
from dmls.mls.messages.proposal import Add, ProposalBody
from dmls.simulation.attackers.forging import ForgedCommit, Hints, forge_commit
from dmls.simulation.attackers.hoard import Hoard
from dmls.simulation.attackers.setting import Setting

__all__ = ["Attacker"]

_FIRST_SEQ = 100_000
"""Above what an honest engine of the same device uses."""


@dataclass
class Attacker:
    """Who attacks.

    Attributes:
        own: the device that it holds in truth; its keys, credential and leaf.
        rng: all its choices.
        made: the commits that it made by hand, oldest first.
    """

    setting: Setting
    user: UserId
    own: OwnDevice
    rng: random.Random
    hoard: Hoard
    made: list[CommitRef] = field(default_factory=list)
    events: list[EventId] = field(default_factory=list)
    """All events that it sent by hand."""
    _seq: int = _FIRST_SEQ
    _ghosts: int = 0

    @property
    def server(self) -> ServerName:
        """Its homeserver."""
        return ServerName(self.user.partition(":")[2])

    @property
    def others(self) -> tuple[ServerName, ...]:
        """The homeservers of everybody else."""
        return tuple(name for name in self.setting.servers if name != self.server)

    def study(self) -> None:
        """Take in whatever there is to know by now: all events of all homeservers, also those that its own was never sent."""
        for event_id, content in self.setting.encrypted_events():
            self.hoard.see(event_id, content)
        self.hoard.think()

    def head(self) -> CommitRef | None:
        """Return the head as an honest homeserver has it."""
        return self.setting.head_of(self.others[0])

    def next_seq(self) -> int:
        """Return a vote_seq that it has not used."""
        self._seq += 1
        return self._seq

    # Making

    def mint(self, user: UserId, device_id: DeviceId) -> OwnDevice:
        """Make keys and a credential that claims to be any device of any user."""
        suite = self.hoard.suite
        pair = suite.generate_signature_key_pair(self.rng.randbytes)
        client = make_client(suite, user, device_id, pair.private_key, pair.public_key)
        return OwnDevice(Device(user, device_id, pair.public_key), client)

    def ghost(self, user: UserId) -> tuple[OwnDevice, Add]:
        """Make a device that its user knows nothing of, and the proposal to add it."""
        self._ghosts += 1
        minted = self.mint(user, DeviceId(f"GHOST{self._ghosts}"))
        now = self.setting.now_ms // 1_000
        lifetime = Lifetime(now - 3_600, now + LEAF_LIFETIME_S)
        bundle = create_key_package(self.hoard.suite, minted.client, lifetime, self.rng.randbytes)
        self.hoard.bundles[bundle.ref] = bundle
        self.hoard.keys[bundle.key_package.leaf_node.encryption_key] = bundle.encryption_private_key
        return minted, Add(bundle.key_package)

    def commit(
        self,
        parent: CommitRef,
        proposals: Sequence[ProposalBody] = (),
        *,
        seq: int | None = None,
        resolves: Sequence[EpochPointer] = (),
        rejects: Sequence[EpochPointer] = (),
        logout: bool = False,
        names: EpochPointer | None = None,
        alter_path: Callable[[UpdatePath], UpdatePath] | None = None,
    ) -> ForgedCommit | None:
        """Make a commit with its own leaf on an epoch whose secrets it has; `names` is the parent that it claims instead.

        None where it has no leaf there, or nothing can be made of it.
        """
        state = self.hoard.states.get(parent)
        leaf = None if state is None else find_leaf(state.public.tree, self.own.device)
        if state is None or leaf is None:
            return None
        pointer = names or EpochPointer(parent, epoch_id(state))
        aad = make_commit_aad(pointer, seq or self.next_seq(), resolves=resolves, rejects=rejects, logout=logout)
        more = {} if alter_path is None else {"alter_path": alter_path}
        try:
            made = forge_commit(state, self.own.client, leaf, proposals, aad, self.rng.randbytes, self.hints(parent), **more)
        except DMLSError:
            return None
        if names is None:
            self.hoard.add(made.ref, made.state, made.keys)
        return made

    def join(self, parent: CommitRef, client: Client | None = None, seq: int | None = None) -> Mapping[str, Any] | None:
        """Make an external commit onto any epoch, with its own device or any minted one; None where that cannot be."""
        known = self.hoard.epochs.get(parent)
        client = client or self.own.client
        if known is None:
            return None
        group, suite = known.group, self.hoard.suite
        old = group.tree.find_signature_key(client.signature_key)
        aad = make_commit_aad(EpochPointer(parent, b""), seq or self.next_seq())
        options = CommitOptions(authenticated_data=aad)
        try:
            staged = create_external_commit(
                group, known.group_info, client, self.rng.randbytes, replaces=old, rule=rule_of(group), options=options
            )
        except DMLSError:
            return None
        ref = commit_ref(suite, staged.content)
        info = make_group_info(staged.state, client, staged.leaf_index, extensions=(make_node_ref(ref),))
        self.hoard.add(ref, staged.state, staged.private_keys)
        self.made.append(ref)
        hints = self.hints(parent)
        body = CommitBody(
            ciphersuite=suite.id,
            message=Inline(staged.message),
            group_info=Inline(encode_message(info)),
            keyframe=EventPointer(hints.keyframe_event),
            parent_event=hints.parent_event,
            commit_ref=ref,
        )
        return content_of(body)

    def genesis(self) -> Mapping[str, Any]:
        """Make another beginning of the room's group."""
        suite, room_id = self.hoard.suite, self.setting.room_id
        now = self.setting.now_ms // 1_000
        created = create_group(
            suite,
            group_id(room_id),
            self.own.client,
            Lifetime(now - 3_600, now + LEAF_LIFETIME_S),
            self.rng.randbytes,
            extensions=group_extensions(room_id),
            rule=init_secret_rule(KeySchedule.PPRF),
        )
        encoded = encode_message(make_group_info(created.state, self.own.client, LeafIndex(0)))
        ref = genesis_ref(suite, encoded)
        self.hoard.add(ref, created.state, created.private_keys)
        self.made.append(ref)
        return content_of(GenesisBody(suite.id, Inline(encoded), Inline(created.state.public.tree.encode())))

    def hints(self, parent: CommitRef) -> Hints:
        """Return the clear part of a commit's event."""
        known = self.hoard.epochs.get(parent)
        return Hints(None if known is None else known.event_id, self.hoard.genesis_event or EventId("$none"))

    # Sending

    def send(
        self,
        content: Mapping[str, Any],
        *,
        to: Collection[ServerName] | None = None,
        back_dated: bool = False,
    ) -> EventId | None:
        """Send an event as its own user, to some homeservers or to all; None where not even a lie makes it allowed.

        A homeserver whose user is not in the room any more can only put an event where the user still was; with
        `back_dated` it does so even where it need not.
        """
        event_id = self.setting.put(self.user, content, back_dated=back_dated)
        if event_id is not None:
            self.events.append(event_id)
            for server in self.others if to is None else to:
                self.setting.show(self.server, server, event_id)
        return event_id

    def send_commit(
        self, made: ForgedCommit | None, *, to: Collection[ServerName] | None = None, back_dated: bool = False
    ) -> EventId | None:
        """Send a commit that was made by hand, if there is one."""
        if made is None:
            return None
        self.made.append(made.ref)
        return self.send(made.content, to=to, back_dated=back_dated)
