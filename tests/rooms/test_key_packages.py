"""Key packages of own devices in a real store: kept with their private halves, claimed, used, and forgotten in time."""

from __future__ import annotations

import pytest

from devicestore import key_package_secrets
from devicestore.devices import Custody
from devicestore.errors import Conflict
from devicestore.key_packages import Claimant
from dmls.errors import InvalidKeyPackageError
from dmls.forks.aad import DMLS_PARAMS
from dmls.forks.graph import Device
from dmls.ids import DeviceId, UserId
from dmls.mls.codec import encode
from dmls.mls.group.leaf import KeyPackageBundle
from dmls.mls.limits import Limits
from dmls.mls.messages.extensions import RequiredCapabilities
from dmls.mls.messages.key_package import is_last_resort
from dmls.mls.messages.message import encode_message
from dmls.rooms.key_packages import (
    DMLS_REQUIRED,
    accepts,
    check_offer,
    claim_for,
    consume,
    keep_secrets,
    load_bundles,
)
from tests.rooms.homes import Home, World

ALICE = UserId("@alice:hs1")
CLAIMANT = Claimant("hs2", "r1", None)
HOUR_MS, DAY_MS = 3_600_000, 86_400_000


def claim(home: Home, *devices: Device) -> dict[Device, bytes | None]:
    return home.store.write(lambda conn: claim_for(conn, devices, 1, CLAIMANT, now_ms=home.clock())).result()


def held(home: Home, *bundles: KeyPackageBundle) -> int:
    """How many private halves are held and open."""
    refs = [bundle.ref for bundle in bundles]
    found = home.store.read(lambda conn: load_bundles(conn, refs, now_ms=home.clock()))
    for bundle in bundles:
        if bundle.ref in found:
            assert found[bundle.ref].key_package == bundle.key_package
            assert found[bundle.ref].init_private_key == bundle.init_private_key
            assert found[bundle.ref].encryption_private_key == bundle.encryption_private_key
    return len(found)


def test_private_halves_are_held_for_what_is_in_stock(world: World) -> None:
    home = world.home("hs1")
    alice = home.add_device("alice", stock=0)
    bundles = home.stock(alice, 2, last_resort=True)
    assert [is_last_resort(bundle.key_package) for bundle in bundles] == [False, False, True]
    assert held(home, *bundles) == 3
    home.restart()
    assert held(home, *bundles) == 3
    with pytest.raises(Conflict):
        home.store.write(lambda conn: keep_secrets(conn, alice, bundles[:1])).result()
    home.clock.now_ms += 98 * DAY_MS
    assert held(home, *bundles) == 0
    assert home.store.write(lambda conn: key_package_secrets.purge(conn, now_ms=home.clock())).result() == 3


@pytest.mark.keeps("KP-11", "KP-12")
@pytest.mark.breaks("KP-11", "KP-12")
def test_a_used_private_half_goes_after_an_hour_and_that_of_a_last_resort_stays(world: World) -> None:
    home = world.home("hs1")
    alice = home.add_device("alice", stock=0)
    one_time, last = home.stock(alice, 1, last_resort=True)
    for bundle in (one_time, last):
        home.store.write(lambda conn, bundle=bundle: consume(conn, bundle, now_ms=home.clock())).result()  # type: ignore[misc]
    home.clock.now_ms += HOUR_MS - 1
    assert held(home, one_time, last) == 2
    home.clock.now_ms += 1
    assert held(home, one_time, last) == 1
    assert held(home, one_time) == 0


def test_a_replaced_last_resort_is_kept_for_welcomes_on_their_way(world: World) -> None:
    home = world.home("hs1")
    alice = home.add_device("alice", stock=0)
    (before,) = home.stock(alice, 0, last_resort=True)
    (after,) = home.stock(alice, 0, last_resort=True)
    assert claim(home, alice) == {alice: encode_message(after.key_package)}
    home.clock.now_ms += 7 * DAY_MS - 1
    assert held(home, before, after) == 2
    home.clock.now_ms += 1
    assert held(home, before, after) == 1


def test_claims_take_the_oldest_of_each_wanted_device(world: World) -> None:
    home = world.home("hs1")
    phone, tablet = (home.add_device("alice", name, custody=Custody.CLIENT, stock=0) for name in ("A", "B"))
    bob = home.add_device("bob", custody=Custody.CLIENT, stock=0)
    stock = {device: home.stock(device, 2) for device in (phone, bob)}
    first = {device: encode_message(bundles[0].key_package) for device, bundles in stock.items()}
    assert claim(home, phone, bob) == first
    assert claim(home, phone, tablet) == {phone: encode_message(stock[phone][1].key_package), tablet: None}
    assert claim(home, phone) == {phone: None}
    assert claim(home) == {}


def test_a_device_under_another_key_gives_nothing_away(world: World) -> None:
    home = world.home("hs1")
    phone = home.add_device("alice", custody=Custody.CLIENT, stock=1)
    stranger = Device(phone.user_id, phone.device_id, bytes(32))
    nobody = Device(ALICE, DeviceId("NONE"), phone.signature_key)
    assert claim(home, stranger, nobody) == {stranger: None, nobody: None}
    assert claim(home, phone)[phone] is not None


def test_an_offer_is_checked_against_the_device(world: World) -> None:
    home = world.home("hs1")
    alice, bob = home.add_device("alice", stock=0), home.add_device("bob", stock=0)
    (bundle,) = home.stock(alice, 1)
    data = encode_message(bundle.key_package)
    assert check_offer(data, alice, (1,), home.clock(), Limits()) == bundle.key_package
    for device, suites, message in ((bob, (1,), "those of the device"), (alice, (2, 3), "cipher suite")):
        with pytest.raises(InvalidKeyPackageError, match=message):
            check_offer(data, device, suites, home.clock(), Limits())


def test_capabilities_are_judged_without_the_defaults(world: World) -> None:
    home = world.home("hs1")
    (bundle,) = home.stock(home.add_device("alice", stock=0), 1)
    offered = encode(bundle.key_package.leaf_node.capabilities)
    assert accepts(DMLS_REQUIRED)(offered)
    assert accepts(RequiredCapabilities((1, 2, DMLS_PARAMS), (1, 7), (1,)))(offered)
    assert not accepts(RequiredCapabilities((0xABCD,), (), ()))(offered)
    assert not accepts(RequiredCapabilities((), (0xABCD,), ()))(offered)
    assert not accepts(RequiredCapabilities((), (), (2,)))(offered)
