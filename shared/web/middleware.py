"""What happens to every request before it reaches a route: its log context, who calls, its declared length."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Mapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared import logs
from shared.errors import Retryable
from shared.web.access import ANONYMOUS, Access
from shared.web.callers import DEVICE_PREFIX, Rules
from shared.web.headers import bearer_token, headers_of

log = logging.getLogger("shared.web.requests")

EVIDENCE_PREFIX = "/evidence/"
OPEN_PATHS = frozenset({"/", "/health"})
UNAVAILABLE = "Temporarily unavailable, please try again."


def error_body(path: str, sentence: str) -> dict[str, str]:
    """The JSON of an error under this path."""
    return {"error" if path.startswith(DEVICE_PREFIX) else "detail": sentence}


def pause(error: Retryable) -> str:
    """What `Retry-After` says: in whole seconds, at least one."""
    return str(max(1, math.ceil(error.retry_after)))


class RequestContext:
    """Puts the trace id into the log context, and writes one line a request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on; the query string is not logged (it may hold signatures)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500
        started = time.perf_counter()

        async def observe(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with logs.context(trace=logs.trace_of(headers_of(scope))):
            try:
                await self._app(scope, receive, observe)
            finally:
                took = (time.perf_counter() - started) * 1000
                log.info("%s %s %d %.1f ms", scope["method"], scope["path"], status, took)


class AccessRequired:
    """Finds out who calls, and refuses whom it doesn't know (401) or who may not (403), before the body is read.

    `/`, `/health` and CORS preflights stay open. Without `access`, everybody is an administrator.
    """

    def __init__(self, app: ASGIApp, access: Access | None, rules: Rules) -> None:
        self._app = app
        self._access = access
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, saying who calls, or answers 401, 403 or 503."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["caller"] = ANONYMOUS if self._access is None else None
        if self._access is None or _is_open(scope):
            await self._app(scope, receive, send)
            return
        try:
            found = await self._access.identify(bearer_token(scope))
        except Retryable as error:
            log.warning("nobody can tell who calls: %s", error)
            await _answer(scope, send, 503, UNAVAILABLE, [(b"retry-after", pause(error).encode())])
            return
        if found is None:
            await _answer(scope, send, 401, "Authentication required", [(b"www-authenticate", b"Bearer")])
            return
        refusal = self._rules.refusal(found, scope)
        if refusal is not None:
            await _answer(scope, send, 403, refusal)
            return
        state["caller"] = found
        await self._app(scope, receive, send)


class DeclaredLengthLimit:
    """Refuses a body whose declared length is over the limit, in our form of an error and before any of it is read.

    `file_routes`: paths that take files, with limits of their own.
    FastAPI's own `max_body_size` counts what arrives, whatever was declared, but answers this case in plain text.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, file_routes: Mapping[str, int]) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._file_routes = file_routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on or answers 413."""
        declared = headers_of(scope).get("content-length", "") if scope["type"] == "http" else ""
        limit, hint = self._limit(scope.get("path", ""))
        if declared.isdigit() and int(declared) > limit:
            await _answer(scope, send, 413, f"The request body is larger than {limit} bytes{hint}.")
            return
        await self._app(scope, receive, send)

    def _limit(self, path: str) -> tuple[int, str]:
        """In bytes, and what to do instead."""
        if path not in self._file_routes:
            return self._max_bytes, ""
        hints = (hint for beginning, hint in _HINTS if path.startswith(beginning))
        return self._file_routes[path], next(hints)


_HINTS = (
    (DEVICE_PREFIX, ""),
    (EVIDENCE_PREFIX, "; send the bundle's manifest with the sums of its files, as JSON"),
    ("/", "; ask POST /video/upload-url where to put a large file"),
)
"""What to do with a file that is too large, by how the path begins; the first that fits."""


def _is_open(scope: Scope) -> bool:
    return scope["path"] in OPEN_PATHS or scope["method"] == "OPTIONS"


async def _answer(
    scope: Scope, send: Send, status: int, sentence: str, headers: list[tuple[bytes, bytes]] | None = None
) -> None:
    body = json.dumps(error_body(scope["path"], sentence)).encode()
    fields: list[tuple[bytes, Any]] = [(b"content-type", b"application/json"), *(headers or [])]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})
