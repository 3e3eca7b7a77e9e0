"""Serves a path whether or not it ends in a slash, so that nobody has to be sent to the other spelling.

A redirect would name a scheme and a host. Behind a load balancer the scheme would be `http`, and a client that follows
it would send its token in the clear; a device would have to send its pictures twice.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send


class EitherSpelling:
    """Passes a request that no route serves on as one of the other spelling, if one serves that."""

    def __init__(self, app: ASGIApp, routes: Iterable[BaseRoute]) -> None:
        self._app = app
        # Asked for every request: expressions take microseconds, matching whole routes takes hundreds.
        self._paths = [route.path_regex for route in routes if isinstance(route, Route | WebSocketRoute)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Who calls and how long the body may be must be asked of the path that is passed on, so this comes first."""
        if scope["type"] != "lifespan" and not self._is_served(scope["path"]):
            other = _other(scope["path"])
            if self._is_served(other):
                scope = {**scope, "path": other}
        await self._app(scope, receive, send)

    def _is_served(self, path: str) -> bool:
        """Under whatever method: it is the route that says which of them a path has."""
        return any(expression.match(path) for expression in self._paths)


def _other(path: str) -> str:
    return path.removesuffix("/") if path.endswith("/") else f"{path}/"
