"""Fresh clients and key packages, and the joins that wait for their Welcome."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TypeVar

from dmls.errors import InvalidArgumentError
from dmls.mls.codec import decode
from dmls.mls.crypto.suites import CIPHER_SUITES, CipherSuite
from dmls.mls.group.leaf import Client, KeyPackageBundle, add_grease, create_key_package, default_capabilities
from dmls.mls.group.psks import PSKKeeper
from dmls.mls.limits import Limits
from dmls.mls.messages.credential import BasicCredential
from dmls.mls.messages.leaf_node import Lifetime
from dmls.mls.messages.message import MLSMessage

__all__ = ["LIMITS", "NO_PSKS", "PSKHolder", "PendingJoin", "create_client", "lifetime", "now", "open_body"]

T = TypeVar("T")

LIMITS = Limits(clock_skew=86_400)
"""Peers' clocks may be a day off."""

NO_PSKS = PSKKeeper()

_EARLIER = 3_600
_LATER = 28 * 86_400


def now() -> int:
    """Return seconds since the epoch."""
    return int(time.time())


def lifetime() -> Lifetime:
    """Return the lifetime of a key package made now: four weeks, which every implementation accepts."""
    return Lifetime(now() - _EARLIER, now() + _LATER)


def create_client(suite: CipherSuite, identity: bytes) -> Client:
    """Make a client with a fresh signature key. It lists values that stand for nothing (RFC 9420, Section 13.5)."""
    capabilities = default_capabilities([known.id for known in CIPHER_SUITES])
    return add_grease(Client.create(suite, BasicCredential(identity), os.urandom, capabilities=capabilities), os.urandom)


def open_body(message: bytes, kind: type[T]) -> T:
    """Return the content of an MLSMessage, which must be one of `kind`.

    Raises:
        CodecError: it does not decode.
        InvalidArgumentError: it holds something else.
    """
    body = decode(MLSMessage, message).body
    if not isinstance(body, kind):
        raise InvalidArgumentError(f"a {type(body).__name__} where a {kind.__name__} belongs")
    return body


class PSKHolder:
    """Something that external pre-shared keys can be stored for."""

    psks: PSKKeeper


@dataclass
class PendingJoin(PSKHolder):
    """A key package with its private keys, until a Welcome comes."""

    suite: CipherSuite
    client: Client
    bundle: KeyPackageBundle
    psks: PSKKeeper = NO_PSKS

    @classmethod
    def create(cls, suite: CipherSuite, client: Client) -> PendingJoin:
        """Make a key package of `client`."""
        return cls(suite, client, create_key_package(suite, client, lifetime(), os.urandom))
