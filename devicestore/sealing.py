"""Secrets at rest: XChaCha20-Poly1305 with the row's place as associated data.

    key-encryption key   32 bytes from outside: a file, the environment, a command; never in the database
      root key           random, one a store, sealed under it in the one row of `meta`: a new key-encryption key rewraps that row
        data keys        random, one for each version of each sealed row (`devicestore.data_keys`)
          rows           epochs, private keys, plaintexts

The associated data names the format, the store, the table, the row's key and the row's version, so a value that is moved to
another row, table or store, or put under another version, does not open. What it cannot tell is a whole file put back to an
older state.

A sealed value is `format (1) || nonce (24) || ciphertext || tag (16)`.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from nacl.exceptions import CryptoError
from nacl.secret import Aead
from sqlalchemy import Connection

from devicestore.errors import Invalid, SealBroken, StoreError, Unavailable
from devicestore.files import open_private, sync_directory

__all__ = ["KEY_LENGTH", "OVERHEAD", "SEALING_OPTION", "RowSealing", "Sealing", "load_or_create_key", "row_sealing"]

KEY_LENGTH = 32
"""Length in bytes of every symmetric key here."""

SEALING_OPTION = "devicestore_sealing"
"""The execution option under which a store's connections carry their `RowSealing`."""

OVERHEAD = 1 + Aead.NONCE_SIZE + Aead.MACBYTES
"""By how many bytes a sealed value is longer than what is in it."""

_FORMAT = b"\x01"
_AAD_LABEL = b"devicestore sealed row"


class RowSealing:
    """Seals and opens values under one key for the rows of one store."""

    __slots__ = ("_aead", "_store_id")

    def __init__(self, store_id: bytes, key: bytes) -> None:
        if len(key) != KEY_LENGTH:
            raise Invalid(f"a sealing key has {KEY_LENGTH} bytes")
        self._store_id = store_id
        self._aead = Aead(key)

    def __repr__(self) -> str:
        return "RowSealing()"

    def under(self, key: bytes) -> RowSealing:
        """Return the sealing of the same store under another key of 32 bytes."""
        return RowSealing(self._store_id, key)

    def seal(self, table: str, key: tuple[bytes, ...], version: int, plaintext: bytes) -> bytes:
        """Return `plaintext` sealed for one version of one row of `table`; `key` is the row's primary key."""
        aad = _encode_aad(self._store_id, table, key, version)
        return _FORMAT + bytes(self._aead.encrypt(plaintext, aad, os.urandom(Aead.NONCE_SIZE)))

    def unseal(self, table: str, key: tuple[bytes, ...], version: int, sealed: bytes) -> bytes:
        """Return what `seal` was given.

        Raises:
            SealBroken: another key, place or version, or altered bytes.
        """
        plaintext: bytes | None = None
        if sealed[:1] == _FORMAT and len(sealed) >= OVERHEAD:
            aad = _encode_aad(self._store_id, table, key, version)
            try:
                plaintext = self._aead.decrypt(sealed[1:], aad)
            except CryptoError:
                plaintext = None
        if plaintext is None:
            raise SealBroken(f"a sealed value of table {table} does not open")
        return plaintext


class Sealing:
    """The key-encryption key of a store, 32 bytes that are kept outside of its database."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_LENGTH:
            raise Invalid(f"a key-encryption key has {KEY_LENGTH} bytes")
        self._key = key

    def __repr__(self) -> str:
        return "Sealing()"

    def wrap_root(self, store_id: bytes, version: int, root: bytes) -> bytes:
        """Return the root key of a store, sealed."""
        return RowSealing(store_id, self._key).seal("meta", (store_id,), version, root)

    def unwrap_root(self, store_id: bytes, version: int, sealed: bytes) -> bytes:
        """Return the root key of a store.

        Raises:
            SealBroken: this key is not the one that the store was made with.
        """
        return RowSealing(store_id, self._key).unseal("meta", (store_id,), version, sealed)


def row_sealing(conn: Connection) -> RowSealing:
    """Return the sealing that belongs to the store of this connection."""
    sealing = conn.get_execution_options().get(SEALING_OPTION)
    if not isinstance(sealing, RowSealing):
        raise StoreError("this connection was not made by a Store and opens no sealed rows")
    return sealing


def load_or_create_key(path: str | os.PathLike[str]) -> bytes:
    """Return the 32 bytes of a key file, which is made, readable by its owner only, where there is none.

    A new file appears under its name only when it is complete and on the disk; of two processes that make it at the same time
    both read the same key.

    Raises:
        Insecure: the file is a link, belongs to somebody else, or others may read or write it.
        Invalid: the file does not hold 32 bytes.
        Unavailable: the file cannot be read or made.
    """
    target = Path(path)
    try:
        if not os.path.lexists(target):
            _create_key(target)
        return _read_key(target)
    except OSError as error:
        reason = error.strerror or type(error).__name__
    raise Unavailable(f"the key file cannot be read or made: {reason}")


def _create_key(target: Path) -> None:
    draft = target.with_name(f".{target.name}.{os.urandom(8).hex()}")
    try:
        with os.fdopen(open_private(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, "key file"), "wb") as file:
            file.write(os.urandom(KEY_LENGTH))
            file.flush()
            os.fsync(file.fileno())
        # A link, unlike a rename, never replaces the key that another process made meanwhile.
        with contextlib.suppress(FileExistsError):
            os.link(draft, target)
    finally:
        draft.unlink(missing_ok=True)
    sync_directory(target.parent)


def _read_key(target: Path) -> bytes:
    with os.fdopen(open_private(target, os.O_RDONLY, "key file"), "rb") as file:
        key = file.read(KEY_LENGTH + 1)
    if len(key) != KEY_LENGTH:
        raise Invalid(f"the key file must hold exactly {KEY_LENGTH} bytes")
    return key


def _encode_aad(store_id: bytes, table: str, key: tuple[bytes, ...], version: int) -> bytes:
    # Every part carries its length, so no two places share an encoding.
    encoded = [_AAD_LABEL, _FORMAT, version.to_bytes(8, "big")]
    for part in (store_id, table.encode(), *key):
        encoded += (len(part).to_bytes(4, "big"), part)
    return b"".join(encoded)
