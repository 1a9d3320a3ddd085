"""X.509 chains: disorder is refused for all, and what leads to no anchor for those who trust anchors."""

from __future__ import annotations

import random
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from dmls.errors import DMLSError, InvalidCredentialError
from dmls.mls.crypto.certificates import check_chain, check_path, identities, load_certificate, load_chain
from dmls.mls.crypto.suites import CIPHER_SUITES, CipherSuite, cipher_suite
from tests.support.certificates import ALL_NAMES, NOW, Authority, private_key_of, self_signed
from tests.support.groups import refusing

SUITE = cipher_suite(1)
OWNER = private_key_of(SUITE, bytes(32)).public_key()
BOUNDS = {"max_certificates": 4, "max_bytes": 10_000}
BY_SUITE = pytest.mark.parametrize("suite", CIPHER_SUITES, ids=lambda suite: f"suite{suite.id}")
OTHER_USAGE = x509.KeyUsage(False, False, True, False, False, False, False, False, False)


def check(chain: tuple[bytes, ...], key: bytes | None = None, suite: CipherSuite = SUITE, **bounds: int) -> None:
    check_chain(suite, chain, OWNER.public_bytes_raw() if key is None else key, **{**BOUNDS, **bounds})


# Every chain


@BY_SUITE
@pytest.mark.breaks("CRD-02")
@pytest.mark.keeps("CRD-02", "CRD-03")
def test_the_first_certificate_is_for_the_signature_key(suite: CipherSuite, rng: random.Random) -> None:
    root = Authority.root(suite=suite)
    middle = root.authority("middle")
    pair, other = (suite.generate_signature_key_pair(rng.randbytes) for _ in range(2))
    chain = (middle.certify("owner", private_key_of(suite, pair.private_key).public_key()), *middle.chain)
    check(chain, pair.public_key, suite)
    # Anchors, and what is above them, may be left out.
    check(chain[:2], pair.public_key, suite)
    check(chain[:1], pair.public_key, suite)
    with refusing("CRD-02"):
        check(chain, other.public_key, suite)
    with refusing("CRD-02"):
        check(chain[1:], pair.public_key, suite)
    check((self_signed(suite, pair.private_key, "owner"),), pair.public_key, suite)


@pytest.mark.breaks("CRD-02")
def test_the_key_is_of_the_group_s_signature_scheme() -> None:
    root = Authority.root()
    for key in (ec.generate_private_key(ec.SECP256K1()), ec.generate_private_key(ec.SECP384R1()), rsa_key(2048)):
        certificate = root.certify("owner", key.public_key())
        point = b""
        if isinstance(key, ec.EllipticCurvePrivateKey):
            numbers = key.public_key().public_numbers()
            size = (key.key_size + 7) // 8
            point = b"\x04" + numbers.x.to_bytes(size, "big") + numbers.y.to_bytes(size, "big")
        with refusing("CRD-02"):
            check((certificate,), point, cipher_suite(2))


@pytest.mark.breaks("CRD-03")
def test_a_chain_begins_with_its_owner_and_each_certifies_the_one_before() -> None:
    root, stranger = Authority.root(), Authority.root("stranger")
    middle = root.authority("middle")
    owner = middle.certify("owner", OWNER)
    first, second = middle.chain
    check((owner, first, second))
    impostor = Authority("middle", stranger.key, ()).certify("owner", OWNER)
    for chain in ((), (owner, second), (owner, second, first), (owner, stranger.chain[0]), (impostor, first, second)):
        with refusing("CRD-03"):
            check(chain)


@pytest.mark.breaks("CRD-03")
def test_a_chain_of_malformed_certificates_is_refused(rng: random.Random) -> None:
    root = Authority.root()
    owner = root.certify("owner", OWNER, names=ALL_NAMES, ca=False)
    for damaged in (b"", b"\x30", b"certificate", owner[:-1], owner + b"\x00", bytes(100)):
        with refusing("CRD-03"):
            check((damaged,))
        with refusing("CRD-03"):
            check((owner, damaged))
    # Whatever comes, the error is one of ours.
    anchors = [load_certificate(root.chain[0])]
    read = 0
    for _ in range(1500):
        mutant = bytearray(owner)
        for _ in range(rng.randint(1, 3)):
            mutant[rng.randrange(len(mutant))] = rng.randrange(256)
        try:
            check((bytes(mutant), *root.chain))
            chain = load_chain((bytes(mutant),))
            read += 1
            identities(bytes(mutant))
            check_path(chain, anchors, NOW)
        except DMLSError:
            continue
    assert read < 1500


def test_a_chain_is_bounded() -> None:
    root = Authority.root()
    middle = root.authority("middle")
    chain = (middle.certify("owner", OWNER), *middle.chain)
    size = sum(map(len, chain))
    check(chain, max_certificates=3, max_bytes=size)
    with refusing("ENC-17"):
        check(chain, max_certificates=2)
    with refusing("ENC-17"):
        check(chain, max_bytes=size - 1)


# Chains that lead to an anchor


def believed(chain: tuple[bytes, ...], *anchors: bytes, now: int = NOW) -> bool:
    try:
        check_path(load_chain(chain), [load_certificate(anchor) for anchor in anchors], now)
    except InvalidCredentialError:
        return False
    return True


def rsa_key(size: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, size)


def test_an_anchor_may_stand_at_the_end_of_a_chain_or_above_it() -> None:
    root, stranger = Authority.root(), Authority.root("stranger")
    middle = root.authority("middle")
    low = middle.authority("low")
    chain = (low.certify("owner", OWNER), *low.chain)
    (anchor,) = root.chain
    for length in (3, 4):
        assert believed(chain[:length], anchor)
        assert believed(chain[:length], stranger.chain[0], anchor)
        assert not believed(chain[:length], stranger.chain[0])
        assert not believed(chain[:length])
    assert not believed(chain[:1], anchor)
    assert not believed(chain[:2], anchor)
    # Any certificate of the chain may be trusted, the owner's too, and what is above it does not count.
    for trusted in chain:
        assert believed(chain, trusted)
    impostor = Authority.root("root", key=stranger.key)
    assert not believed(chain, impostor.chain[0])
    assert believed(chain, impostor.chain[0], anchor)


@pytest.mark.parametrize("seconds", [NOW - 100, NOW - 1, NOW, NOW + 1, NOW + 100])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_every_certificate_of_a_path_is_valid_now(place: int, seconds: int) -> None:
    spans: list[dict[str, Any]] = [{}, {}, {}]
    spans[place] = {"not_before": NOW - 1, "not_after": NOW + 1}
    root = Authority.root(**spans[2])
    middle = root.authority("middle", **spans[1])
    chain = (middle.certify("owner", OWNER, **spans[0]), *middle.chain)
    assert believed(chain, root.chain[0], now=seconds) == (abs(seconds - NOW) <= 1)


UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
NAMES = x509.NameConstraints([x509.DNSName("example")], None)
WEB = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])


@pytest.mark.parametrize(
    ("expected", "options"),
    [
        (True, {}),
        (True, {"extra": [(UNKNOWN, False), (WEB, False)]}),
        (True, {"path_length": 0}),
        (False, {"extra": [(UNKNOWN, True)]}),
        (False, {"extra": [(WEB, True)]}),
        (False, {"extra": [(NAMES, True)]}),
        (False, {"extra": [(NAMES, False)]}),
        (False, {"ca": False}),
        (False, {"ca": None}),
        (False, {"usage": OTHER_USAGE}),
    ],
)
@pytest.mark.parametrize("is_anchor", [True, False])
def test_who_certifies_must_be_allowed_to(expected: bool, options: dict[str, Any], is_anchor: bool) -> None:
    root = Authority.root(**(options if is_anchor else {}))
    issuer = root if is_anchor else root.authority("middle", **options)
    assert believed((issuer.certify("owner", OWNER), *issuer.chain), root.chain[0]) is expected


@pytest.mark.parametrize(
    ("expected", "options"),
    [
        (True, {"usage": x509.KeyUsage(True, False, False, False, False, False, False, False, False)}),
        (True, {"names": ALL_NAMES}),
        (True, {"ca": False}),
        (False, {"usage": OTHER_USAGE}),
        (False, {"extra": [(UNKNOWN, True)]}),
    ],
)
def test_the_owner_must_be_allowed_to_sign(expected: bool, options: dict[str, Any]) -> None:
    root = Authority.root()
    assert believed((root.certify("owner", OWNER, **options),), root.chain[0]) is expected


def test_a_ca_limits_how_many_are_below_it() -> None:
    for allowed in (0, 1, 2, None):
        root = Authority.root(path_length=allowed)
        issuer, chain = root, root.chain
        for count in range(3):
            assert believed((issuer.certify("owner", OWNER), *chain), root.chain[0]) is (allowed is None or count <= allowed)
            issuer = issuer.authority(f"middle {count}")
            chain = issuer.chain
    # A new certificate of an authority for itself does not count.
    root = Authority.root(path_length=0)
    renewed = Authority("root", Authority.root("new").key, ())
    renewed.chain = (root.certify("root", renewed.key.public_key(), ca=True), *root.chain)
    assert believed((renewed.certify("owner", OWNER), *renewed.chain), root.chain[0])


def test_an_authority_whose_names_do_not_decode_is_refused() -> None:
    root = Authority.root()
    middle = root.authority("middle")

    def misnamed(certificate: bytes, issuer: Authority) -> bytes:
        changed = certificate.replace(b"middle", b"\xff" * 6)
        signature: bytes = issuer.key.sign(x509.load_der_x509_certificate(changed).tbs_certificate_bytes)
        return changed[: -len(signature)] + signature

    chain = (misnamed(middle.certify("owner", OWNER), middle), misnamed(middle.chain[0], root))
    with refusing("CRD-03"):
        check_path(load_chain(chain), [load_certificate(root.chain[0])], NOW)


def test_weak_signatures_convince_nobody() -> None:
    for size, expected in ((2048, True), (1024, False)):
        root = Authority.root("rsa", key=rsa_key(size))
        assert believed((root.certify("owner", OWNER), *root.chain), root.chain[0]) is expected
    root = Authority.root(suite=cipher_suite(2))
    weak = Authority(root.name, root.key, root.chain, hash=hashes.SHA224())
    assert not believed((weak.certify("owner", OWNER),), root.chain[0])


# Identities


def test_identities_are_alternative_names_or_else_the_subject() -> None:
    root = Authority.root()

    def of(subject: str, **options: Any) -> frozenset[tuple[str, bytes]]:
        return identities(root.certify(subject, OWNER, **options))

    assert of("", names=ALL_NAMES) == of("somebody", names=ALL_NAMES)
    assert len(of("", names=ALL_NAMES)) == len(ALL_NAMES)
    assert of("", names=[x509.DNSName("A.example")]) == of("", names=[x509.DNSName("a.EXAMPLE")])
    assert len({of("", names=[name]) for name in ALL_NAMES}) == len(ALL_NAMES)
    assert of("somebody") == of("somebody") != of("somebody else")
    with refusing(None):
        of("")
