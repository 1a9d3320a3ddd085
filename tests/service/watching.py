"""Streams, read frame by frame."""

from __future__ import annotations

import asyncio
from typing import Any

__all__ = ["Watch"]


class Watch:
    """A stream that is read frame by frame."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.cursor = ""

    async def frame(self) -> Any:
        """Return the next frame that says something."""
        async with asyncio.timeout(10):
            while True:
                frame = await self._stream.read()
                self.cursor = frame.cursor
                if frame.WhichOneof("frame") != "keepalive":
                    return frame

    async def present(self) -> list[Any]:
        """Return what comes before the stream has caught up."""
        assert (await self.frame()).WhichOneof("frame") == "started"
        found = []
        while (frame := await self.frame()).WhichOneof("frame") != "caught_up":
            found.append(frame)
        return found
