"""Tells the meter of every request: its route, its status, and how long its reply took to begin.

The route is its template, never the path as it was sent: a client could make up any number of paths. What no route
serves is counted as one. Until a reply begins is the service's time; how fast a client reads it is the client's. A
connection that stays (events, WebSocket) has no such time: it is a session, heard from whenever something passes.
CORS preflights are not counted.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.web.meter import Meter

log = logging.getLogger(__name__)

NO_ROUTE = "(none)"
_EVENTS = b"text/event-stream"


class RequestMetrics:
    """Measures what passes; changes nothing."""

    def __init__(self, app: ASGIApp, meter: Meter, routers: Sequence[APIRouter], *, whole_process: bool) -> None:
        self._app = app
        self._meter = meter
        self._routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
        self._must_end = whole_process

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on."""
        self._arrange_the_end()
        if scope["type"] == "websocket":
            await self._listen(scope, receive, send)
        elif scope["type"] == "http" and scope["method"] != "OPTIONS":
            await self._measure(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _measure(self, scope: Scope, receive: Receive, send: Send) -> None:
        watched = _Watched(self._meter, send, lambda: self._record(scope, watched))
        try:
            await self._app(scope, receive, watched.send)
        except Exception:
            watched.fail()
            raise
        finally:
            self._record(scope, watched)

    def _record(self, scope: Scope, watched: _Watched) -> None:
        if watched.counted or watched.session is not None or watched.status is None:
            return
        watched.counted = True
        try:
            self._meter.record(self._template(scope), watched.status, watched.seconds)
        except Exception:
            log.exception("a request could not be counted")

    def _template(self, scope: Scope) -> str:
        """The path of its route; of what was refused before it came to one, of the route it would have come to."""
        route = scope.get("route")
        if isinstance(route, APIRoute):
            return route.path_format
        meant = (route for route in self._routes if scope["method"] in (route.methods or ()))
        return next((route.path_format for route in meant if route.matches(scope)[0] is Match.FULL), NO_ROUTE)

    async def _listen(self, scope: Scope, receive: Receive, send: Send) -> None:
        session = self._meter.open_session()

        async def heard() -> Message:
            message = await receive()
            self._meter.heard(session)
            return message

        async def told(message: Message) -> None:
            await send(message)
            self._meter.heard(session)

        await self._app(scope, heard, told)

    def _arrange_the_end(self) -> None:
        """At the first request, for only then the server's own handlers are in place."""
        if self._must_end:
            self._must_end = False
            self._meter.store_at_end()


class _Watched:
    """One reply. `status` is None before it begins; `session` is there if it is a stream of events.

    `on_end` is called before its last part leaves: who has a whole reply is counted, also if the process ends then.
    """

    def __init__(self, meter: Meter, send: Send, on_end: Callable[[], None]) -> None:
        self._meter = meter
        self._send = send
        self._on_end = on_end
        self._started = time.perf_counter()
        self.status: int | None = None
        self.seconds = 0.0
        self.session: int | None = None
        self.counted = False

    async def send(self, message: Message) -> None:
        """Sends on."""
        if message["type"] == "http.response.start":
            self._begin(message["status"])
            if any(name == b"content-type" and value.startswith(_EVENTS) for name, value in message["headers"]):
                self.session = self._meter.open_session()
        elif message["type"] == "http.response.body" and not message.get("more_body"):
            self._on_end()
        await self._send(message)
        if self.session is not None:
            self._meter.heard(self.session)

    def fail(self) -> None:
        """It ends without a reply of the application's: the framework answers 500."""
        if self.status is None:
            self._begin(500)

    def _begin(self, status: int) -> None:
        self.status = status
        self.seconds = time.perf_counter() - self._started
