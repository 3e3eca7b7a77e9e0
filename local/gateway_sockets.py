"""WebSockets through the gateway: what comes on one side goes out on the other, until either ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

PASSED_ON = ("authorization", "cookie", "traceparent", "x-cloud-trace-context")


async def pass_on(socket: WebSocket, origin: str) -> None:
    """Joins the client with the function at `origin`, which sees the host that the client asked for."""
    behind = urlsplit(origin)
    url = f"ws://{socket.headers['host']}{_target(socket)}"
    page = socket.headers.get("origin")
    try:
        async with connect(
            url,
            host=behind.hostname,
            port=behind.port,
            origin=None if page is None else Origin(page),
            subprotocols=[Subprotocol(name) for name in socket.scope["subprotocols"]] or None,
            additional_headers=[(name, value) for name, value in socket.headers.items() if name in PASSED_ON],
            compression=None,
            ping_interval=None,
            proxy=None,
        ) as upstream:
            await socket.accept(upstream.subprotocol)
            await _until_one_ends(_upwards(socket, upstream), _downwards(socket, upstream))
    except InvalidStatus:
        await socket.close()  # before it is accepted: the client sees a 403


def _target(socket: WebSocket) -> str:
    path: bytes = socket.scope["raw_path"]
    query: bytes = socket.scope["query_string"]
    return (path + (b"?" + query if query else b"")).decode("ascii")


async def _until_one_ends(*sides: Coroutine[Any, Any, None]) -> None:
    tasks = [asyncio.ensure_future(side) for side in sides]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _upwards(socket: WebSocket, upstream: ClientConnection) -> None:
    with suppress(ConnectionClosed):
        while (message := await socket.receive())["type"] == "websocket.receive":
            await upstream.send(message["text"] if message.get("text") is not None else message["bytes"])


async def _downwards(socket: WebSocket, upstream: ClientConnection) -> None:
    with suppress(WebSocketDisconnect, RuntimeError):
        try:
            async for message in upstream:
                sending: Callable[[Any], Any] = socket.send_text if isinstance(message, str) else socket.send_bytes
                await sending(message)
        except ConnectionClosed:
            pass
        await socket.close(upstream.close_code or 1000, upstream.close_reason)
