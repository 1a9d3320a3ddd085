"""How much to pad what is encrypted, so that its length tells less about it (RFC 9420, Section 15.1).

A policy is a function of the length of a content that is about to be encrypted, in octets, to the octets of zeros to add.
Receivers take any number of them.
"""

from __future__ import annotations

from collections.abc import Callable

from dmls.errors import UsageError

__all__ = ["Padding", "no_padding", "pad_in_steps", "pad_to_multiple"]

Padding = Callable[[int], int]


def no_padding(length: int) -> int:
    """Add nothing: the length is seen as it is."""
    return 0


def pad_to_multiple(size: int) -> Padding:
    """Return the policy that fills up to a multiple of `size` octets: the same cost for all, little cover for what is long.

    Raises:
        UsageError: `size` is not positive.
    """
    if size < 1:
        raise UsageError("contents are padded to a positive number of octets")
    return lambda length: -length % size


def pad_in_steps(least: int = 0) -> Padding:
    """Return the policy whose steps grow with the length: a content of n octets shows about log2(log2(n)) bits of it.

    Lengths keep as many leading binary digits as the number of their digits has, the rest is rounded up (Padmé). That adds an
    eighth at most. What is shorter than `least` octets is filled up to them first.

    Raises:
        UsageError: `least` is negative.
    """
    if least < 0:
        raise UsageError("a least length is not negative")

    def pad(length: int) -> int:
        size = max(length, least)
        exponent = max(size.bit_length() - 1, 0)
        step = 1 << max(exponent - exponent.bit_length(), 0)
        return size + -size % step - length

    return pad
