"""Serves a path whether or not it ends in a slash, so that nobody has to be sent to the other spelling.

A redirect would name a scheme and a host. Behind a load balancer the scheme would be `http`, and a client that follows
it would send its token in the clear; a device would have to send its pictures twice.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send


class EitherSpelling:
    """Passes a request that no route serves on as one of the other spelling, if one serves that."""

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Who calls and how long the body may be must be asked of the path that is passed on, so this comes first."""
        await self._app(self._served(scope), receive, send)

    def _served(self, scope: Scope) -> Scope:
        if scope["type"] == "lifespan" or scope["path"] == "/" or self._is_served(scope):
            return scope
        path: str = scope["path"]
        other = {**scope, "path": path.removesuffix("/") if path.endswith("/") else f"{path}/"}
        return other if self._is_served(other) else scope

    def _is_served(self, scope: Scope) -> bool:
        """Under whatever method: it is the route that says which of them a path has."""
        return any(route.matches(scope)[0] is not Match.NONE for route in self._routes)
