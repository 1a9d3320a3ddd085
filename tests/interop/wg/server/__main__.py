"""Serve the working group's MLSClient interface on loopback: `python -m tests.interop.wg.server`."""

from __future__ import annotations

import signal
from typing import Annotated

import typer

from tests.interop.wg.server.service import Service
from tests.interop.wg.server.serving import serve

__all__ = ["main"]


def main(
    port: Annotated[int, typer.Option(metavar="N", help="Port on 127.0.0.1; 0 lets the kernel choose one.")] = 0,
    name: Annotated[str, typer.Option(metavar="NAME", help="What the server calls itself.")] = "dmls",
) -> None:
    """Serve the MLS working group's MLSClient interface on loopback, for interoperability tests, until it is interrupted.

    The first line of output is the address. Everything is held in memory, and private keys are given to whoever asks.
    """
    with serve(Service(name), port) as (server, address):
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: server.stop(None))
        print(address, flush=True)
        server.wait_for_termination()


if __name__ == "__main__":
    typer.run(main)
