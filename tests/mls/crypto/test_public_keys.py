"""Which public keys are refused: wrong length, off the curve, small order, second encodings (CRY-06, CRY-08)."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from nacl.bindings import crypto_scalarmult

from dmls.errors import CryptoError, DecryptionError, SignatureError
from dmls.mls.crypto.points import CURVE448, CURVE25519, EDWARDS448, EDWARDS25519, P256, P384, P521, NistCurve
from dmls.mls.crypto.suites import CIPHER_SUITES, CipherSuite, cipher_suite

Point = tuple[int, int]
by_suite = pytest.mark.parametrize("suite", CIPHER_SUITES, ids=lambda suite: f"suite{suite.id}")
NIST = [(2, P256), (7, P384), (5, P521)]


class Edwards:
    """a x^2 + y^2 = 1 + d x^2 y^2 in affine coordinates, slow and plain."""

    def __init__(self, prime: int, a: int, d: int) -> None:
        self.p, self.a, self.d = prime, a, d % prime

    def add(self, one: Point, two: Point) -> Point:
        (x1, y1), (x2, y2), p = one, two, self.p
        k = self.d * x1 * x2 * y1 * y2
        return (x1 * y2 + x2 * y1) * pow(1 + k, -1, p) % p, (y1 * y2 - self.a * x1 * x2) * pow(1 - k, -1, p) % p

    def multiply(self, factor: int, point: Point) -> Point:
        result = (0, 1)
        while factor:
            if factor & 1:
                result = self.add(result, point)
            point, factor = self.add(point, point), factor >> 1
        return result

    def x_of(self, y: int) -> int | None:
        p = self.p
        square = (1 - y * y) * pow(self.a - self.d * y * y, -1, p) % p
        if p % 4 == 3:
            root = pow(square, (p + 1) // 4, p)
        else:
            root = pow(square, (p + 3) // 8, p)
            root = root if root * root % p == square else root * pow(2, (p - 1) // 4, p) % p
        return root if root * root % p == square else None

    def points(self) -> Iterator[Point]:
        for y in range(2, self.p):
            x = self.x_of(y)
            if x is not None:
                yield x, y

    def small_order(self, order: int, cofactor: int) -> set[Point]:
        """All points whose order divides the cofactor: the multiples of any point's `order`-fold."""
        found: set[Point] = set()
        for point in self.points():
            torsion = self.multiply(order, point)
            found |= {self.multiply(factor, torsion) for factor in range(cofactor)}
            if len(found) == cofactor:
                return found
        raise AssertionError("no generator of the torsion")


ED25519_CURVE = Edwards(2**255 - 19, -1, -121665 * pow(121666, -1, 2**255 - 19))
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493
ED448_CURVE = Edwards(2**448 - 2**224 - 1, 1, -39081)
ED448_ORDER = 2**446 - 13818066809895115352007386748515426880336692474882178609894547503885


def test_the_small_order_coordinates_are_all_of_them() -> None:
    of_25519 = ED25519_CURVE.small_order(ED25519_ORDER, 8)
    assert EDWARDS25519.small_order == {y for _, y in of_25519}
    assert EDWARDS448.small_order == {y for _, y in ED448_CURVE.small_order(ED448_ORDER, 4)}
    p = ED25519_CURVE.p
    # u = (1 + y) / (1 - y) maps to the Montgomery curve; its twist adds u = -1.
    montgomery = {(1 + y) * pow(1 - y, -1, p) % p for _, y in of_25519 if y != 1}
    assert CURVE25519.small_order == montgomery | {p - 1}


@pytest.mark.parametrize("u", sorted(CURVE25519.small_order))
@pytest.mark.parametrize("high_bit", [0, 1 << 255])
def test_x25519_keys_of_small_order_are_refused_everywhere(u: int, high_bit: int, rng: random.Random) -> None:
    suite = cipher_suite(1)
    pair = suite.derive_key_pair(rng.randbytes(32))
    for coordinate in {u, u + CURVE25519.prime if u < 19 else u}:
        key = (coordinate | high_bit).to_bytes(32, "little")
        with pytest.raises(RuntimeError):
            crypto_scalarmult(pair.private_key, key)
        with pytest.raises(CryptoError):
            suite.check_encryption_key(key)
        with pytest.raises(CryptoError):
            suite.seal_with_label(key, "label", b"", b"", rng.randbytes)
        with pytest.raises(DecryptionError):
            suite.open_with_label(*pair, "label", b"", key, bytes(16))


@pytest.mark.parametrize("u", sorted(CURVE448.small_order))
def test_x448_keys_of_small_order_are_refused_everywhere(u: int, rng: random.Random) -> None:
    suite = cipher_suite(4)
    pair = suite.derive_key_pair(rng.randbytes(64))
    for coordinate in {u, u + CURVE448.prime if u < 2**224 else u}:
        key = coordinate.to_bytes(56, "little")
        with pytest.raises(CryptoError):
            suite.check_encryption_key(key)
        with pytest.raises(CryptoError):
            suite.seal_with_label(key, "label", b"", b"", rng.randbytes)
        with pytest.raises(DecryptionError):
            suite.open_with_label(*pair, "label", b"", key, bytes(16))


@pytest.mark.breaks("CRY-06")
def test_second_encodings_of_a_montgomery_coordinate_are_refused() -> None:
    for suite_id, size, prime in ((1, 32, CURVE25519.prime), (4, 56, CURVE448.prime)):
        suite = cipher_suite(suite_id)
        suite.check_encryption_key((9).to_bytes(size, "little"))
        suite.check_encryption_key((prime - 2).to_bytes(size, "little"))
        for coordinate in (prime, prime + 9, (1 << 8 * size) - 1):
            with pytest.raises(CryptoError, match="CRY-06"):
                suite.check_encryption_key(coordinate.to_bytes(size, "little"))
    with pytest.raises(CryptoError, match="CRY-06"):
        cipher_suite(1).check_encryption_key((9 | 1 << 255).to_bytes(32, "little"))


@pytest.mark.breaks("CRY-08")
@pytest.mark.parametrize(
    ("suite_id", "size", "curve", "order", "cofactor"),
    [(1, 32, ED25519_CURVE, ED25519_ORDER, 8), (4, 57, ED448_CURVE, ED448_ORDER, 4)],
    ids=["ed25519", "ed448"],
)
def test_eddsa_keys_of_small_order_neither_check_nor_verify(
    suite_id: int, size: int, curve: Edwards, order: int, cofactor: int
) -> None:
    """With such a key R = k * A and S = 0 satisfies the verification equation for one message in `cofactor`."""
    suite = cipher_suite(suite_id)
    points = curve.small_order(order, cofactor)
    encoded = {((x & 1) << 8 * size - 1 | y).to_bytes(size, "little") for x, y in points}
    assert len(encoded) == cofactor
    for key in encoded:
        with pytest.raises(CryptoError, match="CRY-08"):
            suite.check_signature_key(key)
        for r in encoded:
            for content in (b"", b"a", b"b"):
                with pytest.raises(SignatureError):
                    suite.verify_with_label(key, "label", content, r + bytes(size))


@pytest.mark.parametrize(("suite_id", "size", "curve"), [(1, 32, ED25519_CURVE), (4, 57, ED448_CURVE)], ids=["ed25519", "ed448"])
def test_eddsa_keys_are_on_the_curve_and_canonical(suite_id: int, size: int, curve: Edwards) -> None:
    suite = cipher_suite(suite_id)
    for y in range(2, 40):
        key = y.to_bytes(size, "little")
        if curve.x_of(y) is None:
            with pytest.raises(CryptoError, match="not on the curve"):
                suite.check_signature_key(key)
        else:
            suite.check_signature_key(key)
            suite.check_signature_key((y | 1 << 8 * size - 1).to_bytes(size, "little"))
    y = next(y for x, y in curve.points())
    with pytest.raises(CryptoError, match="CRY-06"):
        suite.check_signature_key((y + curve.p).to_bytes(size, "little"))


def test_ed448_keys_use_no_bit_between_coordinate_and_sign(rng: random.Random) -> None:
    suite = cipher_suite(4)
    key = suite.generate_signature_key_pair(rng.randbytes).public_key
    with pytest.raises(CryptoError, match="CRY-06"):
        suite.check_signature_key(key[:-1] + bytes([key[-1] | 1]))


@pytest.mark.breaks("CRY-06")
@by_suite
def test_keys_of_another_length_are_refused(suite: CipherSuite, rng: random.Random) -> None:
    encryption = suite.derive_key_pair(rng.randbytes(64))
    signature = suite.generate_signature_key_pair(rng.randbytes)
    suite.check_encryption_key(encryption.public_key)
    suite.check_signature_key(signature.public_key)
    for change in (lambda key: b"", lambda key: key[:-1], lambda key: key + b"\0", lambda key: b"\0" + key):
        with pytest.raises(CryptoError):
            suite.check_encryption_key(change(encryption.public_key))
        with pytest.raises(CryptoError):
            suite.check_signature_key(change(signature.public_key))
        with pytest.raises(CryptoError):
            suite.public_key(change(encryption.private_key))
        with pytest.raises(CryptoError):
            suite.signature_public_key(bytes(change(signature.private_key)))


@pytest.mark.breaks("CRY-06", "CRY-08")
@pytest.mark.parametrize(("suite_id", "curve"), NIST, ids=["p256", "p384", "p521"])
def test_nist_keys_are_uncompressed_points_of_their_curve(suite_id: int, curve: NistCurve, rng: random.Random) -> None:
    suite = cipher_suite(suite_id)
    key = suite.derive_key_pair(rng.randbytes(64)).public_key
    x, y = key[1 : 1 + curve.size], key[1 + curve.size :]
    refused = {
        "compressed": ("CRY-06", bytes([2 | y[-1] & 1]) + x),
        "hybrid": ("CRY-06", bytes([6 | y[-1] & 1]) + x + y),
        "infinity": ("CRY-06", b"\0"),
        "long infinity": ("CRY-06", bytes(len(key))),
        "off the curve": ("CRY-08", key[:-1] + bytes([key[-1] ^ 1])),
        "coordinate not reduced": ("CRY-08", b"\x04" + b"\xff" * curve.size + y),
    }
    for check in (suite.check_encryption_key, suite.check_signature_key):
        check(key)
        for rule, encoding in refused.values():
            with pytest.raises(CryptoError, match=rule):
                check(encoding)


@pytest.mark.parametrize(("suite_id", "curve"), NIST, ids=["p256", "p384", "p521"])
def test_nist_scalars_are_between_one_and_the_order(suite_id: int, curve: NistCurve) -> None:
    suite = cipher_suite(suite_id)
    for scalar in (1, curve.order - 1):
        encoded = scalar.to_bytes(curve.size, "big")
        assert suite.public_key(encoded) == suite.signature_public_key(encoded)
    for scalar in (0, curve.order, curve.order + 1):
        encoded = scalar.to_bytes(curve.size, "big")
        with pytest.raises(CryptoError):
            suite.public_key(encoded)
        with pytest.raises(CryptoError):
            suite.signature_public_key(encoded)


@pytest.mark.parametrize(("suite_id", "curve"), NIST, ids=["p256", "p384", "p521"])
def test_a_private_key_parses_only_with_its_own_public_key(suite_id: int, curve: NistCurve, rng: random.Random) -> None:
    suite = cipher_suite(suite_id)
    pair, other = (suite.derive_key_pair(rng.randbytes(64)) for _ in range(2))
    parsed = curve.parse_private(*pair)
    assert isinstance(parsed, ec.EllipticCurvePrivateKey)
    for public_key in (other.public_key, b"", pair.public_key[:-1]):
        with pytest.raises(CryptoError):
            curve.parse_private(pair.private_key, public_key)


@pytest.mark.breaks("CRY-06")
@pytest.mark.parametrize("suite_id", [1, 2, 4, 5, 7])
def test_an_exchange_takes_no_key_of_another_length(suite_id: int, rng: random.Random) -> None:
    suite = cipher_suite(suite_id)
    private_key, public_key = suite.derive_key_pair(rng.randbytes(64))
    kem_output, ciphertext = suite.seal_with_label(public_key, "label", b"", b"text", rng.randbytes)
    for change in (lambda key: b"", lambda key: key[:-1], lambda key: key + b"\0"):
        with pytest.raises(CryptoError, match="CRY-06"):
            suite.seal_with_label(change(public_key), "label", b"", b"text", rng.randbytes)
        with pytest.raises(DecryptionError, match="CRY-06"):
            suite.open_with_label(private_key, public_key, "label", b"", change(kem_output), ciphertext)
    if suite.kem.group.order is not None:
        with pytest.raises(DecryptionError, match="CRY-06"):
            suite.open_with_label(private_key, public_key[:-1], "label", b"", kem_output, ciphertext)


@pytest.mark.breaks("CRY-08")
@pytest.mark.parametrize("suite_id", [1, 4])
def test_an_exchange_takes_no_key_of_small_order_in_any_encoding(suite_id: int, rng: random.Random) -> None:
    suite = cipher_suite(suite_id)
    curve = {1: CURVE25519, 4: CURVE448}[suite_id]
    private_key, public_key = suite.derive_key_pair(rng.randbytes(64))
    bits = curve.prime.bit_length()
    reduced_and_not = [number for u in curve.small_order for number in (u, u + curve.prime) if number < 1 << bits]
    excess = [number | 1 << bits for number in reduced_and_not if bits % 8]
    for coordinate in reduced_and_not + excess:
        weak = coordinate.to_bytes(curve.size, "little")
        with pytest.raises(CryptoError, match="CRY-08"):
            suite.seal_with_label(weak, "label", b"", b"text", rng.randbytes)
        with pytest.raises(DecryptionError, match="CRY-08"):
            suite.open_with_label(private_key, public_key, "label", b"", weak, bytes(17))
