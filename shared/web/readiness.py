"""GET /health of a service that is not the one which reads everything: it has started. No part of it is asked."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from shared.web.live_sockets import Sockets


class ReadyReply(BaseModel):
    """The platform looks at the status only. `ws_clients`: how many WebSockets this process has open."""

    ok: bool
    ws_clients: int


def router(sockets: Sockets) -> APIRouter:
    """The route; it needs no token, and the one origin leads nobody here."""
    routes = APIRouter(tags=["service"])

    @routes.get("/health")
    async def ready() -> ReadyReply:
        return ReadyReply(ok=True, ws_clients=sockets.open)

    return routes
