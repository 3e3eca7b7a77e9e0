"""GET /analysis/{asset_id}/replays and …/replays/{replay_id}: what was replayed, and what it changed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from shared.domain.detections import AnalysisData
from shared.domain.replays import Moderated, Replay, Verdict, differences, is_changed
from shared.domain.stages import stage_progress
from shared.handlers.visibility import visible_asset
from shared.ports import Documents
from shared.repositories import replays
from shared.web.callers import Viewer


class VerdictReply(BaseModel):
    """What was known of the asset. `version` and `cost_usd` are those of the replayed stage, `model` the detector's."""

    state: str
    version: str | None
    cost_usd: float
    error_code: str | None
    error_message: str | None
    model: str | None
    peakProbability: float | None
    attention: str
    incident_ids: list[str]
    moderation: Moderated | None
    analysis: AnalysisData


class ReplayReply(BaseModel):
    """One replay. `state` and `progress` (0-100) are those of its run; `new` is there once that is done.

    `changed`: whether the risk, the attention, the presence of detections, the incidents or the moderation's
    status differ. `differences` names everything that does. A replay that failed leaves the asset as it was; `error_*`
    say why.
    """

    replay_id: str
    asset_id: str
    stage: str
    state: str
    progress: int
    requested_at: datetime
    requested_by: str
    started: datetime | None
    ended: datetime | None
    attempts: int
    error_code: str | None
    error_message: str | None
    changed: bool | None
    differences: list[str] | None
    old: VerdictReply
    new: VerdictReply | None


class ReplayList(BaseModel):
    """A page, the last requested first; pass `next_cursor` as `cursor` for the following one."""

    replays: list[ReplayReply]
    next_cursor: str | None


def router(documents: Callable[[], Documents]) -> APIRouter:
    """Both routes over the store. 404 also for uploads of places that are not the caller's."""
    routes = APIRouter(tags=["analysis"])

    @routes.get("/analysis/{asset_id}/replays")
    def list_replays(
        asset_id: str, caller: Viewer, limit: Annotated[int, Query(ge=1, le=100)] = 20, cursor: str | None = None
    ) -> ReplayList:
        visible_asset(asset_id, caller, documents())
        found, following = replays.newest(documents(), asset_id, limit=limit, cursor=cursor)
        return ReplayList(replays=[shown(replay) for replay in found], next_cursor=following)

    @routes.get("/analysis/{asset_id}/replays/{replay_id}")
    def get_replay(asset_id: str, replay_id: str, caller: Viewer) -> ReplayReply:
        visible_asset(asset_id, caller, documents())
        return shown(replays.get(documents(), asset_id, replay_id))

    return routes


def shown(replay: Replay) -> ReplayReply:
    """The replay as clients see it."""
    record, old, new = replay.record, replay.old, replay.new
    return ReplayReply(
        replay_id=replay.id,
        asset_id=replay.asset_id,
        stage=replay.stage,
        state=record.state,
        progress=stage_progress(record),
        requested_at=replay.requested_at,
        requested_by=replay.requested_by,
        started=record.started,
        ended=record.ended,
        attempts=record.attempts,
        error_code=record.error_code,
        error_message=record.error_message,
        changed=is_changed(old, new) if new else None,
        differences=differences(old, new) if new else None,
        old=_verdict(old),
        new=_verdict(new) if new else None,
    )


def _verdict(verdict: Verdict) -> VerdictReply:
    return VerdictReply(
        state=verdict.record.state,
        version=verdict.record.version,
        cost_usd=verdict.record.cost_usd,
        error_code=verdict.record.error_code,
        error_message=verdict.record.error_message,
        model=verdict.model,
        peakProbability=verdict.peak_probability,
        attention=verdict.attention,
        incident_ids=list(verdict.incident_ids),
        moderation=verdict.moderation,
        analysis=verdict.analysis,
    )
