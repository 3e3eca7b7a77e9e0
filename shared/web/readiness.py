"""GET /health of a service that is not the one which reads everything: it has started. No part of it is asked."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel


class ReadyReply(BaseModel):
    """The platform looks at the status only."""

    ok: bool


def router() -> APIRouter:
    """The route; it needs no token, and the one origin leads nobody here."""
    routes = APIRouter(tags=["service"])

    @routes.get("/health")
    async def ready() -> ReadyReply:
        return ReadyReply(ok=True)

    return routes
