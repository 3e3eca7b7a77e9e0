"""Runs an application whose replies may have no end: they are ended before the server waits for those under way."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

from shared.web.live_sockets import MAX_MESSAGE_BYTES

STOP_SECONDS = 8
"""How long requests under way may take when the server stops; the platform waits 10 seconds before it kills."""

KEEP_ALIVE_SECONDS = 65
"""How long a connection may lie idle: longer than clients keep theirs (5 s is httpx's and was the server's own), since
one that is closed while a request is on its way is an error at the client."""


def options(app: ASGIApp, *, host: str, port: int, forwarded_allow_ips: str | None = None) -> uvicorn.Config:
    """How it is served. `forwarded_allow_ips`: whose word is taken on how a client reached us, `*` for everybody's."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        ws_max_size=MAX_MESSAGE_BYTES,
        ws_per_message_deflate=False,  # messages are small, and each client would cost two windows
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
        forwarded_allow_ips=forwarded_allow_ips,
    )


class StreamServer(uvicorn.Server):
    """Serves; `end_streams` is called first when it stops."""

    def __init__(self, config: uvicorn.Config, end_streams: Callable[[], None]) -> None:
        super().__init__(config)
        self._end_streams = end_streams

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stops."""
        self._end_streams()
        await super().shutdown(sockets)
