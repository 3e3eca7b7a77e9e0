"""An HTTP proxy in front of an origin that spoils single replies, as a broken deployment would."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from local.emulators import free_port, wait_until_listening

METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"]
KEPT = ("content-type", "location", "www-authenticate")
Spoiler = Callable[[Response], Response]


@dataclass
class Spoilt:
    """Where the proxy listens. `spoilers`: by route (`GET /incidents/*`), what becomes of its replies."""

    url: str
    spoilers: dict[str, Spoiler] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


def changed(**fields: Any) -> Spoiler:
    """A reply whose JSON object has these fields instead."""

    def spoil(reply: Response) -> Response:
        return answer(reply.status_code, {**json.loads(bytes(reply.body)), **fields})

    return spoil


def instead(status: int, body: object) -> Spoiler:
    """Another reply altogether."""
    return lambda _: answer(status, body)


def times(count: int, spoiler: Spoiler) -> Spoiler:
    """Spoils the first `count` replies."""
    left = [count]

    def spoil(reply: Response) -> Response:
        left[0] -= 1
        return spoiler(reply) if left[0] >= 0 else reply

    return spoil


def answer(status: int, body: object) -> Response:
    """A JSON reply."""
    return Response(json.dumps(body), status, media_type="application/json")


@contextmanager
def spoiling(origin: str) -> Iterator[Spoilt]:
    """Serves the proxy on loopback while the block lasts."""
    port = free_port()
    made = Spoilt(f"http://127.0.0.1:{port}")
    client = httpx.Client(base_url=origin, timeout=120)

    def forward(method: str, target: str, headers: dict[str, str], body: bytes) -> Response:
        reply = client.request(method, target, headers=headers, content=body)
        kept = {name: value for name, value in reply.headers.items() if name in KEPT}
        return Response(reply.content, reply.status_code, kept)

    async def handle(request: Request) -> Response:
        from starlette.concurrency import run_in_threadpool

        made.asked.append(f"{request.method} {request.url.path}")
        headers = {name: value for name, value in request.headers.items() if name not in {"host", "accept-encoding"}}
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        reply = await run_in_threadpool(forward, request.method, target, headers, await request.body())
        for route, spoiler in made.spoilers.items():
            method, pattern = route.split(" ")
            if method == request.method and fnmatchcase(request.url.path, pattern):
                return spoiler(reply)
        return reply

    app = Starlette(routes=[Route("/{path:path}", handle, methods=METHODS)])
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        wait_until_listening(port, thread.is_alive)
        yield made
    finally:
        server.should_exit = True
        server.force_exit = True
        thread.join(10)
        client.close()
