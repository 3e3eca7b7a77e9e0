"""What one client of the stream of events has still to be told, whatever the protocol it is told by.

Each client has a time to come back with, as the events' ids have it: who comes back is told what it missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from fastapi.concurrency import run_in_threadpool

from shared.domain.happenings import Happening
from shared.errors import Malformed
from shared.handlers.newsroom import Newsroom
from shared.ports import Caller

WAITING = 200
"""Events that a client may lag behind; one that lags further is dropped, and may come back with its last id."""


@dataclass(frozen=True)
class Pace:
    """In seconds. `longest` ends a stream before the platform does; `sending`: how long one event may take to leave."""

    heartbeat: float = 15.0
    longest: float = 3300.0
    sending: float = 20.0


class Sign(StrEnum):
    """What a client is told beside what happens."""

    READY = "ready"  # it is heard from now on
    RESET = "reset"  # it missed too much, and must read the lists anew
    STILL_HERE = "still_here"  # nothing happened for a while


@dataclass(frozen=True)
class Told:
    """One thing to tell. `latest` is the time to come back with."""

    what: Happening | Sign
    latest: datetime


class Inbox:
    """What one client has still to be told. Filled from other threads, emptied by the event loop it was made in.

    `over`: the client lags too far behind (`lags`), or nothing more will come.
    """

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.Queue[Happening | None] = asyncio.Queue(WAITING)
        self._told: dict[object, int] = {}
        self.over = False
        self.lags = False

    def put(self, happening: Happening | None) -> None:
        """As a `Listener` of the newsroom."""
        with suppress(RuntimeError):  # the loop has ended, and with it the client's connection
            self._loop.call_soon_threadsafe(self._put, happening)

    def _put(self, happening: Happening | None) -> None:
        try:
            self._waiting.put_nowait(happening)
        except asyncio.QueueFull:
            self.over = self.lags = True

    async def next(self, timeout: float) -> Happening | None:
        """The next one that was not told yet and is the caller's to see; None if none comes for so long, or ever."""
        ends = self._loop.time() + timeout
        while True:
            try:
                happening = await asyncio.wait_for(self._waiting.get(), max(0.0, ends - self._loop.time()))
            except TimeoutError:
                return None
            if happening is None:
                self.over = True
                return None
            if self.is_news(happening):
                return happening

    def is_news(self, happening: Happening) -> bool:
        """Whether it is to be told, which it then counts as."""
        if not self._caller.may_see(happening.beacon_id):
            return False
        if self._told.get(happening.key, 0) >= happening.revision:
            return False
        self._told[happening.key] = happening.revision
        return True


@dataclass(frozen=True)
class Listening:
    """A client that joined. `heard`: until when it knows everything, or will have read it anew; `leave` ends it."""

    inbox: Inbox
    missed: list[Happening] | None
    heard: datetime
    now: Callable[[], datetime]
    leave: Callable[[], None]

    async def told(self, pace: Pace) -> AsyncGenerator[Told, None]:
        """All that is to be told, one by one, until the inbox is over or `pace.longest` is."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + pace.longest
        latest = self.heard
        yield Told(Sign.READY, latest)
        if self.missed is None:
            yield Told(Sign.RESET, latest)
        for happening in filter(self.inbox.is_news, self.missed or ()):
            latest = max(latest, happening.at)
            yield Told(happening, latest)
        while not self.inbox.over and loop.time() < ends:
            following = await self.inbox.next(min(pace.heartbeat, max(0.0, ends - loop.time())))
            latest = max(latest, self.now() if following is None else following.at)
            yield Told(Sign.STILL_HERE if following is None else following, latest)


async def listening(newsroom: Newsroom, caller: Caller, asked: str | None) -> Listening:
    """Joins. `asked`: the id the client was told last, if it comes back.

    Raises `Malformed` for one that is none, `Retryable` when too many listen or the store does not answer.
    """
    moment = None if asked is None else _moment(asked)
    inbox = Inbox(caller)
    joined = newsroom.now()
    leave = newsroom.join(inbox.put)
    try:
        # After joining, so that nothing falls between what was missed and what is told from now on.
        missed = [] if moment is None else await run_in_threadpool(newsroom.missed, moment)
    except BaseException:
        leave()
        raise
    heard = joined if moment is None or missed is None else min(moment, joined)
    return Listening(inbox, missed, heard, newsroom.now, leave)


def as_json(value: Any) -> str:
    """A time, as ids and JSON show it. Raises TypeError for all else, as `json.dumps` wants it."""
    if not isinstance(value, datetime):
        raise TypeError(f"{type(value).__name__} is not told")
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _moment(text: str) -> datetime:
    """A time as the events' ids have it. Raises `Malformed`."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):  # in UTC it may lie beyond the years there are
        pass
    raise Malformed("invalid_since", "since must be a time such as 2026-03-01T12:00:00Z.")
