"""Groups that continue others: after a ReInit and as branches (RFC 9420, Sections 11.2 and 11.3)."""

from __future__ import annotations

import random
from collections.abc import Hashable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from dmls.errors import DecryptionError, NotAMemberError, StateError, UnsupportedError
from dmls.ids import LeafIndex
from dmls.mls.codec import decode, encode
from dmls.mls.crypto.suites import CIPHER_SUITES, CipherSuite, cipher_suite
from dmls.mls.group.commit import CommitOptions, StagedCommit
from dmls.mls.group.leaf import Client, default_capabilities
from dmls.mls.group.policy import OpenPolicy
from dmls.mls.group.predecessor import check_successor
from dmls.mls.group.psks import PSKKeeper, name_psk
from dmls.mls.group.state import GroupState
from dmls.mls.group.successor import create_branch, create_successor
from dmls.mls.messages.credential import BasicCredential
from dmls.mls.messages.extensions import Extension, RequiredCapabilities, make_extension
from dmls.mls.messages.group_context import GroupContext
from dmls.mls.messages.key_package import KeyPackage
from dmls.mls.messages.leaf_node import LeafNode
from dmls.mls.messages.proposal import Add, PreSharedKey, ReInit, Remove
from dmls.mls.messages.psk import ExternalPSK, PreSharedKeyID, ResumptionPSK, ResumptionPSKUsage
from dmls.mls.messages.registry import ExtensionType
from dmls.mls.messages.welcome import GroupSecrets, Welcome
from dmls.mls.schedule.psk import derive_psk_secret
from tests.support.forge import forge_commit, forge_message, forge_welcome
from tests.support.groups import ALWAYS, GROUP_ID, Party, Room, parties, refusing, room_of

SUITE = cipher_suite(1)
REQUIRED = make_extension(ExtensionType.REQUIRED_CAPABILITIES, RequiredCapabilities((), (), (1,)))
APP = 0xF123
BY_SUITE = pytest.mark.parametrize("suite", CIPHER_SUITES, ids=lambda suite: f"suite{suite.id}")


def heirs_of(members: Sequence[Party], suite: CipherSuite, rng: random.Random) -> list[Party]:
    """The same clients with new keys, maybe of another suite."""
    return parties(suite, [party.name for party in members], rng)


def key_packages(founder: Party, heirs: Sequence[Party]) -> list[KeyPackage]:
    return [heir.key_package() for heir in heirs if heir is not founder]


def succeed(state: GroupState, founder: Party, heirs: Sequence[Party], **options: Any) -> StagedCommit:
    """Found a closed group's successor and enter it."""
    packages = key_packages(founder, heirs)
    staged = create_successor(state, founder.client, packages, ALWAYS, founder.random, options=CommitOptions(**options))
    founder.enter(staged)
    return staged


def branch(
    state: GroupState,
    founder: Party,
    heirs: Sequence[Party],
    group_id: bytes = b"branch",
    extensions: Sequence[Extension] = (),
    **options: Any,
) -> StagedCommit:
    """Found a branch and enter it."""
    staged = create_branch(
        state,
        group_id,
        founder.client,
        key_packages(founder, heirs),
        ALWAYS,
        founder.random,
        extensions=extensions,
        options=CommitOptions(**options),
    )
    founder.enter(staged)
    return staged


def welcome_of(staged: StagedCommit) -> Welcome:
    assert staged.welcome is not None
    return decode(Welcome, encode(staged.welcome))


def agree(members: Sequence[Party]) -> None:
    """All are in one epoch, read each other, and go on to the next."""
    assert len({party.state.secrets.epoch_authenticator for party in members}) == 1
    for sender in members:
        message = sender.send(sender.name.encode())
        for reader in members:
            if reader is not sender:
                assert reader.receive(message) == sender.name.encode()
    staged = members[-1].stage()
    for reader in members[:-1]:
        reader.receive(staged.message)
    members[-1].enter(staged)
    assert len({party.state.secrets.epoch_authenticator for party in members}) == 1


def reinit(suite: CipherSuite = SUITE, group_id: bytes = b"successor", extensions: tuple[Extension, ...] = ()) -> ReInit:
    return ReInit(group_id, 1, suite.id, extensions)


class Closed:
    """A group of four that was closed, and the four as they will be in its successor."""

    def __init__(self, rng: random.Random, asked: ReInit | None = None, *, old: CipherSuite = SUITE) -> None:
        self.room, self.members = room_of(rng, "abcd", old)
        self.before = self.members[0].state
        self.asked = asked or reinit()
        self.room.commit(self.members[0], self.asked)
        self.heirs = heirs_of(self.members, cipher_suite(self.asked.cipher_suite), rng)

    @property
    def state(self) -> GroupState:
        return self.members[0].state

    def enter(self, staged: StagedCommit, founder: Party, **options: Any) -> None:
        """Let everybody but the founder join, each with its own state of the closed group."""
        tree = None if options.pop("with_tree", True) else staged.state.public.tree.encode()
        for member, heir in zip(self.members, self.heirs, strict=True):
            if heir is not founder:
                heir.join(welcome_of(staged), tree, predecessors=[member.state], **options)

    def refuse(self, rule: str | None, welcome: Welcome, heir: Party, **options: Any) -> None:
        """A member does not join, and could still."""
        member = self.members[self.heirs.index(heir)]
        bundles = dict(heir.bundles)
        with refusing(rule, member):
            heir.join(welcome, **{"predecessors": [member.state], **options})
        assert heir.bundles == bundles
        assert not heir.is_member


@pytest.fixture
def closed(rng: random.Random) -> Closed:
    return Closed(rng)


class Open:
    """A group of four that goes on, and three of them as they will be in a branch."""

    def __init__(self, rng: random.Random) -> None:
        self.room, self.members = room_of(rng)
        self.heirs = heirs_of(self.members[:3], SUITE, rng)

    @property
    def state(self) -> GroupState:
        return self.members[0].state

    def refuse(self, rule: str | None, welcome: Welcome, heir: Party, **options: Any) -> None:
        member = self.members[self.heirs.index(heir)]
        with refusing(rule, member):
            heir.join(welcome, **{"predecessors": [member.state], **options})
        assert not heir.is_member


@pytest.fixture
def opened(rng: random.Random) -> Open:
    return Open(rng)


# A group goes on in its successor


@pytest.mark.parametrize("old", [CIPHER_SUITES[0], CIPHER_SUITES[4]], ids=lambda suite: f"from{suite.id}")
@pytest.mark.parametrize("new", CIPHER_SUITES, ids=lambda suite: f"to{suite.id}")
@pytest.mark.keeps("RB-01", "RB-02", "RB-03", "RB-08", "RB-09", "WL-04")
def test_a_group_continues_with_another_suite(old: CipherSuite, new: CipherSuite, rng: random.Random) -> None:
    closed = Closed(rng, reinit(new, b"successor", (REQUIRED,)), old=old)
    founder = closed.heirs[1]
    staged = succeed(closed.members[1].state, founder, closed.heirs)
    closed.enter(staged, founder)
    context = founder.state.public.context
    assert (context.group_id, context.cipher_suite, context.extensions) == (b"successor", new.id, (REQUIRED,))
    assert context.epoch == 1
    (link,) = staged.applied.psk_ids
    assert len(link.psk_nonce) == new.hash_size
    assert link.source == ResumptionPSK(ResumptionPSKUsage.REINIT, GROUP_ID, closed.state.public.context.epoch)
    agree(closed.heirs)


@pytest.mark.parametrize("place", range(4))
@pytest.mark.keeps("RB-07", "CC-13")
def test_any_member_founds_the_successor(closed: Closed, place: int) -> None:
    founder = closed.heirs[place]
    closed.enter(succeed(closed.members[place].state, founder, closed.heirs), founder)
    agree(closed.heirs)


@pytest.mark.parametrize("options", [{"force_path": True}, {"welcome_with_tree": False}], ids=["path", "tree apart"])
def test_a_successor_comes_in_all_forms(closed: Closed, options: dict[str, Any]) -> None:
    founder = closed.heirs[0]
    staged = succeed(closed.state, founder, closed.heirs, **options)
    closed.enter(staged, founder, with_tree=options.get("welcome_with_tree", True))
    agree(closed.heirs)


def test_a_predecessor_may_come_from_the_store_and_without_its_message_secrets(closed: Closed) -> None:
    closed.room.settle()
    for member in closed.members:
        member.state = member.state.without_message_secrets()
    founder = closed.heirs[3]
    closed.enter(succeed(closed.members[3].state, founder, closed.heirs), founder)
    agree(closed.heirs)


def test_a_lone_member_continues_alone(rng: random.Random) -> None:
    room, (alice,) = room_of(rng, "a")
    room.commit(alice, reinit())
    (heir,) = heirs_of([alice], SUITE, rng)
    staged = succeed(alice.state, heir, [heir])
    assert staged.welcome is None
    assert heir.epoch == 1
    heir.enter(heir.stage())


def test_other_keys_may_be_injected_beside_the_link(closed: Closed, rng: random.Random) -> None:
    """A founder's further keys are named by proposals of its own; the first commit has none, the second does."""
    founder = closed.heirs[0]
    closed.enter(succeed(closed.state, founder, closed.heirs), founder)
    old = closed.state.public.context
    psk_id = name_psk(SUITE, ResumptionPSK(ResumptionPSKUsage.APPLICATION, old.group_id, old.epoch), rng.randbytes)
    staged = founder.stage(PreSharedKey(psk_id), psks=PSKKeeper().add_group(closed.state))
    for member, heir in zip(closed.members[1:], closed.heirs[1:], strict=True):
        heir.receive(staged.message, psks=PSKKeeper().add_group(member.state))
        assert heir.state.secrets.epoch_authenticator == staged.state.secrets.epoch_authenticator


@pytest.mark.keeps("RB-14", "WL-09")
def test_a_successor_may_keep_the_id_of_its_group(rng: random.Random) -> None:
    closed = Closed(rng, reinit(group_id=GROUP_ID))
    founder = closed.heirs[2]
    closed.enter(succeed(closed.members[2].state, founder, closed.heirs), founder, open_groups={GROUP_ID})
    agree(closed.heirs)


@pytest.mark.keeps("RB-01", "RB-05", "RB-07")
def test_groups_continue_through_many_generations(rng: random.Random) -> None:
    """Each group closes for one of another suite, or some of its members branch off: whoever founds it, and however."""
    members = parties(SUITE, "abcdef", rng)
    Room(members[0]).add(members[0], *members[1:])
    for generation in range(12):
        name, old, suite = f"generation {generation}".encode(), members, members[0].suite
        if rng.getrandbits(1) or len(members) == 2:
            suite = rng.choice(CIPHER_SUITES)
            closing = rng.choice(old).stage(reinit(suite, name))
            closer = next(party for party in old if party.leaf == closing.group_info.signer)
            for party in old:
                party.enter(closing) if party is closer else party.receive(closing.message)
        else:
            old = rng.sample(members, len(members) - 1)
        members = heirs_of(old, suite, rng)
        place = rng.randrange(len(members))
        found = succeed if old[place].state.closed_by else partial(branch, group_id=name)
        options: dict[str, Any] = {"force_path": bool(rng.getrandbits(1)), "welcome_with_tree": bool(rng.getrandbits(1))}
        staged = found(old[place].state, members[place], members, **options)
        tree = None if options["welcome_with_tree"] else staged.state.public.tree.encode()
        for party, heir in zip(old, members, strict=True):
            if heir is not members[place]:
                heir.join(welcome_of(staged), tree, predecessors=[party.state], open_groups={GROUP_ID})
        agree(members)


# What a successor owes its group


def deviating(closed: Closed, **changes: Any) -> StagedCommit:
    """A founder who says that the ReInit asked for something else."""
    asked = replace(closed.asked, **changes)
    founder = closed.heirs[0]
    return succeed(replace(closed.state, closed_by=asked), founder, closed.heirs)


@pytest.mark.breaks("RB-01")
@pytest.mark.parametrize("changes", [{"group_id": b"another"}, {"extensions": (REQUIRED,)}, {"extensions": ()}])
def test_a_successor_is_what_the_reinit_asked_for(rng: random.Random, changes: dict[str, Any]) -> None:
    had = () if changes.get("extensions") else (Extension(ExtensionType.EXTERNAL_SENDERS, b"\x00"),)
    closed = Closed(rng, reinit(extensions=had))
    closed.refuse("RB-01", welcome_of(deviating(closed, **changes)), closed.heirs[1])


@pytest.mark.breaks("RB-01")
def test_a_successor_has_the_suite_that_the_reinit_asked_for(rng: random.Random) -> None:
    closed = Closed(rng, reinit(cipher_suite(3)))
    closed.heirs = heirs_of(closed.members, SUITE, rng)
    closed.refuse("RB-01", welcome_of(deviating(closed, cipher_suite=1)), closed.heirs[1])


@pytest.mark.breaks("RB-01")
def test_a_successor_has_the_version_that_the_reinit_asked_for(closed: Closed) -> None:
    welcome = welcome_of(deviating(closed))
    later = replace(closed.members[1].state, closed_by=replace(closed.asked, version=2))
    closed.refuse("RB-01", welcome, closed.heirs[1], predecessors=[later])
    with pytest.raises(UnsupportedError):
        create_successor(later, closed.heirs[1].client, [], ALWAYS, closed.heirs[1].random)


def forged(party: Party, signer: Party, staged: StagedCommit, predecessor: GroupState, **alterations: Any) -> Welcome:
    """A successor's Welcome with something altered."""
    (link,) = staged.applied.psk_ids
    secret = derive_psk_secret(party.suite, [(link, predecessor.secrets.resumption_psk)])
    return forge_welcome(party, signer, welcome_of(staged), psk_secret=secret, **alterations)


@pytest.mark.breaks("RB-02")
@pytest.mark.parametrize("epoch", [2, 2**64 - 1])
def test_others_see_a_successor_first_at_epoch_1(closed: Closed, epoch: int) -> None:
    def alter(context: GroupContext) -> GroupContext:
        return replace(context, epoch=epoch)

    staged = succeed(closed.state, closed.heirs[0], closed.heirs)
    heir = closed.heirs[1]
    closed.refuse("RB-02", forged(heir, closed.heirs[0], staged, closed.state, alter_context=alter), heir)
    heir.join(forged(heir, closed.heirs[0], staged, closed.state), predecessors=[closed.members[1].state])


@pytest.mark.breaks("RB-02")
def test_others_see_a_branch_first_at_epoch_1(opened: Open) -> None:
    staged = branch(opened.state, opened.heirs[0], opened.heirs)
    welcome = forged(
        opened.heirs[1], opened.heirs[0], staged, opened.state, alter_context=lambda context: replace(context, epoch=2)
    )
    opened.refuse("RB-02", welcome, opened.heirs[1])


@pytest.mark.breaks("RB-03", "RB-16")
def test_a_successor_names_the_epoch_after_the_reinit(closed: Closed) -> None:
    too_early = replace(closed.before, closed_by=closed.asked)
    welcome = welcome_of(succeed(too_early, closed.heirs[0], closed.heirs))
    closed.refuse("RB-03", welcome, closed.heirs[1])


@pytest.mark.breaks("RB-03", "RB-16")
def test_a_successor_is_joined_after_the_reinit_was_processed_and_not_before(rng: random.Random) -> None:
    room, (alice, bob, *others) = room_of(rng)
    staged = alice.stage(reinit())
    alice.enter(staged)
    heirs = heirs_of([alice, bob, *others], SUITE, rng)
    welcome = welcome_of(succeed(alice.state, heirs[0], heirs))
    with refusing("RB-03", bob):
        heirs[1].join(welcome, predecessors=[bob.state])
    bob.receive(staged.message)
    heirs[1].join(welcome, predecessors=[bob.state])
    assert heirs[1].state.secrets.epoch_authenticator == heirs[0].state.secrets.epoch_authenticator
    assert room.follower.context.epoch == bob.epoch - 1


@pytest.mark.breaks("RB-03")
def test_a_group_that_names_no_predecessor_is_no_successor(closed: Closed, rng: random.Random) -> None:
    founder, heir, *_ = closed.heirs
    founder.create(b"successor")
    staged = founder.stage(*(Add(package) for package in key_packages(founder, closed.heirs)))
    closed.refuse("RB-03", welcome_of(staged), heir)
    # Whoever did not ask for a successor joins it as any group.
    heir.join(welcome_of(staged))


@pytest.mark.breaks("RB-03")
def test_a_closed_group_is_not_branched_from(closed: Closed) -> None:
    with pytest.raises(StateError):
        branch(closed.state, closed.heirs[0], closed.heirs)
    welcome = welcome_of(branch(replace(closed.state, closed_by=None), closed.heirs[0], closed.heirs))
    closed.refuse("RB-03", welcome, closed.heirs[1])


@pytest.mark.breaks("RB-04", "CC-13")
def test_only_a_closed_group_has_a_successor(opened: Open, rng: random.Random) -> None:
    heirs = heirs_of(opened.members, SUITE, rng)
    with refusing("CC-13", opened.members[0]):
        succeed(opened.state, heirs[0], heirs)
    welcome = welcome_of(succeed(replace(opened.state, closed_by=reinit()), heirs[0], heirs))
    bob = opened.members[1]
    with refusing("RB-04", bob):
        heirs[1].join(welcome, predecessors=[bob.state])


@pytest.mark.breaks("RB-05")
def test_everybody_is_in_the_successor(closed: Closed) -> None:
    founder, bob, carol, dan = closed.heirs
    with refusing("RB-05"):
        succeed(closed.state, founder, [founder, bob, carol])
    # A founder that forgot somebody.
    tree = closed.state.public.tree.remove_all([LeafIndex(3)])
    forgetful = replace(closed.state, public=replace(closed.state.public, tree=tree))
    closed.refuse("RB-05", welcome_of(succeed(forgetful, founder, [founder, bob, carol])), bob)
    # Somebody who comes twice is not somebody else.
    again = heirs_of([closed.members[2]], SUITE, random.Random(7))
    closed.refuse("RB-05", welcome_of(succeed(forgetful, founder, [founder, bob, carol, *again])), bob)
    assert not dan.bundles


@pytest.mark.breaks("RB-06")
def test_nothing_is_sent_in_a_closed_group(closed: Closed) -> None:
    alice, bob, *_ = closed.members
    deviant = alice
    deviant.state = replace(alice.state, closed_by=None)
    said, proposed, committed = deviant.send(b"text"), forge_message(deviant, Remove(LeafIndex(2))), deviant.stage().message
    for message in (said, proposed, committed, forge_commit(deviant)):
        with refusing("RB-06", bob):
            bob.receive(message)


@pytest.mark.breaks("SQ-02", "CP-12")
def test_a_member_of_a_closed_group_sends_nothing(closed: Closed) -> None:
    alice = closed.members[0]
    for send in (lambda: alice.send(b"x"), lambda: alice.propose(Remove(LeafIndex(1))), alice.stage):
        with refusing("CP-12", alice):
            send()


@pytest.mark.breaks("RB-07")
def test_somebody_who_was_no_member_founds_no_successor(closed: Closed) -> None:
    founder = closed.heirs[0]
    with pytest.raises(NotAMemberError, match="RB-07"):
        succeed(replace(closed.state, own_leaves=frozenset()), founder, closed.heirs)
    # All of the group is public but its keys.
    guess = replace(closed.state, secrets=replace(closed.state.secrets, resumption_psk=closed.before.secrets.resumption_psk))
    with pytest.raises(DecryptionError):
        closed.heirs[1].join(welcome_of(succeed(guess, founder, closed.heirs)), predecessors=[closed.members[1].state])


@pytest.mark.breaks("RB-08")
def test_the_nonce_of_the_link_is_as_long_as_the_new_suite_wants_it(rng: random.Random) -> None:
    closed = Closed(rng, reinit(cipher_suite(5)))
    founder, heir, *_ = closed.heirs
    staged = succeed(closed.state, founder, closed.heirs)

    def shorten(secrets: GroupSecrets) -> GroupSecrets:
        return replace(secrets, psks=tuple(replace(psk, psk_nonce=psk.psk_nonce[:32]) for psk in secrets.psks))

    closed.refuse("WL-06", forged(heir, founder, staged, closed.state, alter_secrets=shorten), heir)


@pytest.mark.breaks("RB-09", "KP-01")
def test_keys_of_the_old_suite_do_not_serve_in_the_new_one(rng: random.Random) -> None:
    closed = Closed(rng, reinit(cipher_suite(2)))
    founder, *_ = closed.heirs
    with refusing("RB-09", closed.members[0]):
        create_successor(closed.state, closed.members[0].client, [], ALWAYS, founder.random)
    old = [member.key_package() for member in closed.members[1:]]
    with refusing("KP-01"):
        create_successor(closed.state, founder.client, old, ALWAYS, founder.random)


# Branches


@BY_SUITE
@pytest.mark.keeps("RB-10", "RB-11", "RB-12")
def test_some_members_branch_off(suite: CipherSuite, rng: random.Random) -> None:
    room, members = room_of(rng, "abcd", suite)
    heirs = heirs_of(members[:3], suite, rng)
    staged = branch(members[1].state, heirs[1], heirs, extensions=[REQUIRED], force_path=True)
    for member, heir in zip(members, heirs, strict=False):
        if heir is not heirs[1]:
            heir.join(welcome_of(staged), predecessors=[member.state], open_groups={GROUP_ID})
    assert heirs[0].state.public.context.extensions == (REQUIRED,)
    (link,) = staged.applied.psk_ids
    assert link.source == ResumptionPSK(ResumptionPSKUsage.BRANCH, GROUP_ID, room.follower.context.epoch)
    agree(heirs)
    # The group itself goes on.
    room.commit(members[3])
    room.talk()


@pytest.mark.keeps("RB-11")
def test_a_branch_may_grow_from_any_epoch_that_is_kept(opened: Open) -> None:
    kept = [[member.state] for member in opened.members]
    for _ in range(3):
        opened.room.commit(opened.members[3])
        for states, member in zip(kept, opened.members, strict=True):
            states.append(member.state)
    founder, bob, carol = opened.heirs
    welcome = welcome_of(branch(kept[0][1], founder, opened.heirs))
    bob.join(welcome, predecessors=kept[1])
    opened.refuse("RB-11", welcome, carol)
    carol.join(welcome, predecessors=[kept[2][1]])
    agree(opened.heirs)


@pytest.mark.breaks("RB-11")
def test_a_branch_names_the_group_that_it_was_asked_for_from(opened: Open, rng: random.Random) -> None:
    founder, bob, _ = opened.heirs
    founder.create(b"branch")
    plain = founder.stage(*(Add(package) for package in key_packages(founder, opened.heirs)))
    opened.refuse("RB-11", welcome_of(plain), bob)
    other, _ = room_of(rng, "abc")
    welcome = welcome_of(branch(other.members[0].state, founder, opened.heirs))
    opened.room.commit(opened.members[0])
    opened.refuse("RB-11", welcome, bob)


@pytest.mark.breaks("RB-11")
def test_a_branch_of_another_group_is_refused(opened: Open, rng: random.Random) -> None:
    members = parties(SUITE, "abc", rng)
    other = Room(members[0])
    other.add(members[0], *members[1:])
    public = members[0].state.public
    elsewhere = replace(members[0].state, public=replace(public, context=replace(public.context, group_id=b"elsewhere")))
    assert public.context.epoch == opened.state.public.context.epoch
    welcome = welcome_of(branch(elsewhere, opened.heirs[0], opened.heirs))
    opened.refuse("RB-11", welcome, opened.heirs[1])


@pytest.mark.breaks("RB-10")
def test_a_branch_keeps_the_suite(opened: Open, rng: random.Random) -> None:
    public = opened.state.public
    moved = replace(
        opened.state,
        public=replace(public, suite=cipher_suite(2), context=replace(public.context, cipher_suite=2)),
    )
    opened.heirs = heirs_of(opened.members[:3], cipher_suite(2), rng)
    opened.refuse("RB-10", welcome_of(branch(moved, opened.heirs[0], opened.heirs)), opened.heirs[1])


@pytest.mark.breaks("RB-12")
def test_only_members_branch_off(opened: Open, rng: random.Random) -> None:
    founder, bob, _ = opened.heirs
    (stranger,) = parties(SUITE, "s", rng)
    public = opened.state.public
    with refusing("RB-12", opened.members[0]):
        branch(opened.state, founder, [founder, bob, stranger])
    # A founder that takes somebody for a member who is none.
    tree, _ = public.tree.add(stranger.key_package().leaf_node)
    deceived = replace(opened.state, public=replace(public, tree=tree))
    welcome = welcome_of(branch(deceived, founder, [founder, bob, stranger]))
    opened.refuse("RB-12", welcome, bob)
    (twin,) = heirs_of([opened.members[1]], SUITE, rng)
    tree, _ = public.tree.add(twin.key_package().leaf_node)
    deceived = replace(opened.state, public=replace(public, tree=tree))
    opened.refuse("RB-12", welcome_of(branch(deceived, founder, [founder, bob, twin])), bob)


class Families(OpenPolicy):
    """Clients are known by the first letter of their name."""

    def client_of(self, leaf_node: LeafNode) -> Hashable | None:
        assert isinstance(leaf_node.credential, BasicCredential)
        return leaf_node.credential.identity[:1]


@pytest.mark.keeps("RB-05", "RB-12")
def test_the_application_says_who_is_the_same_client(rng: random.Random) -> None:
    room, members = room_of(rng, "ab")
    renamed = parties(SUITE, ["a2", "b2"], rng)
    with refusing("RB-12"):
        branch(members[0].state, renamed[0], renamed)
    welcome = welcome_of(branch(members[0].state, renamed[0], renamed, policy=Families()))
    with refusing("RB-12"):
        renamed[1].join(welcome, predecessors=[members[1].state])
    renamed[1].join(welcome, predecessors=[members[1].state], policy=Families())
    agree(renamed)
    room.talk()


# What links two groups, and where it may stand


@pytest.mark.breaks("WL-04")
def test_a_group_that_continues_another_is_not_joined_as_any_group(closed: Closed, opened: Open) -> None:
    everything: dict[str, Any] = {"psks": lambda _: bytes(closed.state.secrets.resumption_psk)}
    welcome = welcome_of(succeed(closed.state, closed.heirs[0], closed.heirs))
    closed.refuse("WL-04", welcome, closed.heirs[1], predecessors=[], **everything)
    welcome = welcome_of(branch(opened.state, opened.heirs[0], opened.heirs))
    opened.refuse("WL-04", welcome, opened.heirs[1], predecessors=[], **everything)


@pytest.mark.breaks("WL-05")
@pytest.mark.parametrize("usage", [ResumptionPSKUsage.REINIT, ResumptionPSKUsage.BRANCH])
def test_a_group_continues_one_group_at_most(closed: Closed, usage: ResumptionPSKUsage) -> None:
    staged = succeed(closed.state, closed.heirs[0], closed.heirs)
    (link,) = staged.applied.psk_ids
    epoch = closed.state.public.context.epoch
    other = PreSharedKeyID(ResumptionPSK(usage, GROUP_ID, epoch), bytes(32))
    psk = closed.state.secrets.resumption_psk

    def both(secrets: GroupSecrets) -> GroupSecrets:
        return replace(secrets, psks=(link, other))

    heir = closed.heirs[1]
    welcome = forged(heir, closed.heirs[0], staged, closed.state, alter_secrets=both, psks=[(link, psk), (other, psk)])
    closed.refuse("WL-05", welcome, heir)


@pytest.mark.breaks("RB-13", "PSK-07")
@pytest.mark.parametrize("usage", [ResumptionPSKUsage.REINIT, ResumptionPSKUsage.BRANCH])
def test_a_link_is_injected_by_founders_only(room: Room, usage: ResumptionPSKUsage) -> None:
    alice, bob, *_ = room.members
    context = room.follower.context
    link = PreSharedKey(PreSharedKeyID(ResumptionPSK(usage, context.group_id, context.epoch), bytes(32)))
    key = alice.state.secrets.resumption_psk
    with refusing("RB-13", alice):
        alice.propose(link)
    with refusing("RB-13", bob):
        bob.receive(forge_message(alice, link))
    everything: dict[str, Any] = {"psks": lambda _: key}
    forced: tuple[dict[str, Any], ...] = ({}, {"link": link.psk})
    for options in forced:
        with refusing("PSK-07", alice):
            alice.stage(link, **everything, **options)
    with refusing("PSK-07", bob):
        bob.receive(forge_commit(alice, link, psks=[(link.psk, key)]), **everything)


@pytest.mark.breaks("PSK-07")
def test_a_founders_first_commit_holds_one_link_only(opened: Open) -> None:
    alice = opened.heirs[0]
    alice.create(b"branch")
    context = opened.state.public.context
    one, other = (
        PreSharedKeyID(ResumptionPSK(ResumptionPSKUsage.BRANCH, context.group_id, context.epoch), bytes((number,)) * 32)
        for number in (1, 2)
    )
    with refusing("PSK-07", alice):
        alice.stage(PreSharedKey(one), PreSharedKey(other), psks=lambda _: b"key", link=one)


@pytest.mark.breaks("WL-09", "RB-14")
def test_a_new_group_has_an_id_of_its_own(opened: Open, rng: random.Random) -> None:
    founder, bob, _ = opened.heirs
    with refusing("WL-09", opened.members[0]):
        branch(opened.state, founder, opened.heirs, GROUP_ID)
    welcome = welcome_of(branch(opened.state, founder, opened.heirs))
    opened.refuse("WL-09", welcome, bob, open_groups={b"branch"})
    # A founder that does not care.
    public = opened.state.public
    staged = branch(opened.state, founder, opened.heirs)
    bold = forged(
        bob, founder, staged, opened.state, alter_context=lambda context: replace(context, group_id=public.context.group_id)
    )
    opened.refuse("WL-09", bold, bob)
    stranger, newcomer = parties(SUITE, "sn", rng)
    stranger.create(GROUP_ID)
    plain = stranger.stage(Add(newcomer.key_package()))
    with refusing("WL-09"):
        newcomer.join(welcome_of(plain), open_groups={GROUP_ID})
    newcomer.join(welcome_of(plain), open_groups={b"another"})


@pytest.mark.breaks("WL-09")
def test_a_successors_id_is_taken_where_it_is_that_of_a_third_group(closed: Closed) -> None:
    welcome = welcome_of(succeed(closed.state, closed.heirs[0], closed.heirs))
    closed.refuse("WL-09", welcome, closed.heirs[1], open_groups={b"successor"})


@pytest.mark.breaks("RB-15")
def test_everybody_supports_what_the_reinit_asks_for(rng: random.Random) -> None:
    closed = Closed(rng, reinit(extensions=(Extension(APP, b""),)))
    founder, bob, carol, dan = closed.heirs
    with refusing("LN-04"):
        succeed(closed.state, founder, closed.heirs)
    capable = default_capabilities((1,), extensions=(APP,))
    for heir in (founder, bob, carol):
        heir.client = replace(heir.client, capabilities=capable)
    with refusing("LN-04"):
        succeed(closed.state, founder, closed.heirs)
    dan.client = replace(dan.client, capabilities=capable)
    for heir in closed.heirs:
        heir.bundles.clear()
    closed.enter(succeed(closed.state, founder, closed.heirs), founder)
    agree(closed.heirs)


@pytest.mark.breaks("RB-15")
def test_who_does_not_support_a_successor_does_not_join_it(rng: random.Random) -> None:
    closed = Closed(rng, reinit(extensions=(Extension(APP, b""),)))
    staged = deviating(closed, extensions=())
    heir = closed.heirs[1]
    welcome = forged(
        heir,
        closed.heirs[0],
        staged,
        closed.state,
        alter_context=lambda context: replace(context, extensions=(Extension(APP, b""),)),
    )
    closed.refuse("LN-04", welcome, heir)


def test_a_group_is_checked_against_its_predecessor_by_anybody_who_follows_both(opened: Open) -> None:
    staged = branch(opened.state, opened.heirs[0], opened.heirs)
    check_successor(OpenPolicy(), opened.state, staged.state.public)


def test_a_founder_who_cannot_sign_for_its_leaf_founds_nothing(closed: Closed, rng: random.Random) -> None:
    client = closed.heirs[0].client
    other = Client.create(SUITE, BasicCredential(b"a"), rng.randbytes)
    muddled = replace(client, signature_private_key=other.signature_private_key)
    welcome = create_successor(closed.state, muddled, key_packages(closed.heirs[0], closed.heirs), ALWAYS, rng.randbytes)
    closed.refuse("WL-08", welcome_of(welcome), closed.heirs[1])


@pytest.mark.keeps("PSK-02", "PSK-09")
def test_keys_are_kept_and_named_anew_each_time(closed: Closed, rng: random.Random) -> None:
    keeper = PSKKeeper().add_external(b"name", b"key").add_group(closed.state)
    first, second = (name_psk(SUITE, ExternalPSK(b"name"), rng.randbytes) for _ in range(2))
    assert first != second
    assert keeper(first) == keeper(second) == b"key"
    assert keeper(PreSharedKeyID(ExternalPSK(b"other"), bytes(32))) is None
    for epoch, psk in closed.state.resumption_psks.items():
        for usage in ResumptionPSKUsage:
            found = keeper(name_psk(SUITE, ResumptionPSK(usage, GROUP_ID, epoch), rng.randbytes))
            assert found == (psk if usage is ResumptionPSKUsage.APPLICATION else None)
    assert keeper(name_psk(SUITE, ResumptionPSK(ResumptionPSKUsage.APPLICATION, b"other", 1), rng.randbytes)) is None
    assert "key" not in repr(keeper)
