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
    created_at: datetime


class ShadowReply(BaseModel):
    """`enabled` false: no shadow profile is set now, and what is here is of earlier. `flip_rate` is 0-1.

    `verdicts`: what was said, by what the shadow would have said. `flips`: the newest 100. `complete` false: there is
    more than is read for a report, and all numbers are of the newest comparisons alone.
    """

    enabled: bool
    shadow_profile: str | None
    since: datetime
    compared: int
    flipped: int
    flip_rate: float | None
    verdicts: dict[str, dict[str, int]]
    flips: list[Flipped]
    complete: bool


def router(deps: Callable[[], caching.Deps], shadow: Profile | None) -> APIRouter:
    """The route over the store; `shadow`: the profile that is set now."""
    routes = APIRouter(tags=["moderation"])

    @routes.get("/moderation/shadow")
    def get_shadow(hours: Annotated[float, Query(gt=0, le=MAX_HOURS)] = 24.0) -> ShadowReply:
        return _reply(shadowing.report(deps().documents, deps().clock, hours), shadow)

    return routes


def _reply(found: shadowing.Report, shadow: Profile | None) -> ShadowReply:
    return ShadowReply(
        enabled=shadow is not None,
        shadow_profile=f"{shadow.name} {shadow.version}" if shadow else None,
        since=found.since,
        compared=found.compared,
        flipped=found.flipped,
        flip_rate=found.flipped / found.compared if found.compared else None,
        verdicts={status: dict(others) for status, others in found.verdicts.items()},
        flips=[Flipped.model_validate(each, from_attributes=True) for each in found.flips],
        complete=found.complete,
    )
