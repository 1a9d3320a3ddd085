"""Ways in which a leaf can break one rule, and ways in which it looks odd and breaks none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from dmls.mls.codec import struct
from dmls.mls.messages.credential import X509Credential
from dmls.mls.messages.custom import CustomProposalType, register
from dmls.mls.messages.extensions import Extension
from dmls.mls.messages.leaf_node import LeafNode
from dmls.mls.messages.registry import GREASE_VALUES, ExtensionType

__all__ = ["APP", "APP_PROPOSAL", "BREACHES", "HARMLESS", "Breach", "capable", "extended", "keyed", "registered", "same"]

APP = 0xF123
"""An extension type of no known meaning."""

APP_PROPOSAL = 0xF00D
"""A proposal type of no known meaning."""


@struct
class _Nothing:
    """A proposal without content."""


@contextmanager
def registered() -> Iterator[None]:
    """Have the application know APP_PROPOSAL, so that clients may list it."""
    with register(CustomProposalType(number=APP_PROPOSAL, content=_Nothing, requires_path=False)):
        yield


Breach = Callable[[LeafNode], LeafNode]


def capable(**changes: tuple[int, ...]) -> Breach:
    return lambda leaf: replace(leaf, capabilities=replace(leaf.capabilities, **changes))


def keyed(**keys: bytes) -> Breach:
    return lambda leaf: replace(leaf, **keys)  # type: ignore[arg-type]


def extended(*numbers: int, listed: tuple[int, ...] = ()) -> Breach:
    return lambda leaf: replace(
        leaf,
        extensions=tuple(Extension(number, b"") for number in numbers),
        capabilities=replace(leaf.capabilities, extensions=listed),
    )


def same(leaf: LeafNode) -> LeafNode:
    return leaf


BREACHES: dict[str, tuple[str, Breach]] = {
    "unlisted extension": ("LN-05", extended(APP)),
    "credential type not listed": ("LN-06", capable(credentials=())),
    "only another credential type listed": ("LN-06", capable(credentials=(2, 3))),
    "no version": ("LN-07", capable(versions=())),
    "only another version": ("LN-07", capable(versions=(0, 2))),
    "no cipher suite": ("LN-07", capable(cipher_suites=())),
    "only another cipher suite": ("LN-07", capable(cipher_suites=(2, 3))),
    "extension twice": ("LN-23", extended(APP, APP, listed=(APP,))),
    "application_id twice": ("LN-23", extended(1, 1)),
    "ratchet_tree in a leaf": ("LN-24", extended(ExtensionType.RATCHET_TREE)),
    "required_capabilities in a leaf": ("LN-24", extended(ExtensionType.REQUIRED_CAPABILITIES)),
    "external_pub in a leaf": ("LN-24", extended(ExtensionType.EXTERNAL_PUB, listed=(4,))),
    "external_senders in a leaf": ("LN-24", extended(ExtensionType.EXTERNAL_SENDERS)),
    "short encryption key": ("LN-25", lambda leaf: replace(leaf, encryption_key=leaf.encryption_key[:-1])),
    "no encryption key": ("LN-25", keyed(encryption_key=b"")),
    "encryption key of small order": ("LN-25", keyed(encryption_key=bytes(32))),
    "empty certificate chain": (
        "CRD-03",
        lambda leaf: capable(credentials=(1, 2))(replace(leaf, credential=X509Credential(()))),
    ),
}
HARMLESS: dict[str, Breach] = {
    "nothing altered": same,
    "GREASE everywhere": capable(
        versions=(1, 0x0A0A),
        cipher_suites=(1, 0x1A1A),
        extensions=tuple(sorted(GREASE_VALUES)),
        proposals=(0xEAEA,),
        credentials=(1, 0x2A2A),
    ),
    "listed extension of no known meaning": extended(0x3A3A, APP, listed=(APP, 0x3A3A)),
    "application_id": extended(ExtensionType.APPLICATION_ID),
    "default types listed": capable(extensions=(1, 2, 3, 4, 5), proposals=(1, 2, 3, 4, 5, 6, 7)),
}
