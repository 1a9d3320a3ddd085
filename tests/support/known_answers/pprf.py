"""Known answers of the PPRF, for every suite: outputs, sizes, and what cannot be evaluated any more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dmls.errors import PuncturedError
from dmls.forks.pprf import KEPT_LEVELS, PPRF
from dmls.mls.crypto.suites import CIPHER_SUITES, CipherSuite

__all__ = ["make"]

_ORDERS = ([0, 1, 2], [2, 0, 1], [1, 2, 0])


def make() -> list[dict[str, Any]]:
    return [_of_suite(suite) for suite in CIPHER_SUITES]


def _of_suite(suite: CipherSuite) -> dict[str, Any]:
    size = suite.hash_size
    key = bytes(range(size))
    inputs = [b"\xaa" * size, b"\xab" * size, bytes(range(255, 255 - size, -1))]
    near = inputs[0][:8] + b"\x00" * (size - 8)
    """Parts from the first input at the 65th bit."""
    pprf = PPRF.create(suite, key)
    return {
        "cipher_suite": suite.id,
        "key": key.hex(),
        "inputs": [value.hex() for value in inputs],
        "outputs": [pprf.evaluate(value)[0].hex() for value in inputs],
        "orders": [_in_order(suite, key, [inputs[number] for number in order], order) for order in _ORDERS],
        "after_the_first": {
            "same_input": {"input": inputs[0].hex(), "kept_64": _again(suite, key, inputs[0], KEPT_LEVELS, inputs[0])}
            | {"full": _again(suite, key, inputs[0], 8 * size, inputs[0])},
            "same_64_bits": {"input": near.hex(), "kept_64": _again(suite, key, near, KEPT_LEVELS, inputs[0])}
            | {"full": _again(suite, key, near, 8 * size, inputs[0])},
        },
    }


def _in_order(suite: CipherSuite, key: bytes, inputs: Sequence[bytes], order: list[int]) -> dict[str, Any]:
    """Evaluate in one order and count what is held after each input, with 64 levels kept and with all."""
    counts: dict[str, Any] = {"order": order}
    for name, levels in (("nodes_kept_64", KEPT_LEVELS), ("nodes_full", 8 * suite.hash_size)):
        pprf, held = PPRF.create(suite, key, levels), []
        for value in inputs:
            pprf = pprf.evaluate(value)[1]
            held.append(pprf.node_count)
        counts[name] = held
    return counts


def _again(suite: CipherSuite, key: bytes, value: bytes, levels: int, used: bytes) -> str | None:
    """Return the output for an input after another was used, None where it is punctured."""
    left = PPRF.create(suite, key, levels).evaluate(used)[1]
    try:
        return left.evaluate(value)[0].hex()
    except PuncturedError:
        return None
