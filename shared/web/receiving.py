"""Bodies that arrive piece by piece, room for them, and threads of one's own to work on them."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from typing import TypeVar

from fastapi import Request
from starlette.exceptions import HTTPException

from shared.errors import Retryable, TooLarge

T = TypeVar("T")

IDLE_SECONDS = 30.0
_LOOK_SECONDS = 0.01


def in_thread(executor: Executor, call: Callable[[], T]) -> asyncio.Future[T]:
    """The result of `call`, made in a thread that logs in the request's context."""
    return asyncio.get_running_loop().run_in_executor(executor, contextvars.copy_context().run, call)


async def chunks(request: Request, too_large: TooLarge) -> AsyncIterator[bytes]:
    """The body as it arrives.

    Raises `too_large`, 408 for a client that stands still, and `ClientDisconnect`.
    """
    stream = aiter(request.stream())
    while True:
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise HTTPException(408, f"Nothing arrived for {IDLE_SECONDS:.0f} seconds.") from None
        except HTTPException as error:
            if error.status_code == 413:
                raise too_large from None
            raise
        yield chunk


def declared_length(request: Request) -> int | None:
    """In bytes, or None: the client does not say."""
    declared = request.headers.get("content-length", "")
    return int(declared) if declared.isdecimal() and declared.isascii() else None


class Room:
    """Bytes that may be held at once, given to those who wait in the order they came. Thread-safe.

    It is looked at again and again instead of being waited for, so that it belongs to no event loop.
    """

    def __init__(self, capacity: int, patience: float) -> None:
        """`capacity` in bytes; `patience` in seconds: who waited so long in vain is told to stay away as long."""
        self._capacity = capacity
        self._patience = patience
        self._held = 0
        self._waiting: deque[object] = deque()
        self._lock = threading.Lock()

    @asynccontextmanager
    async def holding(self, size: int) -> AsyncIterator[None]:
        """Holds `size` bytes, at most all there are. Raises `Retryable` when there was no room for too long."""
        size = min(size, self._capacity)
        await self._take(size)
        try:
            yield
        finally:
            with self._lock:
                self._held -= size

    async def _take(self, size: int) -> None:
        ticket = object()
        with self._lock:
            self._waiting.append(ticket)
        try:
            async with asyncio.timeout(self._patience):
                while not self._is_given(ticket, size):
                    await asyncio.sleep(_LOOK_SECONDS)
        except BaseException as error:
            with self._lock:
                self._waiting.remove(ticket)
            if isinstance(error, TimeoutError):
                raise Retryable("too many large requests are under way", retry_after=self._patience) from None
            raise

    def _is_given(self, ticket: object, size: int) -> bool:
        with self._lock:
            if self._waiting[0] is not ticket or self._held + size > self._capacity:
                return False
            self._waiting.popleft()
            self._held += size
            return True
