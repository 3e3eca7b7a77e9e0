"""GET /stream: what changes, as server-sent events. Nothing is decided here.

Each event's `data` is JSON and its `id` a time; a client that comes back with it (`Last-Event-ID`, as browsers send it
by themselves, or `since`) is told what it missed. A change may be told twice: its `revision` tells. `reset` says that
too much was missed, and that the lists must be read anew. The beginning and every silence bear ids, too, so that who
was told nothing yet has one to come back with. `shared/web/live_sockets.py` tells the same by WebSocket.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import Annotated

from fastapi import APIRouter, Header
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from shared.handlers.newsroom import Newsroom
from shared.web.callers import Viewer
from shared.web.inbox import Listening, Pace, Sign, Told, as_json, listening

MAX_LISTENERS = 200
"""In one process: fewer than the requests that an instance of `live` may have at once, so that others get through."""

MEDIA_TYPE = "text/event-stream"


def router(newsroom: Callable[[], Newsroom], pace: Pace | None = None) -> APIRouter:
    """The route over the newsroom, made at the first request."""
    routes = APIRouter(tags=["stream"])
    chosen = pace or Pace()

    @routes.get("/stream", response_class=StreamingResponse, responses={200: {"content": {MEDIA_TYPE: {}}}})
    async def stream(
        caller: Viewer, since: str | None = None, last_event_id: Annotated[str | None, Header()] = None
    ) -> StreamingResponse:
        """Events `incident` (opened or changed) and `alert` of the places that are the caller's to see."""
        joined = await listening(newsroom(), caller, last_event_id or since)
        return _EventStream(_events(joined, chosen), joined.leave, chosen.sending)

    return routes


async def _events(joined: Listening, pace: Pace) -> AsyncGenerator[str, None]:
    yield ": Sightline\nretry: 2000\n"
    async with aclosing(joined.told(pace)) as told:
        async for each in told:
            yield _shown(each)


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


def _shown(told: Told) -> str:
    id = f"id: {as_json(told.latest)}\n"
    if told.what is Sign.READY:
        return f"{id}\n"
    if told.what is Sign.STILL_HERE:
        return f": still here\n{id}\n"
    if isinstance(told.what, Sign):
        return f"event: {told.what.value}\ndata: {{}}\n\n"
    data = json.dumps(told.what.told, default=as_json)
    return f"{id}event: {told.what.subject.value}\ndata: {data}\n\n"
