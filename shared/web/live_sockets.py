"""WebSocket /stream: what changes, as `shared/web/stream.py` tells it by server-sent events. Nothing is decided here.

Each message is a JSON object with `type` and an `id` to come back with (`?since=`). `incident` and `alert` have
`ts_ms`, `frame_source_id` (the place) and `payload` beside it; `ready`, `reset` and `still_here` have nothing. The text
`ping` is answered `{"type": "pong", "data": "ping"}`; other messages are ignored.

A client costs one place among the newsroom's listeners and a bounded inbox. It is closed with 1008 if it takes nothing
for too long or talks too much, with 1009 after a message too large, with 1001 when its time ends,
and with that or 1012 (the web server's own) when the server does. Who it is is asked when it opens, and not again.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from shared.errors import Malformed, Retryable
from shared.handlers.newsroom import Newsroom
from shared.web.inbox import Listening, Pace, Sign, Told, as_json, listening
from shared.web.sockets import GOING_AWAY, REFUSED, TOO_LARGE, UNAVAILABLE, Ending, answered_protocol

MAX_MESSAGE_BYTES = 4096
"""Nobody has more to say than `ping`."""

MOST_MESSAGES = 100
WITHIN_SECONDS = 10.0
CLOSING_SECONDS = 2.0

GONE = (RuntimeError, WebSocketDisconnect)
"""What sending raises when the connection is over."""

DISABLED = Ending(REFUSED, "WebSockets are not enabled here; GET /stream tells the same by server-sent events.")
TOO_SLOW = Ending(REFUSED, "Too slow: too much waits to be told. Come back with the last id.")
TOO_MANY = Ending(REFUSED, f"More than {MOST_MESSAGES} messages in {WITHIN_SECONDS:.0f} seconds.")
LARGE = Ending(TOO_LARGE, f"A message has at most {MAX_MESSAGE_BYTES} bytes.")
OVER = Ending(GOING_AWAY, "The stream ends here. Come back with the last id.")


@dataclass
class Sockets:
    """How many are open in this process. Counted in the event loop alone."""

    open: int = 0


def router(
    newsroom: Callable[[], Newsroom], sockets: Sockets, *, enabled: bool = True, pace: Pace | None = None
) -> APIRouter:
    """The route over the newsroom, made at the first request."""
    routes = APIRouter(tags=["stream"])
    chosen = pace or Pace()

    @routes.websocket("/stream")
    async def stream(socket: WebSocket, since: str | None = None) -> None:
        """Who calls was found out by `SocketAccess`."""
        await socket.accept(answered_protocol(socket.scope))
        sockets.open += 1
        try:
            ending = await _served(socket, since, newsroom, chosen) if enabled else DISABLED
            if ending is not None:
                # A client that takes nothing does not take this, either.
                with suppress(TimeoutError, *GONE):
                    await asyncio.wait_for(socket.close(ending.code, ending.reason), CLOSING_SECONDS)
        finally:
            sockets.open -= 1

    return routes


async def _served(socket: WebSocket, since: str | None, newsroom: Callable[[], Newsroom], pace: Pace) -> Ending | None:
    """Why it ends; None: the client is gone."""
    try:
        joined = await listening(newsroom(), socket.state.caller, since)
    except Malformed as error:
        return Ending(REFUSED, error.sentence)
    except Retryable:
        return UNAVAILABLE
    try:
        return await _first(_hear(socket, pace), _tell(socket, joined, pace))
    finally:
        joined.leave()


async def _first(*sides: Awaitable[Ending | None]) -> Ending | None:
    """What the side says that ends first; the others are ended, too."""
    tasks = [asyncio.ensure_future(side) for side in sides]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return next(task for task in tasks if task in done).result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _hear(socket: WebSocket, pace: Pace) -> Ending | None:
    """Answers what the client says, until it is gone or says too much."""
    loop = asyncio.get_running_loop()
    heard: deque[float] = deque(maxlen=MOST_MESSAGES)
    while (message := await socket.receive())["type"] == "websocket.receive":
        now = loop.time()
        if len(heard) == MOST_MESSAGES and now - heard[0] < WITHIN_SECONDS:
            return TOO_MANY
        heard.append(now)
        text: str = message.get("text") or ""
        if len(text) > MAX_MESSAGE_BYTES or len(message.get("bytes") or b"") > MAX_MESSAGE_BYTES:
            return LARGE
        if text == "ping" and not await _sent(socket, {"type": "pong", "data": "ping"}, pace):
            return TOO_SLOW
    return None


async def _tell(socket: WebSocket, joined: Listening, pace: Pace) -> Ending:
    async with aclosing(joined.told(pace)) as told:
        async for each in told:
            if not await _sent(socket, _shown(each), pace):
                return TOO_SLOW
    return TOO_SLOW if joined.inbox.lags else OVER


async def _sent(socket: WebSocket, shown: dict[str, Any], pace: Pace) -> bool:
    """Whether the client took it in time; one that is gone takes everything, and `_hear` hears of it."""
    try:
        with suppress(*GONE):
            await asyncio.wait_for(socket.send_text(json.dumps(shown, default=as_json)), pace.sending)
    except TimeoutError:
        return False
    return True


def _shown(told: Told) -> dict[str, Any]:
    if isinstance(told.what, Sign):
        return {"type": told.what.value, "id": told.latest}
    return {
        "type": told.what.subject.value,
        "id": told.latest,
        "ts_ms": int(told.what.at.timestamp() * 1000),
        "frame_source_id": told.what.beacon_id,
        "payload": told.what.told,
    }
