"""GET /cache/stats, DELETE /cache and DELETE /cache/{media_id}: the verdicts that are served again (M)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel

from shared.errors import NotFound
from shared.handlers import caching
from shared.repositories import verdict_cache


class CacheStats(BaseModel):
    """Over all instances. `hits`, `misses` since the beginning; `hit_rate` (0-1) is null before the first of them.

    `oldest`, `newest`: when the entries that may be served were made (UTC); null without one.
    """

    entries: int
    hits: int
    misses: int
    hit_rate: float | None
    oldest: datetime | None
    newest: datetime | None
    duration_hours: float


class Removed(BaseModel):
    """How many entries were removed."""

    deleted: int


def router(deps: Callable[[], caching.Deps]) -> APIRouter:
    """The routes over the store. What is being made while its entry is removed is not cached either."""
    routes = APIRouter(tags=["moderation"])

    @routes.get("/cache/stats")
    def get_stats() -> CacheStats:
        return _stats(deps())

    @routes.delete("/cache")
    def clear() -> Removed:
        return Removed(deleted=verdict_cache.clear(deps().documents))

    @routes.delete("/cache/{media_id:path}")
    def forget(media_id: str) -> Removed:
        deleted = verdict_cache.forget(deps().documents, media_id)
        if not deleted:
            raise NotFound("not_cached", "Nothing is cached under this id.")
        return Removed(deleted=deleted)

    return routes


def _stats(deps: caching.Deps) -> CacheStats:
    documents, now = deps.documents, deps.clock.now()
    counted = verdict_cache.counts(documents)
    asked = counted.hits + counted.misses
    oldest = verdict_cache.first_fresh(documents, now, newest=False)
    newest = verdict_cache.first_fresh(documents, now, newest=True)
    return CacheStats(
        entries=verdict_cache.number_of_fresh(documents, now),
        hits=counted.hits,
        misses=counted.misses,
        hit_rate=counted.hits / asked if asked else None,
        oldest=oldest.created_at if oldest else None,
        newest=newest.created_at if newest else None,
        duration_hours=deps.duration.total_seconds() / 3600,
    )
