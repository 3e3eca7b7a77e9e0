"""One origin over many functions: leads each request to the function whose route it is, as the load balancer does."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from infra.topology import Topology
from local.gateway_sockets import pass_on

METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]
HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "upgrade", "host", "content-length"})


def gateway(declared: Topology, origins: Mapping[str, str]) -> Starlette:
    """An application that passes requests on. `origins`: each HTTP function's own origin."""
    client = httpx.AsyncClient(timeout=300.0)  # as long as the slowest function may take

    async def forward(request: Request) -> Response:
        function = function_for(declared, _asked_method(request), request.url.path)
        if function is None:
            return JSONResponse({"detail": "Not Found"}, 404)
        asking = client.build_request(
            request.method,
            f"{origins[function]}{_target(request)}",
            content=await request.body(),
            headers=[(name, value) for name, value in request.headers.items() if name not in HOP_BY_HOP],
        )
        reply = await client.send(asking, stream=True)
        kept = {name: value for name, value in reply.headers.items() if name not in HOP_BY_HOP}
        # As it comes: a stream of events has no end to wait for.
        return _Passed(reply, kept)

    async def join(socket: WebSocket) -> None:
        function = function_for(declared, "GET", socket.url.path)
        if function is None:
            await socket.close()
        else:
            await pass_on(socket, origins[function])

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await client.aclose()

    routes = [Route("/{path:path}", forward, methods=METHODS), WebSocketRoute("/{path:path}", join)]
    return Starlette(routes=routes, lifespan=lifespan)


class _Passed(StreamingResponse):
    """A function's reply, passed on; the function hears of it when the client is gone."""

    def __init__(self, reply: httpx.Response, headers: Mapping[str, str]) -> None:
        super().__init__(reply.aiter_raw(), reply.status_code, headers)
        self._reply = reply

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._reply.aclose()


def _asked_method(request: Request) -> str:
    """A preflight goes where the request it asks for will go, and GET answers HEAD."""
    asked = request.method
    if asked == "OPTIONS":
        asked = request.headers.get("access-control-request-method", asked)
    return "GET" if asked == "HEAD" else asked


def _target(request: Request) -> str:
    """Path and query as they were sent: decoding them once more would change `%2F` and `%25`."""
    path: bytes = request.scope["raw_path"]
    query: bytes = request.scope["query_string"]
    return (path + (b"?" + query if query else b"")).decode("ascii")


def function_for(declared: Topology, method: str, path: str) -> str | None:
    """The function one of whose routes (`GET /beacons/*`) matches, or None."""
    for name, function in declared.http_functions().items():
        for route in function.routes:
            wanted, pattern = route.split(" ", 1)
            if method == wanted and re.fullmatch(_expression(pattern), path):
                return name
    return None


def _expression(pattern: str) -> str:
    """A `*` at the end stands for anything below, one inside for one segment, as in the load balancer's URL map."""
    beginning, is_open = pattern.removesuffix("*"), pattern.endswith("*")
    return re.escape(beginning).replace(r"\*", "[^/]+") + ("(?s:.*)" if is_open else "")
