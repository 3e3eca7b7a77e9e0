"""GET /stream: what changes, as server-sent events. Nothing is decided here.

Each event's `data` is JSON and its `id` a time; a client that comes back with it (`Last-Event-ID`, as browsers send it
by themselves, or `since`) is told what it missed. A change may be told twice: its `revision` tells. `reset` says that
too much was missed, and that the lists must be read anew. The beginning and every silence bear ids, too, so that who
was told nothing yet has one to come back with.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from shared.domain.happenings import Happening
from shared.errors import Malformed
from shared.handlers.newsroom import Newsroom
from shared.ports import Caller
from shared.web.callers import Viewer

WAITING = 200
"""Events that a client may lag behind; one that lags further is dropped, and may come back with its last id."""

MAX_LISTENERS = 200
"""In one process: fewer than the requests that an instance of `live` may have at once, so that others get through."""

MEDIA_TYPE = "text/event-stream"


@dataclass(frozen=True)
class Pace:
    """In seconds. `longest` ends a stream before the platform does; `sending`: how long one event may take to leave."""

    heartbeat: float = 15.0
    longest: float = 3300.0
    sending: float = 20.0


def router(newsroom: Callable[[], Newsroom], pace: Pace | None = None) -> APIRouter:
    """The route over the newsroom, made at the first request."""
    routes = APIRouter(tags=["stream"])
    chosen = pace or Pace()

    @routes.get("/stream", response_class=StreamingResponse, responses={200: {"content": {MEDIA_TYPE: {}}}})
    async def stream(
        caller: Viewer, since: str | None = None, last_event_id: Annotated[str | None, Header()] = None
    ) -> StreamingResponse:
        """Events `incident` (opened or changed) and `alert` of the places that are the caller's to see."""
        asked = last_event_id or since
        moment = None if asked is None else _moment(asked)
        inbox = _Inbox(caller)
        joined = newsroom().now()
        leave = newsroom().join(inbox.put)
        try:
            # After joining, so that nothing falls between what was missed and what is told from now on.
            missed = [] if moment is None else await run_in_threadpool(newsroom().missed, moment)
        except BaseException:
            leave()
            raise
        heard = joined if moment is None or missed is None else min(moment, joined)
        return _EventStream(_events(inbox, missed, heard, newsroom().now, chosen), leave, chosen.sending)

    return routes


class _Inbox:
    """What one client has still to be told. Filled from other threads, emptied by the event loop it was made in.

    `over`: the client lags too far behind, or nothing more will come.
    """

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.Queue[Happening | None] = asyncio.Queue(WAITING)
        self._told: dict[object, int] = {}
        self.over = False

    def put(self, happening: Happening | None) -> None:
        """As a `Listener` of the newsroom."""
        with suppress(RuntimeError):  # the loop has ended, and with it the client's connection
            self._loop.call_soon_threadsafe(self._put, happening)

    def _put(self, happening: Happening | None) -> None:
        try:
            self._waiting.put_nowait(happening)
        except asyncio.QueueFull:
            self.over = True

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


async def _events(
    inbox: _Inbox, missed: list[Happening] | None, heard: datetime, now: Callable[[], datetime], pace: Pace
) -> AsyncGenerator[str, None]:
    """`heard`: until when the client knows everything, or will have read it anew."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + pace.longest
    latest = heard
    yield f": Sightline\nretry: 2000\nid: {_json(latest)}\n\n"
    if missed is None:
        yield "event: reset\ndata: {}\n\n"
    for happening in filter(inbox.is_news, missed or ()):
        latest = max(latest, happening.at)
        yield _shown(happening, latest)
    while not inbox.over and loop.time() < ends:
        following = await inbox.next(min(pace.heartbeat, max(0.0, ends - loop.time())))
        if following is None:
            latest = max(latest, now())
            yield f": still here\nid: {_json(latest)}\n\n"
        else:
            latest = max(latest, following.at)
            yield _shown(following, latest)


class _EventStream(StreamingResponse):
    """A stream that ends when its client is gone or takes nothing for too long."""

    def __init__(self, events: AsyncGenerator[str, None], leave: Callable[[], None], sending_seconds: float) -> None:
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        super().__init__(events, headers=headers, media_type=MEDIA_TYPE)
        self._leave = leave
        self._sending_seconds = sending_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_soon(message: Message) -> None:
            await asyncio.wait_for(send(message), self._sending_seconds)

        try:
            with suppress(TimeoutError, ClientDisconnect):  # the server ends an unfinished reply
                await super().__call__(scope, receive, send_soon)
        finally:
            self._leave()


def _shown(happening: Happening, latest: datetime) -> str:
    data = json.dumps(happening.told, default=_json)
    return f"id: {_json(latest)}\nevent: {happening.subject.value}\ndata: {data}\n\n"


def _json(value: Any) -> str:
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
