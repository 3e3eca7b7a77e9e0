"""GET /moderation/shadow: which verdicts the shadow profile would flip."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from shared.domain.moderation.profiles import Profile
from shared.handlers import caching, shadowing

MAX_HOURS = 24 * 31


class Flipped(BaseModel):
    """One verdict that would be another. `media_id`: an asset's id, or a client's with the content's."""

    media_id: str
    profile: str
    shadow: str
    status: str
    shadow_status: str
    rule: str
    shadow_rule: str
    reasons: list[str]
    causes: list[str]
    created_at: datetime


class ShadowReply(BaseModel):
    """`enabled` false: no shadow profile is set now, and what is here is of earlier. `flip_rate` is 0-1.

    `statuses` (`PASS -> FAIL`) are of all, `rules` and `causes` of those that flip. `flips`: the newest 100.
    `complete` false: there is more than is read for a report, and all numbers are of the newest comparisons alone.
    """

    enabled: bool
    shadow_profile: str | None
    since: datetime
    compared: int
    flipped: int
    flip_rate: float | None
    statuses: dict[str, int]
    rules: dict[str, int]
    causes: dict[str, int]
    flips: list[Flipped]
    complete: bool


def router(deps: Callable[[], caching.Deps], shadow: Profile | None) -> APIRouter:
    """The route over the store; `shadow`: the profile that is set now."""
    routes = APIRouter(tags=["moderation"])

    @routes.get("/moderation/shadow")
    def get_shadow(hours: Annotated[float, Query(gt=0, le=MAX_HOURS)] = 24.0) -> ShadowReply:
        return _reply(shadowing.report(deps(), hours), shadow)

    return routes


def _reply(found: shadowing.Report, shadow: Profile | None) -> ShadowReply:
    summary = found.summary
    return ShadowReply(
        enabled=shadow is not None,
        shadow_profile=f"{shadow.name} {shadow.version}" if shadow else None,
        since=found.since,
        compared=summary.compared,
        flipped=summary.flipped,
        flip_rate=summary.rate if summary.compared else None,
        statuses=dict(summary.statuses),
        rules=dict(summary.rules),
        causes=dict(summary.causes),
        flips=[Flipped.model_validate(each, from_attributes=True) for each in found.flips],
        complete=found.complete,
    )
