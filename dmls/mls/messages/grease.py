"""GREASE: values that stand for nothing, sent so that nobody comes to rely on their absence (RFC 9420, Section 13.5).

They are chosen here and left out here. Whoever receives them treats them like any value of no known meaning.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dmls.mls.crypto.randomness import Random, draw
from dmls.mls.messages.extensions import Extension
from dmls.mls.messages.leaf_node import Capabilities
from dmls.mls.messages.registry import GREASE_VALUES

__all__ = ["grease_capabilities", "grease_extension", "grease_value", "without_grease"]

_VALUES = tuple(sorted(GREASE_VALUES))
_LONGEST_DATA = 16


def grease_value(random: Random) -> int:
    """Draw one of the 15 GREASE values."""
    return _VALUES[draw(random, 1)[0] % len(_VALUES)]


def grease_extension(random: Random, extension_type: int | None = None) -> Extension:
    """Return an extension that means nothing, of up to 15 random bytes, and of a GREASE type if none is given."""
    number = grease_value(random) if extension_type is None else extension_type
    return Extension(number, draw(random, draw(random, 1)[0] % _LONGEST_DATA))


def grease_capabilities(capabilities: Capabilities, random: Random) -> Capabilities:
    """Return capabilities that also list a GREASE value: one and the same, before or behind the others of each list.

    One value for all lists keeps the number of different lists small, which those who compare many members' profit from. Versions
    are left alone: RFC 9420 reserves no values of theirs.
    """
    value, is_first = grease_value(random), draw(random, 1)[0] % 2

    def put(listed: tuple[int, ...]) -> tuple[int, ...]:
        return (value, *listed) if is_first else (*listed, value)

    return _with_lists(capabilities, put)  # EX-08


def without_grease(capabilities: Capabilities) -> Capabilities:
    """Return what a client can really do: its capabilities but for the values that stand for nothing."""

    def keep(listed: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(value for value in listed if value not in GREASE_VALUES)  # EX-07

    return _with_lists(capabilities, keep)


def _with_lists(capabilities: Capabilities, change: Callable[[tuple[int, ...]], tuple[int, ...]]) -> Capabilities:
    """Change the lists that GREASE values may stand in."""
    return replace(
        capabilities,
        cipher_suites=change(capabilities.cipher_suites),
        extensions=change(capabilities.extensions),
        proposals=change(capabilities.proposals),
        credentials=change(capabilities.credentials),
    )
