"""Values that stand for nothing: sent where RFC 9420 allows it, and no support of anything (RFC 9420, Section 13.5)."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest

from dmls.errors import InvalidLeafNodeError
from dmls.mls.crypto.suites import CIPHER_SUITES, CipherSuite, cipher_suite
from dmls.mls.group.external_proposal import propose_own_addition
from dmls.mls.group.leaf import Client, add_grease, create_key_package, default_capabilities
from dmls.mls.group.validation import check_key_package
from dmls.mls.messages.credential import BasicCredential
from dmls.mls.messages.extensions import Extension, RequiredCapabilities, make_extension
from dmls.mls.messages.grease import grease_capabilities, grease_extension, grease_value, without_grease
from dmls.mls.messages.leaf_node import Capabilities
from dmls.mls.messages.proposal import Add, GroupContextExtensions
from dmls.mls.messages.registry import GREASE_VALUES, ExtensionType
from tests.support.forge import forge_commit
from tests.support.groups import ALWAYS, Party, Room, parties, refusing

SUITE = cipher_suite(1)
LISTS = ("cipher_suites", "extensions", "proposals", "credentials")


def greased(party: Party) -> Party:
    party.client = add_grease(party.client, party.random)
    return party


# Sending


@pytest.mark.keeps("EX-08", "EX-09")
def test_values_and_places_vary_with_the_source_of_randomness(rng: random.Random) -> None:
    plain = default_capabilities((1, 2), extensions=(0xF001,), credentials=(1, 2))
    drawn = Counter(grease_value(rng.randbytes) for _ in range(3000))
    assert drawn.keys() == GREASE_VALUES
    assert min(drawn.values()) > 100
    made = {grease_capabilities(plain, rng.randbytes) for _ in range(400)}
    assert len(made) == 2 * len(GREASE_VALUES)
    for capabilities in made:
        assert without_grease(capabilities) == plain
        assert capabilities.versions == plain.versions
        (value,) = {number for name in LISTS for number in getattr(capabilities, name)} & GREASE_VALUES
        assert all(getattr(capabilities, name).count(value) == 1 for name in LISTS)
    lengths = {len(grease_extension(rng.randbytes).extension_data) for _ in range(400)}
    assert lengths == set(range(16))


@pytest.mark.keeps("EX-08", "KP-13", "LN-05")
@pytest.mark.parametrize("suite", CIPHER_SUITES, ids=lambda suite: f"suite{suite.id}")
def test_key_packages_hold_grease_when_asked_to(suite: CipherSuite, rng: random.Random) -> None:
    client = Client.create(suite, BasicCredential(b"a"), rng.randbytes)
    lasting = Extension(ExtensionType.LAST_RESORT, b"")
    client = replace(client, capabilities=replace(client.capabilities, extensions=(ExtensionType.LAST_RESORT,)))
    seen = set()
    for _ in range(20):
        made = create_key_package(suite, client, ALWAYS, rng.randbytes, extensions=(lasting,), with_grease=True).key_package
        check_key_package(suite, made)
        (value,) = GREASE_VALUES.intersection(made.leaf_node.capabilities.extensions)
        assert [item.extension_type for item in made.leaf_node.extensions] == [value]
        assert [item.extension_type for item in made.extensions] == [ExtensionType.LAST_RESORT, value]
        assert without_grease(made.leaf_node.capabilities) == client.capabilities
        seen.add(value)
    assert len(seen) > 3
    plain = create_key_package(suite, client, ALWAYS, rng.randbytes).key_package
    assert plain.leaf_node.capabilities == client.capabilities
    assert plain.extensions == plain.leaf_node.extensions == ()


@pytest.mark.breaks("KP-13", "EX-08")
def test_a_key_package_with_grease_that_its_leaf_does_not_list_is_not_made(rng: random.Random) -> None:
    client = Client.create(SUITE, BasicCredential(b"a"), rng.randbytes)
    with refusing("KP-07"):
        create_key_package(SUITE, client, ALWAYS, rng.randbytes, extensions=(grease_extension(rng.randbytes),))
    with refusing("LN-05"):
        create_key_package(
            SUITE, replace(client, leaf_extensions=(grease_extension(rng.randbytes),)), ALWAYS, rng.randbytes, with_grease=False
        )


@pytest.mark.keeps("EX-08")
def test_a_client_gets_its_grease_once(rng: random.Random) -> None:
    client = add_grease(Client.create(SUITE, BasicCredential(b"a"), rng.randbytes), rng.randbytes)
    assert add_grease(client, rng.randbytes) is client
    made = create_key_package(SUITE, client, ALWAYS, rng.randbytes, with_grease=True).key_package
    assert made.leaf_node.capabilities == client.capabilities
    assert made.leaf_node.extensions == client.leaf_extensions
    assert [item.extension_type for item in made.extensions] == [client.leaf_extensions[0].extension_type]


@pytest.mark.keeps("EX-02", "EX-06", "WL-22")
def test_a_life_with_grease_everywhere(rng: random.Random) -> None:
    alice, bob, carol, dave = (greased(party) for party in parties(SUITE, "abcd", rng))
    room = Room(alice)
    additions = [Add(party.key_package(with_grease=True)) for party in (bob, carol)]
    room.commit(
        alice,
        *additions,
        joiners=[bob, carol],
        group_info_extensions=lambda _: (grease_extension(rng.randbytes),),
    )
    room.commit(bob)
    info = carol.group_info(grease=rng.randbytes)
    assert GREASE_VALUES.intersection(item.extension_type for item in info.extensions)
    for party in room.members:
        party.receive(dave.join_externally(room.follower, info).message)


# No support


def requiring(**lists: tuple[int, ...]) -> Extension:
    required = RequiredCapabilities(lists.get("extensions", ()), lists.get("proposals", ()), lists.get("credentials", ()))
    return make_extension(ExtensionType.REQUIRED_CAPABILITIES, required)


def listing(value: int) -> Capabilities:
    """Capabilities that hold one GREASE value, in which a whole group may happen to agree."""
    return Capabilities((1,), (1, value), (value,), (value,), (1, value))


@pytest.mark.breaks("EX-07")
@pytest.mark.parametrize("kind", ["extensions", "proposals", "credentials"])
def test_a_group_that_requires_grease_is_not_founded(rng: random.Random, kind: str) -> None:
    (alice,) = parties(SUITE, ["alice"], rng, listing(0x3A3A))
    with refusing("LN-03"):
        alice.create(extensions=[requiring(**{kind: (0x3A3A,)})])
    assert not alice.is_member


@pytest.mark.breaks("EX-07", "EX-05")
def test_a_group_whose_extensions_are_grease_is_not_joined(rng: random.Random) -> None:
    value = 0x3A3A
    alice, bob = parties(SUITE, "ab", rng, listing(value))
    (carol,) = parties(SUITE, "c", rng, replace(listing(value), extensions=(value, 0xF001)))
    room = Room(alice)
    room.add(alice, bob)
    change = GroupContextExtensions((Extension(value, b""),))
    # Nobody treats it apart on receipt, and all members list it; but nobody here would have begun with it.
    with refusing("EX-05", alice):
        alice.stage(change)
    message = forge_commit(alice, change)
    bob.receive(message)
    staged = bob.stage(Add(carol.key_package()))
    assert staged.welcome is not None
    with refusing("LN-04", carol):
        carol.join(staged.welcome)
    context = staged.state.public.context
    (dave,) = parties(SUITE, "d", rng, listing(value))
    with refusing("LN-04"):
        propose_own_addition(context, dave.key_package(), dave.client.signature_private_key)
    bob.enter(staged)
    with refusing("LN-04"):
        dave.join_externally(bob.state.public, bob.group_info())


@pytest.mark.breaks("EX-07")
def test_grease_is_no_promise_but_other_unknown_values_are(rng: random.Random) -> None:
    client = Client.create(SUITE, BasicCredential(b"a"), rng.randbytes, capabilities=listing(0x3A3A))
    create_key_package(SUITE, client, ALWAYS, rng.randbytes)
    for name in ("cipher_suites", "credentials"):
        listed = replace(client.capabilities, **{name: (1, 0x3A3B)})
        with pytest.raises(InvalidLeafNodeError, match="KP-10"):
            create_key_package(SUITE, replace(client, capabilities=listed), ALWAYS, rng.randbytes)
