"""Key packages of own devices: made, checked, claimed, and kept with their private halves until a Welcome has used them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from devicestore import Connection, devices, key_package_secrets, key_packages
from devicestore.errors import NotFound
from devicestore.key_packages import Claimant, ClaimStatus, NewKeyPackage
from dmls.engine.agent import OwnDevice, device_of
from dmls.errors import InvalidKeyPackageError
from dmls.forks.aad import DMLS_NODE_REF, DMLS_PARAMS
from dmls.forks.graph import Device
from dmls.ids import KeyPackageRef, UserId
from dmls.mls.codec import decode, encode, opaque, struct
from dmls.mls.crypto.randomness import Random
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CipherSuite, cipher_suite
from dmls.mls.group.leaf import KeyPackageBundle, create_key_package
from dmls.mls.group.validation import check_key_package
from dmls.mls.limits import Limits
from dmls.mls.messages.extensions import LAST_RESORT, RequiredCapabilities
from dmls.mls.messages.key_package import KeyPackage, is_last_resort, key_package_ref
from dmls.mls.messages.leaf_node import Capabilities, Lifetime
from dmls.mls.messages.message import MLSMessage, encode_message
from dmls.mls.messages.registry import DEFAULT_EXTENSION_TYPES, DEFAULT_PROPOSAL_TYPES, CredentialType

__all__ = [
    "CLAIM_MARGIN_MS",
    "DMLS_REQUIRED",
    "LOW_WATER_MARK",
    "REPLACED_FOR_MS",
    "accepts",
    "check_offer",
    "claim_for",
    "consume",
    "keep_secrets",
    "load_bundles",
    "make_bundles",
    "store_bundles",
    "to_row",
]

CLAIM_MARGIN_MS = 3_600_000
"""A key package that expires within this time is not given out, in milliseconds."""
LOW_WATER_MARK = 10
"""With no more key packages of a suite than this a device should upload more."""
REPLACED_FOR_MS = 7 * 86_400_000
"""How long the private half of a last resort is kept that was given out and then replaced or deleted, in milliseconds."""
DMLS_REQUIRED = RequiredCapabilities((DMLS_PARAMS, DMLS_NODE_REF), (), (CredentialType.BASIC,))
"""What a key package must support to be added to a DMLS group."""

_LIFETIME_S = 90 * 86_400
_SKEW_S = 3_600
_USED_FOR_MS = 3_600_000


@struct(secret=True)
class _Bundle:
    key_package: opaque
    init_private_key: opaque
    encryption_private_key: opaque


def make_bundles(
    own: OwnDevice, suite: CipherSuite, now_ms: int, random: Random, *, count: int, last_resort: bool
) -> list[KeyPackageBundle]:
    """Make `count` one-time key packages of a device, and its last resort if `last_resort` is set, that last."""
    now = now_ms // 1_000
    lifetime = Lifetime(now - _SKEW_S, now - _SKEW_S + _LIFETIME_S)
    bundles = [create_key_package(suite, own.client, lifetime, random, with_grease=True) for _ in range(count)]
    if last_resort:
        bundles.append(create_key_package(suite, own.client, lifetime, random, extensions=(LAST_RESORT,), with_grease=True))
    return bundles


def to_row(key_package: KeyPackage, data: bytes) -> NewKeyPackage:
    """Return a checked key package as the store takes it; `data` is its MLSMessage."""
    source = key_package.leaf_node.source
    lifetime = source if isinstance(source, Lifetime) else Lifetime(0, 0)
    return NewKeyPackage(
        ref=key_package_ref(cipher_suite(key_package.cipher_suite), key_package),
        suite=key_package.cipher_suite,
        not_before_ms=lifetime.not_before * 1_000,
        not_after_ms=lifetime.not_after * 1_000,
        is_last_resort=is_last_resort(key_package),
        data=data,
        capabilities=encode(key_package.leaf_node.capabilities),
    )


def check_offer(data: bytes, device: Device, suites: Iterable[int], now_ms: int, limits: Limits) -> KeyPackage:
    """Return the key package in an MLSMessage after every check of RFC 9420, Section 10.1, and that it is the device's own.

    Raises:
        CodecError: the bytes do not decode.
        UnsupportedError: the cipher suite is not implemented.
        InvalidKeyPackageError, InvalidLeafNodeError, LifetimeError, SignatureError: a rule is broken.
    """
    key_package = decode(MLSMessage, data).body
    if not isinstance(key_package, KeyPackage):
        raise InvalidKeyPackageError("the message holds no key package")
    suite = cipher_suite(key_package.cipher_suite)
    if suite.id not in suites:
        raise InvalidKeyPackageError("the device does not use this cipher suite")
    if device_of(key_package.leaf_node) != device:
        raise InvalidKeyPackageError("credential and signature key are not those of the device")
    check_key_package(suite, key_package, now=now_ms // 1_000, limits=limits)
    return key_package


def accepts(required: RequiredCapabilities) -> Callable[[bytes], bool]:
    """Return what tells by encoded capabilities whether they hold all that is required (RFC 9420, Section 11.1)."""
    extensions = frozenset(required.extension_types) - DEFAULT_EXTENSION_TYPES
    proposals = frozenset(required.proposal_types) - DEFAULT_PROPOSAL_TYPES
    credentials = frozenset(required.credential_types)

    def check(data: bytes) -> bool:
        offered = decode(Capabilities, data)
        return (
            extensions <= set(offered.extensions)
            and proposals <= set(offered.proposals)
            and credentials <= set(offered.credentials)
        )

    return check


def claim_for(
    conn: Connection, wanted: Iterable[Device], suite: int, claimant: Claimant, *, now_ms: int
) -> dict[Device, bytes | None]:
    """Take one key package of each of some devices of this store; None for one that has none, or another signature key.

    Args:
        conn: a writing connection.
        wanted: the devices.
        suite: of the key packages.
        claimant: recorded with what is given out.
        now_ms: the time.
    """
    found: dict[Device, bytes | None] = dict.fromkeys(wanted)
    by_user: dict[UserId, dict[str, Device]] = {}
    for device in found:
        by_user.setdefault(device.user_id, {})[device.device_id] = device
    for user, named in by_user.items():
        rows = devices.list_devices(conn, user)
        usable = {
            row.device_id for row in rows if row.device_id in named and named[row.device_id].signature_key == row.signature_key
        }
        claims = key_packages.claim(
            conn,
            user,
            (suite,),
            claimant,
            now_ms=now_ms,
            margin_ms=CLAIM_MARGIN_MS,
            low_water_mark=LOW_WATER_MARK,
            skip_devices={row.device_id for row in rows} - usable,
            accepts=accepts(DMLS_REQUIRED),
        )
        for claim in claims:
            if claim.status in (ClaimStatus.CLAIMED, ClaimStatus.LAST_RESORT):
                found[named[claim.device_id]] = claim.data
    return found


def store_bundles(conn: Connection, device: Device, bundles: Sequence[KeyPackageBundle], *, limit: int, now_ms: int) -> None:
    """Publish own key packages and keep their private halves; a last resort takes the place of the one before."""
    keep_secrets(conn, device, bundles)
    rows = [to_row(bundle.key_package, encode_message(bundle.key_package)) for bundle in bundles]
    for upload in key_packages.upload(conn, device.user_id, device.device_id, rows, limit=limit, now_ms=now_ms):
        if upload.replaced is not None:
            # Whoever claimed it may still be about to send the Welcome.
            key_package_secrets.consume(conn, upload.replaced, delete_after_ms=now_ms + REPLACED_FOR_MS)


def keep_secrets(conn: Connection, device: Device, bundles: Iterable[KeyPackageBundle]) -> None:
    """Keep the private halves of key packages, at most until a Welcome for one that was claimed last of all may have come."""
    for bundle in bundles:
        row = to_row(bundle.key_package, b"")
        secret = encode(_Bundle(encode(bundle.key_package), bundle.init_private_key, bundle.encryption_private_key))
        delete_after_ms = row.not_after_ms + REPLACED_FOR_MS
        key_package_secrets.put(conn, device.user_id, device.device_id, bundle.ref, secret, delete_after_ms=delete_after_ms)


def load_bundles(conn: Connection, refs: Iterable[KeyPackageRef], *, now_ms: int) -> Mapping[KeyPackageRef, KeyPackageBundle]:
    """Return those of the named key packages whose private halves are held.

    Raises:
        SealBroken: one was altered.
    """
    found = {}
    for ref in refs:
        try:
            record = decode(_Bundle, key_package_secrets.get(conn, ref, now_ms=now_ms))
        except NotFound:
            continue
        key_package = decode(KeyPackage, record.key_package)
        found[ref] = KeyPackageBundle(key_package, ref, Secret(record.init_private_key), Secret(record.encryption_private_key))
    return found


def consume(conn: Connection, bundle: KeyPackageBundle, *, now_ms: int) -> None:
    """Note that a Welcome used a key package: its private half goes in an hour. That of a last resort stays."""
    if not is_last_resort(bundle.key_package):  # KP-12
        key_package_secrets.consume(conn, bundle.ref, delete_after_ms=now_ms + _USED_FOR_MS)  # KP-11
