"""Waiting for what other threads say."""

from __future__ import annotations

import asyncio

import pytest

from dmls.service.signals import Signal, wait
from tests.service.loopback import run


@pytest.mark.parametrize("turns", range(6))
def test_a_task_that_waits_is_cancelled_also_when_the_event_comes_at_the_same_time(turns: int) -> None:
    async def main() -> None:
        event = asyncio.Event()

        async def work() -> None:
            await wait(event, 60)
            await asyncio.Event().wait()

        task = asyncio.create_task(work())
        for _ in range(3):
            await asyncio.sleep(0)
        event.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 10)

    run(main())


def test_it_ends_with_the_signal_or_with_the_time() -> None:
    async def main() -> None:
        signal = Signal(asyncio.get_running_loop())
        event = signal.next
        await wait(event, 0.0)
        assert not event.is_set()
        signal.fire()
        await wait(event, 60)
        assert event.is_set()
        assert not signal.next.is_set()

    run(main())
