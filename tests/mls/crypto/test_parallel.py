"""Many at once give what one after the other gives."""

from __future__ import annotations

import random
import threading

import pytest

from dmls.errors import CryptoError
from dmls.mls.crypto.parallel import LEAST, spread
from dmls.mls.crypto.suites import CIPHER_SUITES, CipherSuite


@pytest.mark.parametrize("count", [0, 1, LEAST - 1, LEAST, LEAST + 1, 1_000])
def test_results_come_in_the_order_of_the_items(count: int) -> None:
    assert spread(lambda number: number * number, range(count)) == [number * number for number in range(count)]


@pytest.mark.parametrize("wrong", [{0}, {LEAST - 1}, {7, LEAST}, {3 * LEAST - 1, 2 * LEAST}])
def test_the_first_error_in_the_order_of_the_items_is_raised(wrong: set[int]) -> None:
    def judge(number: int) -> None:
        if number in wrong:
            raise ValueError(number)

    with pytest.raises(ValueError, match=f"^{min(wrong)}$"):
        spread(judge, range(3 * LEAST))


def test_no_thread_outlives_the_work() -> None:
    before = threading.active_count()
    names = set(spread(lambda _: threading.current_thread().name, range(4 * LEAST)))
    assert threading.main_thread().name in names
    assert threading.active_count() == before


@pytest.mark.parametrize("suite", CIPHER_SUITES, ids=lambda suite: str(suite.id))
def test_sealing_to_many_is_sealing_to_each(suite: CipherSuite) -> None:
    pairs = [suite.derive_key_pair(bytes([number]) * suite.hash_size) for number in range(LEAST + 3)]
    recipients = [(pair.public_key, bytes([number])) for number, pair in enumerate(pairs)]
    sealer = suite.sealer("UpdatePathNode", b"context")
    alone, together = random.Random(1), random.Random(1)
    sealed = sealer.seal_all(recipients, together.randbytes)
    assert sealed == [sealer.seal(key, plaintext, alone.randbytes) for key, plaintext in recipients]
    assert together.getstate() == alone.getstate()


def test_a_bad_key_among_many_is_refused() -> None:
    suite = CIPHER_SUITES[0]
    good = suite.derive_key_pair(bytes(32)).public_key
    recipients = [(good, b"")] * LEAST + [(bytes(32), b"")]
    with pytest.raises(CryptoError):
        suite.sealer("UpdatePathNode", b"").seal_all(recipients, random.Random(1).randbytes)
