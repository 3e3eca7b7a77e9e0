"""A pipe from an event loop to a thread: one side sends blocks as they arrive, the other reads them as a file.

A few blocks are in memory, however long the file: whoever sends waits until there is room.
"""

from __future__ import annotations

import asyncio
import io
import queue
from contextlib import suppress
from typing import Any

CAPACITY = 8
"""Blocks between the two sides; what a server hands on at a time has at most some hundred kilobytes."""


class Aborted(Exception):
    """The sender gave up: what was read so far is not the whole file and must not be kept."""


class ReaderEnded(Exception):
    """Nobody reads any more; why, the reader's own end tells."""


class Feed(io.RawIOBase):
    """Made in the event loop whose side sends; it must end by `finish` or `abort`, or the reader waits for ever."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Semaphore(CAPACITY)
        self._blocks: queue.SimpleQueue[bytes | Aborted | None] = queue.SimpleQueue()
        self._reader_ended = False
        self._left = memoryview(b"")
        self._ended = False

    async def send(self, block: bytes) -> None:
        """Hands on a block, waiting for room. Raises `ReaderEnded`."""
        await self._room.acquire()
        if self._reader_ended:
            raise ReaderEnded
        self._blocks.put(block)

    def finish(self) -> None:
        """The file is complete."""
        self._blocks.put(None)

    def abort(self) -> None:
        """The file will not become complete: the reader gets `Aborted`."""
        self._blocks.put(Aborted())

    def reader_ended(self) -> None:
        """Frees a sender that waits; called in the event loop."""
        self._reader_ended = True
        self._room.release()

    def readable(self) -> bool:
        """For the reader's side, like what follows."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Waits for the next bytes; 0 at the end of the file. Raises `Aborted`."""
        while not self._left and not self._ended:
            self._left = memoryview(self._next())
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def _next(self) -> bytes:
        block = self._blocks.get()
        if isinstance(block, Aborted):
            raise block
        if block is None:
            self._ended = True
            return b""
        with suppress(RuntimeError):  # the loop was closed: nobody waits for room, and the end has been sent
            self._loop.call_soon_threadsafe(self._room.release)
        return block
