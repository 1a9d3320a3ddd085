"""Reading a case of a vector file, and saying what about it is wrong.

Nothing of a file is trusted: a field that is missing or of another type is a failed check like a wrong answer.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from dmls.errors import DMLSError, UnsupportedError
from dmls.mls.codec import decode
from dmls.mls.crypto.randomness import Random
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CipherSuite, cipher_suite
from dmls.mls.messages.message import MessageBody, MLSMessage

T = TypeVar("T", bound=MessageBody)

__all__ = ["CheckError", "Fields", "UnknownSuiteError", "checking", "expect", "read_message", "repeating_random"]


class CheckError(DMLSError):
    """A case does not come out as its file says.

    Attributes:
        check: what was compared.
    """

    reason = "CONFORMANCE"
    code = "FAILED_PRECONDITION"

    def __init__(self, check: str, message: str) -> None:
        super().__init__(message)
        self.check = check


class UnknownSuiteError(UnsupportedError):
    """The case is of a cipher suite that RFC 9420 does not define: nothing can be said about it."""


class Fields:
    """A JSON object with typed access. All methods raise CheckError where the field is missing or of another type."""

    __slots__ = ("_path", "_values")

    def __init__(self, values: object, path: str = "") -> None:
        self._path = path
        if not isinstance(values, dict):
            raise CheckError("shape", f"{path or 'the case'} is not an object")
        self._values = values

    def _get(self, name: str) -> object:
        if name not in self._values:
            raise CheckError("shape", f"{self._where(name)} is missing")
        return self._values[name]

    def _where(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name

    def octets(self, name: str) -> bytes:
        """Return a field of hexadecimal digits as bytes."""
        return self._unhex(self._get(name), self._where(name))

    def optional_octets(self, name: str) -> bytes | None:
        """Return a field that is null or hexadecimal digits."""
        value = self._get(name)
        return None if value is None else self._unhex(value, self._where(name))

    def secret(self, name: str, size: int = 0) -> Secret:
        """Return a field of hexadecimal digits as a secret.

        With `size`, zero octets that the file leaves out in front are put back: for scalars of NIST curves.
        """
        return Secret(self.octets(name).rjust(size, b"\x00"))

    def integer(self, name: str, bits: int = 32) -> int:
        """Return an unsigned integer of at most `bits` bits."""
        return self._check_integer(self._get(name), self._where(name), bits)

    def integers(self, name: str) -> tuple[int, ...]:
        """Return a list of unsigned integers of 32 bits."""
        return tuple(self._check_integer(value, where, 32) for value, where in self._items(name))

    def optional_integers(self, name: str) -> tuple[int | None, ...]:
        """Return a list of unsigned integers of 32 bits and nulls."""
        return tuple(None if value is None else self._check_integer(value, where, 32) for value, where in self._items(name))

    def integer_lists(self, name: str) -> tuple[tuple[int, ...], ...]:
        """Return a list of lists of unsigned integers of 32 bits."""
        return tuple(Fields({"": value}, where).integers("") for value, where in self._items(name))

    def octet_list(self, name: str) -> tuple[bytes, ...]:
        """Return a list of fields of hexadecimal digits."""
        return tuple(self._unhex(value, where) for value, where in self._items(name))

    def optional_octet_list(self, name: str) -> tuple[bytes | None, ...]:
        """Return a list of fields that are null or hexadecimal digits."""
        return tuple(None if value is None else self._unhex(value, where) for value, where in self._items(name))

    def text(self, name: str) -> str:
        """Return a text."""
        value = self._get(name)
        if not isinstance(value, str):
            raise CheckError("shape", f"{self._where(name)} is not a text")
        return value

    def part(self, name: str) -> Fields:
        """Return an object within this one."""
        return Fields(self._get(name), self._where(name))

    def parts(self, name: str) -> tuple[Fields, ...]:
        """Return a list of objects."""
        return tuple(Fields(value, where) for value, where in self._items(name))

    def lists(self, name: str) -> tuple[tuple[Fields, ...], ...]:
        """Return a list of lists of objects."""
        return tuple(Fields({"": value}, where).parts("") for value, where in self._items(name))

    def suite(self) -> CipherSuite:
        """Return the case's cipher suite.

        Raises:
            UnknownSuiteError: it is none of RFC 9420.
        """
        try:
            return cipher_suite(self.integer("cipher_suite", 16))
        except UnsupportedError as error:
            raise UnknownSuiteError(error.message) from error

    def _items(self, name: str) -> Iterator[tuple[object, str]]:
        values = self._get(name)
        if not isinstance(values, list):
            raise CheckError("shape", f"{self._where(name)} is not a list")
        return ((value, f"{self._where(name)}[{number}]") for number, value in enumerate(values))

    @staticmethod
    def _unhex(value: object, where: str) -> bytes:
        if isinstance(value, str):
            try:
                return bytes.fromhex(value)
            except ValueError:
                pass
        raise CheckError("shape", f"{where} is not hexadecimal")

    @staticmethod
    def _check_integer(value: object, where: str, bits: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << bits:
            raise CheckError("shape", f"{where} is not an unsigned integer of {bits} bits")
        return value


@contextmanager
def checking(check: str) -> Iterator[None]:
    """Report every error of this project that is raised inside under the name of a check.

    Raises:
        CheckError: something was raised.
    """
    try:
        yield
    except (CheckError, UnknownSuiteError):
        raise
    except DMLSError as error:
        raise CheckError(check, f"{type(error).__name__}: {error}") from error


def expect(check: str, found: object, wanted: object) -> None:
    """Compare a result with the file's.

    Raises:
        CheckError: they differ.
    """
    if found != wanted:
        raise CheckError(check, f"expected {_shown(wanted)}, found {_shown(found)}")


def _shown(value: object) -> str:
    shown = bytes(value).hex() if isinstance(value, bytes) else repr(value)
    return shown if len(shown) <= 140 else f"{shown[:64]}...{shown[-64:]} ({len(shown)} characters)"


def read_message(kind: type[T], data: bytes, check: str) -> T:
    """Decode an MLSMessage that must hold a `kind`.

    Raises:
        CheckError: it does not.
    """
    with checking(check):
        body = decode(MLSMessage, data).body
    if not isinstance(body, kind):
        raise CheckError(check, f"is a {type(body).__name__}, not a {kind.__name__}")
    return body


def repeating_random(seed: bytes) -> Random:
    """Return a source that gives the same bytes in every run. For keys that are thrown away with the case."""
    numbers = itertools.count()

    return lambda length: hashlib.shake_256(seed + next(numbers).to_bytes(8, "big")).digest(length)
