"""Composes routers into an application: errors as JSON, one log line a request, CORS, who may call.

Errors are `{"detail": …}`; under `/api/ai/` they are `{"error": …}`, as the devices' document has it. The text of an
exception never reaches a client unless it was written for one (`Permanent.sentence`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect

from shared.errors import InvalidKey, Permanent, Retryable
from shared.web.access import Access
from shared.web.callers import Rules
from shared.web.meter import Meter
from shared.web.middleware import UNAVAILABLE, AccessRequired, DeclaredLengthLimit, RequestContext, error_body, pause
from shared.web.request_metrics import RequestMetrics
from shared.web.sockets import SocketAccess
from shared.web.spelling import EitherSpelling

log = logging.getLogger(__name__)

VERSION = "0.1.0"
SERVICE = "Sightline"
MAX_BODY_BYTES = 1 << 20
"""Of the JSON routes; routes that take files state their own `max_body_size`."""


def create_app(
    routers: Sequence[APIRouter],
    *,
    access: Access | None,
    allowed_origins: Sequence[str] = (),
    meter: Meter | None = None,
    whole_process: bool = True,
) -> FastAPI:
    """An application of these routers. With `access`, everything but `/` and `/health` asks for a bearer token.

    With `meter`, requests are counted; if the application is the `whole_process`, the rest is stored when that ends.
    """
    app = FastAPI(title=SERVICE, version=VERSION, redirect_slashes=False)
    for router in routers:
        app.include_router(router, max_body_size=MAX_BODY_BYTES)
    app.add_exception_handler(Permanent, _permanent)
    app.add_exception_handler(Retryable, _unavailable)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientDisconnect, _client_left)
    app.add_exception_handler(Exception, _unexpected)
    app.add_middleware(DeclaredLengthLimit, max_bytes=MAX_BODY_BYTES, file_routes=_own_limits(routers))
    app.add_middleware(AccessRequired, access=access, rules=Rules(routers))
    if allowed_origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=list(allowed_origins), allow_methods=["*"], allow_headers=["*"]
        )
    if meter is not None:
        app.add_middleware(RequestMetrics, meter=meter, routers=routers, whole_process=whole_process)
    app.add_middleware(SocketAccess, access=access, allowed_origins=allowed_origins)
    routes = [*app.routes, *(route for router in routers for route in router.routes)]
    app.add_middleware(EitherSpelling, routes=routes)
    app.add_middleware(RequestContext)
    return app


def _own_limits(routers: Sequence[APIRouter]) -> dict[str, int]:
    """The paths of routes that take files, each with how many bytes its body may have."""
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    return {route.path: route.max_body_size for route in routes if route.max_body_size is not None}


def _reply(request: Request, status: int, sentence: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse(error_body(request.url.path, sentence), status, headers)


async def _permanent(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Permanent)  # noqa: S101 - registered for this class
    if isinstance(error, InvalidKey) and request.method in {"GET", "HEAD"}:
        return _reply(request, 404, "Nothing has this id.")  # no store could hold it, so nothing can be there
    return _reply(request, error.status, error.sentence)


async def _unavailable(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Retryable)  # noqa: S101 - registered for this class
    log.warning("unavailable: %s", error)
    return _reply(request, 503, UNAVAILABLE, {"Retry-After": pause(error)})


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class
    return _reply(request, 400, validation_sentence(error))


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class
    return _reply(request, error.status_code, str(error.detail), dict(error.headers or {}))


async def _client_left(_: Request, __: Exception) -> Response:
    return Response(status_code=400)  # nobody reads it


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    log.error("request failed", exc_info=error)
    return _reply(request, 500, "Internal server error")


_NO_OBJECT = frozenset({"missing", "json_invalid", "model_attributes_type", "dict_type"})


def _is_whole_body(item: Mapping[str, Any]) -> bool:
    """Whether it speaks of the body and not of a field in it; of broken JSON the second place is an offset."""
    return len(item["loc"]) == 1 or item["type"] == "json_invalid"


def validation_sentence(error: RequestValidationError) -> str:
    """What is wrong with the request, naming each field once."""
    problems = []
    for item in error.errors():
        if item["type"] in _NO_OBJECT and tuple(item["loc"][:1]) == ("body",) and _is_whole_body(item):
            return "Send a JSON object, with Content-Type: application/json."
        place = ".".join(str(part) for part in item["loc"] if part not in {"body", "query", "path"})
        problems.append(f"{place}: {item['msg']}" if place else str(item["msg"]))
    return "; ".join(dict.fromkeys(problems))[:1000]
