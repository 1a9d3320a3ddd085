"""What encodes a usable public point: one encoding a point, on the curve, not of small order (rules CRY-06 and CRY-08).

RFC 7748 and RFC 8032 keys are one field element, little-endian. Honest keys never break these rules, so a key that does was made
to be read in two ways or to make a shared secret or a signature independent of any private key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from dmls.errors import CryptoError
from dmls.mls.crypto.boundary import LIBRARY_ERRORS

__all__ = [
    "CURVE448",
    "CURVE25519",
    "EDWARDS448",
    "EDWARDS25519",
    "P256",
    "P384",
    "P521",
    "FieldEncoding",
    "NistCurve",
    "scalar_candidate",
]

_P25519: Final = 2**255 - 19
_P448: Final = 2**448 - 2**224 - 1
_ORDER_8_Y: Final = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7


@dataclass(frozen=True)
class FieldEncoding:
    """How a curve of RFC 7748 or RFC 8032 writes its public keys.

    Attributes:
        size: length of a key in bytes.
        prime: coordinates are below it.
        small_order: the coordinates of the points whose order divides the cofactor, of the curve and of its twist.
        sign_bit: number of the bit that holds the sign of an Edwards point's other coordinate.
    """

    size: int
    prime: int
    small_order: frozenset[int]
    sign_bit: int | None = None

    def check(self, public_key: bytes) -> int:
        """Check length, range and order; return the coordinate. Whether the point is on the curve remains to be seen.

        Raises:
            CryptoError: another length, a coordinate not reduced, or a point of small order.
        """
        coordinate = self._read(public_key)
        if coordinate >= self.prime:
            raise CryptoError("public key is not canonical", rule="CRY-06")
        self._refuse_small_order(coordinate)
        return coordinate

    def check_exchange(self, public_key: bytes) -> None:
        """Check that an exchange, which ignores excess bits and takes coordinates that are not reduced, gives a secret.

        Raises:
            CryptoError: another length, or a point with which the shared secret is the same for all private keys.
        """
        self._refuse_small_order(self._read(public_key) & (1 << self.prime.bit_length()) - 1)

    def _read(self, public_key: bytes) -> int:
        if len(public_key) != self.size:
            raise CryptoError("public key has a wrong length", rule="CRY-06")
        coordinate = int.from_bytes(public_key, "little")
        return coordinate if self.sign_bit is None else coordinate & ~(1 << self.sign_bit)

    def _refuse_small_order(self, coordinate: int) -> None:
        if coordinate % self.prime in self.small_order:
            raise CryptoError("public key is of small order", rule="CRY-08")


CURVE25519: Final = FieldEncoding(
    32,
    _P25519,
    frozenset(
        {
            0,
            1,
            _P25519 - 1,
            0x57119FD0DD4E22D8868E1C58C45C44045BEF839C55B1D0B1248C50A3BC959C5F,
            0x00B8495F16056286FDB1329CEB8D09DA6AC49FF1FAE35616AEB8413B7C7AEBE0,
        }
    ),
)
CURVE448: Final = FieldEncoding(56, _P448, frozenset({0, 1, _P448 - 1}))
EDWARDS25519: Final = FieldEncoding(32, _P25519, frozenset({0, 1, _P25519 - 1, _ORDER_8_Y, _P25519 - _ORDER_8_Y}), sign_bit=255)
EDWARDS448: Final = FieldEncoding(57, _P448, frozenset({0, 1, _P448 - 1}), sign_bit=455)


def scalar_candidate(candidate: bytes, order: int) -> bytes | None:
    """Return a random string as a scalar of as many bytes, its excess bits cleared, or None where it is out of range.

    This is the loop body of RFC 9180, Section 7.1.3: the mask is 0xff, or 0x01 for the 521 bits of P-521 (rule CRY-10).
    """
    scalar = int.from_bytes(candidate, "big") & (1 << order.bit_length()) - 1  # CRY-10
    return scalar.to_bytes(len(candidate), "big") if 0 < scalar < order else None  # CRY-15


@dataclass(frozen=True)
class NistCurve:
    """A NIST curve: scalars of `size` bytes, big-endian and left-padded; points uncompressed, 1 + 2 * size bytes."""

    curve: ec.EllipticCurve
    size: int

    @property
    def point_size(self) -> int:
        """Length of an encoded point."""
        return 1 + 2 * self.size

    @property
    def order(self) -> int:
        """Order of the group: scalars are at least 1 and below it."""
        return self.curve.group_order

    def parse_public(self, public_key: bytes) -> ec.EllipticCurvePublicKey:
        """Decode a point; that it is on the curve is checked by the library.

        Raises:
            CryptoError: no uncompressed point of this curve.
        """
        if len(public_key) != self.point_size or public_key[0] != 0x04:
            raise CryptoError("public key is no uncompressed point", rule="CRY-06")
        try:
            return ec.EllipticCurvePublicKey.from_encoded_point(self.curve, public_key)
        except LIBRARY_ERRORS:
            raise CryptoError("public key is not on the curve", rule="CRY-08") from None

    def parse_private(self, private_key: bytes, public_key: bytes | None = None) -> ec.EllipticCurvePrivateKey:
        """Decode a scalar; with its public key at hand this costs half as much, since the point is checked and not computed.

        Raises:
            CryptoError: the scalar has another length or is out of range, or the public key is not its own.
        """
        if len(private_key) != self.size:
            raise CryptoError("private key has a wrong length")
        try:
            scalar = int.from_bytes(private_key, "big")
            if public_key is None:
                return ec.derive_private_key(scalar, self.curve)
            if len(public_key) != self.point_size:
                raise CryptoError("public key has a wrong length", rule="CRY-06")
            x, y = (int.from_bytes(half, "big") for half in (public_key[1 : 1 + self.size], public_key[1 + self.size :]))
            point = ec.EllipticCurvePublicNumbers(x, y, self.curve)
            return ec.EllipticCurvePrivateNumbers(scalar, point).private_key()
        except LIBRARY_ERRORS:
            raise CryptoError("private key is out of range or not that of the public key") from None

    def encode_public(self, key: ec.EllipticCurvePrivateKey) -> bytes:
        """Return the uncompressed point of a private key."""
        return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


P256: Final = NistCurve(ec.SECP256R1(), 32)
P384: Final = NistCurve(ec.SECP384R1(), 48)
P521: Final = NistCurve(ec.SECP521R1(), 66)
