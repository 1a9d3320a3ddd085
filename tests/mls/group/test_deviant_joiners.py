"""Joiners, and who lets them in, that do one thing another way than RFC 9420, Section 12.4.3, has it: nobody follows them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from dmls.ids import LeafIndex
from dmls.mls.codec import decode
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CipherSuite
from dmls.mls.group import external
from dmls.mls.group.commit import stage_own_path
from dmls.mls.group.external import StagedExternalCommit
from dmls.mls.group.follower import open_public_message
from dmls.mls.group.leaf import default_capabilities
from dmls.mls.group.transition import add_joiner, follow_commit
from dmls.mls.messages.extensions import Extension, ExternalSender, ExternalSenders, make_extension
from dmls.mls.messages.group_info import GroupInfo
from dmls.mls.messages.message import ExternalSenderIndex, MLSMessage, PrivateMessage
from dmls.mls.messages.proposal import Add, GroupContextExtensions, Remove
from dmls.mls.messages.registry import ExtensionType, WireFormat
from dmls.mls.messages.welcome import Welcome
from dmls.mls.tree.nodes import ParentNode
from tests.support.breaches import APP
from tests.support.forge import TreeNode, forge_external_commit, forge_message, forge_welcome, sign_group_info
from tests.support.groups import ANYBODY, Party, Room, disagreeing, parties, refusing, room_of


@pytest.fixture
def outsider(rng: random.Random) -> Party:
    return Party(room_of(rng, "a")[0].suite, "outsider", rng.randbytes)


def refuse_all(room: Room, message: bytes) -> None:
    for party in room.members:
        with disagreeing(party):
            party.receive(message)


# External commits


@pytest.mark.breaks("XC-09")
def test_the_init_secret_is_exported_under_its_own_label(room: Room, outsider: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    seal = CipherSuite.export_external_init_seal

    def hash_of(self: CipherSuite, public_key: bytes, source: Any) -> tuple[bytes, Secret]:
        kem_output, secret = seal(self, public_key, source)
        return kem_output, Secret(self.hash(secret))

    with monkeypatch.context() as patch:
        patch.setattr(CipherSuite, "export_external_init_seal", hash_of)
        staged = outsider.join_externally(room.follower, room.members[0].group_info())
    for party in room.members:
        with refusing("CP-10", party):
            party.receive(staged.message)


@pytest.mark.breaks("XC-10")
def test_a_joiner_takes_the_leftmost_blank_leaf(room: Room, outsider: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob, *_ = room.members
    room.commit(alice, Remove(bob.leaf), leavers=[bob])

    def add_at_the_end(tree: Any, leaf_node: Any) -> Any:
        (widened, _), filler = add_joiner(tree, leaf_node), LeafIndex(1)
        tree, index = add_joiner(widened, leaf_node)
        return tree.remove(filler), index

    with monkeypatch.context() as patch:
        patch.setattr(external, "add_joiner", add_at_the_end)
        staged = outsider.join_externally(room.follower, alice.group_info())
    assert staged.leaf_index == 4
    refuse_all(room, staged.message)
    assert outsider.join_externally(room.follower, alice.group_info()).leaf_index == 1


@pytest.mark.breaks("XC-10")
def test_a_joiner_that_replaces_its_leaf_finds_its_place_after_the_removal(room: Room, outsider: Party) -> None:
    alice, bob, carol, _ = room.members
    room.commit(alice, Remove(bob.leaf), leavers=[bob])
    info = alice.group_info()
    # The leaf given up is not the leftmost blank one.
    message = forge_external_commit(outsider, room.follower, info, Remove(carol.leaf), place=LeafIndex(carol.leaf))
    with refusing("LN-02", alice):
        alice.receive(message)
    assert alice.process(forge_external_commit(outsider, room.follower, info, Remove(carol.leaf))).transition.committer == 1


@pytest.mark.breaks("XC-17")
@pytest.mark.parametrize("place", [0, 3, 5])
def test_the_joiners_leaf_is_signed_for_the_place_it_takes(room: Room, outsider: Party, place: int) -> None:
    message = forge_external_commit(outsider, room.follower, room.members[0].group_info(), place=LeafIndex(place))
    for party in room.members:
        with refusing("LN-02", party):
            party.receive(message)


@pytest.mark.breaks("XC-18")
def test_the_joiners_leaf_is_unmerged_nowhere(rng: random.Random, outsider: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above a joiner's path there is nothing; a joiner that lists itself in a parent changes what everybody agreed on."""
    room, members = room_of(rng, "abcde")
    for party in members:
        room.commit(party)

    def list_itself(*args: Any) -> Any:
        staged = stage_own_path(*args)
        tree = staged.tree
        above = tree.filtered_direct_path(LeafIndex(5))[0]
        parent = tree.parent(above)
        assert parent is not None
        listed = {above: ParentNode(parent.encryption_key, parent.parent_hash, (5,))}
        higher = tree.filtered_direct_path(LeafIndex(5))[1:]
        others = {node: held for node in higher if (held := tree.parent(node)) is not None}
        return replace(staged, tree=tree.replace_path(LeafIndex(5), staged.leaf_node, {**others, **listed}))

    with monkeypatch.context() as patch:
        patch.setattr(external, "stage_own_path", list_itself)
        staged = outsider.join_externally(room.follower, room.members[0].group_info())
    assert staged.leaf_index == 5
    refuse_all(room, staged.message)


@pytest.mark.breaks("XC-14", "WL-20")
def test_the_transcript_goes_on_from_the_confirmation_tag_of_the_group_info(room: Room, rng: random.Random) -> None:
    """Who joined with another tag, which it cannot check, makes commits that nobody accepts."""
    alice = room.members[0]
    (outsider,) = parties(room.suite, "o", rng)
    spoilt = replace(room.follower, interim_transcript_hash=bytes(32))
    staged = outsider.join_externally(spoilt, alice.group_info())
    refuse_all(room, staged.message)


@pytest.mark.breaks("XC-07")
def test_an_external_commit_is_public(room: Room, outsider: Party) -> None:
    """Neither is it sent as a member, nor sealed: whatever is sealed is a member's."""
    alice, bob, *_ = room.members
    staged: StagedExternalCommit = outsider.join_externally(room.follower, alice.group_info())
    outsider.state = alice.state
    commit = staged.content.content.content
    sealed = forge_message(outsider, commit, wire_format=WireFormat.PRIVATE_MESSAGE)
    assert isinstance(decode(MLSMessage, sealed).body, PrivateMessage)
    with refusing("FRM-09", bob):
        bob.receive(sealed)


# Proposals from outside


@pytest.mark.breaks("PR-15")
def test_a_proposal_from_outside_is_of_this_group_and_epoch_and_signed_without_its_context(room: Room, outsider: Party) -> None:
    alice, bob, *_ = room.members
    sender = ExternalSender(outsider.client.signature_key, outsider.client.credential)
    extension = make_extension(ExtensionType.EXTERNAL_SENDERS, ExternalSenders((sender,)))
    room.commit(alice, GroupContextExtensions((extension,)))
    outsider.state = alice.state
    guard, body = ExternalSenderIndex(0), Remove(bob.leaf)
    for rule, changes in (("FRM-12", {"epoch": 0}), ("FRM-12", {"epoch": 99}), ("FRM-11", {"group_id": b"other"})):
        with refusing(rule, bob):
            bob.receive(forge_message(outsider, body, sender=guard, alter=partial(replace, **changes)))
    genuine = forge_message(outsider, body, sender=guard, alter_context=lambda context: replace(context, tree_hash=bytes(32)))
    bob.receive(genuine)


# Welcomes


def staged_welcome(room: Room, newcomer: Party) -> Welcome:
    staged = room.members[0].stage(Add(newcomer.key_package()), force_path=True)
    assert staged.welcome is not None
    return staged.welcome


@pytest.mark.breaks("WL-07")
def test_the_group_info_of_a_welcome_is_sealed_without_associated_data(
    room: Room, newcomer: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    seal = CipherSuite.aead_seal

    def with_data(self: CipherSuite, key: bytes, nonce: bytes, aad: bytes, plaintext: bytes) -> bytes:
        return seal(self, key, nonce, aad + b"data", plaintext)

    with monkeypatch.context() as patch:
        patch.setattr(CipherSuite, "aead_seal", with_data)
        sealed = staged_welcome(room, newcomer)
    with disagreeing():
        newcomer.join(sealed)
    newcomer.join(staged_welcome(room, newcomer))


@pytest.mark.breaks("WL-03")
def test_the_group_secrets_of_a_welcome_are_sealed_under_their_label(
    room: Room, newcomer: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealer = CipherSuite.sealer

    def relabelled(self: CipherSuite, _label: str, context: bytes) -> Any:
        return sealer(self, "UpdatePathNode", context)

    with monkeypatch.context() as patch:
        patch.setattr(CipherSuite, "sealer", relabelled)
        package = newcomer.key_package()
        staged = room.members[0].stage(Add(package))
    assert staged.welcome is not None
    with disagreeing():
        newcomer.join(staged.welcome)


@pytest.mark.breaks("WL-21", "WL-24")
def test_a_newcomer_does_not_enter_a_group_that_asks_for_what_it_lacks(rng: random.Random) -> None:
    suite = room_of(rng, "a")[0].suite
    capable = default_capabilities((suite.id,), extensions=(APP,))
    asking = {
        "LN-04": Extension(APP, b""),
        "LN-03": Extension(ExtensionType.REQUIRED_CAPABILITIES, bytes((2, APP >> 8, APP & 255, 0, 0))),
    }
    for rule, extension in asking.items():
        room = Room(parties(suite, "r", rng, capable)[0], extensions=(extension,))
        (newcomer,) = parties(suite, "n", rng, capable)
        staged = room.members[0].stage(Add(newcomer.key_package()))
        assert staged.welcome is not None
        # The group's members let it in, but it is not what its key package says.
        (ref, bundle) = next(iter(newcomer.bundles.items()))
        leaf = replace(bundle.key_package.leaf_node, capabilities=default_capabilities((suite.id,)))
        newcomer.bundles[ref] = replace(bundle, key_package=replace(bundle.key_package, leaf_node=leaf))
        with refusing(rule):
            newcomer.join(staged.welcome)
        newcomer.bundles[ref] = bundle
        newcomer.join(staged.welcome)


@pytest.mark.breaks("WL-14")
def test_a_newcomer_checks_the_unmerged_leaves_and_the_keys_of_parents(rng: random.Random) -> None:
    room, members = room_of(rng)
    for party in members:
        room.commit(party)
    (newcomer,) = parties(room.suite, "n", rng)
    staged = members[1].stage(Add(newcomer.key_package()))
    assert staged.welcome is not None

    def alter(**changes: Any) -> Callable[[list[TreeNode]], list[TreeNode]]:
        def change(nodes: list[TreeNode]) -> list[TreeNode]:
            node = nodes[3]
            assert isinstance(node, ParentNode)
            nodes[3] = replace(node, **changes)
            return nodes

        return change

    key = staged.state.public.tree.leaf(LeafIndex(2))
    assert key is not None
    for rule, changes in (("TR-29", {"unmerged_leaves": (4,)}), ("TR-31", {"encryption_key": key.encryption_key})):
        spoilt = forge_welcome(newcomer, members[1], staged.welcome, alter_nodes=alter(**changes))
        with refusing(rule):
            newcomer.join(spoilt)


@pytest.mark.breaks("WL-23", "WL-26")
def test_a_tree_is_no_extension_of_the_group(room: Room, newcomer: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    package = newcomer.key_package()
    tree = Extension(ExtensionType.RATCHET_TREE, room.follower.tree.encode())
    with refusing("GC-09", room.members[1]):
        room.members[0].stage(GroupContextExtensions((tree,)))
    staged = room.members[0].stage(Add(package))
    assert staged.welcome is not None
    inside = forge_welcome(
        newcomer,
        room.members[0],
        staged.welcome,
        alter_context=lambda context: replace(context, extensions=(*context.extensions, tree)),
    )
    with refusing("GC-09"):
        newcomer.join(inside)
    twice = forge_welcome(
        newcomer, room.members[0], staged.welcome, alter_info=lambda info: replace(info, extensions=info.extensions * 2)
    )
    with refusing("WL-23"):
        newcomer.join(twice)


@pytest.mark.breaks("WL-22")
def test_extensions_that_are_ignored_are_signed_all_the_same(room: Room, newcomer: Party) -> None:
    welcome_ = staged_welcome(room, newcomer)
    unknown = Extension(0x0A0A, b"anything")

    def extend(info: GroupInfo) -> GroupInfo:
        return replace(info, extensions=(*info.extensions, unknown))

    spoilt = forge_welcome(newcomer, room.members[1], welcome_, alter_info=extend)
    with refusing("WL-08"):
        newcomer.join(spoilt)
    newcomer.join(forge_welcome(newcomer, room.members[0], welcome_, alter_info=extend))


def test_what_is_made_without_deviation_is_followed(room: Room, outsider: Party) -> None:
    info = room.members[1].group_info()
    assert sign_group_info(room.suite, info, room.members[1].client) == info
    message = forge_external_commit(outsider, room.follower, info)
    content = open_public_message(room.follower, decode(MLSMessage, message))
    assert follow_commit(room.follower, content, ANYBODY).committer == 4
    for party in room.members:
        party.process(message)
