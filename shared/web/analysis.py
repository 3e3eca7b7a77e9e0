"""GET /analysis/{asset_id} and GET /video/status/{task_id}: what is known of an upload, finished or not (V, M)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel

from shared.domain.assets import Asset
from shared.domain.detections import AnalysisData, ViolenceDetection, analysis_data
from shared.domain.incidents import Incident
from shared.domain.stages import ENDED, AssetState, Stage, StageState, asset_state, progress
from shared.ports import Documents
from shared.repositories import assets, incidents
from shared.web.incidents import IncidentSummary, summarise


class StageReply(BaseModel):
    """One line of the stage ledger. Times are UTC; `progress` is 0-100; `cost_usd` is an estimate."""

    state: str
    progress: int
    attempts: int
    started: datetime | None
    ended: datetime | None
    error_code: str | None
    error_message: str | None
    version: str | None
    cost_usd: float


class AnalysisReply(BaseModel):
    """AnalysisData with V's field names, and around it what the pipeline knows.

    `overallRisk` is `unknown` until the detector has ended: what was not looked at is not called clean.
    """

    asset_id: str
    state: str
    source_id: str | None
    filename: str | None
    created_at: datetime
    summary: str
    violenceDetections: list[ViolenceDetection]
    totalDuration: float
    overallRisk: str
    confidence: float
    peakProbability: float | None
    objects: list[str]
    emotions: list[str]
    scenes: list[str]
    pending: list[str]
    stages: dict[str, StageReply]
    incidents: list[IncidentSummary]


class StatusReply(BaseModel):
    """`progress` is 0-100 over all stages; `result` is AnalysisData once everything ended."""

    task_id: str
    video_id: str
    state: str
    progress: int
    stages: dict[str, StageReply]
    result: AnalysisData | None
    error: str | None


def router(documents: Callable[[], Documents]) -> APIRouter:
    """Both routes over the store."""
    routes = APIRouter(tags=["analysis"])

    @routes.get("/analysis/{asset_id}")
    def get_analysis(asset_id: str) -> AnalysisReply:
        asset = assets.get(documents(), asset_id)
        return _analysis_reply(asset, incidents.get_many(documents(), asset.incident_ids))

    @routes.get("/video/status/{task_id}")
    def get_status(task_id: str) -> StatusReply:
        return _status_reply(assets.get(documents(), task_id))

    return routes


def _analysis_reply(asset: Asset, found: list[Incident]) -> AnalysisReply:
    return AnalysisReply(
        asset_id=asset.id,
        state=asset_state(asset.stages),
        source_id=asset.source_id,
        filename=asset.filename,
        created_at=asset.created_at,
        peakProbability=asset.detection.peak_probability if asset.detection else None,
        pending=[stage for stage in Stage if assets.stage_record(asset, stage).state not in ENDED],
        stages=_stages(asset),
        incidents=[summarise(incident) for incident in found],
        **analysis_of(asset),
    )


def _status_reply(asset: Asset) -> StatusReply:
    state = asset_state(asset.stages)
    return StatusReply(
        task_id=asset.id,
        video_id=asset.id,
        state=state,
        progress=progress(asset.stages),
        stages=_stages(asset),
        result=analysis_of(asset) if state is AssetState.DONE else None,
        error=first_error(asset) if state is AssetState.FAILED else None,
    )


def analysis_of(asset: Asset) -> AnalysisData:
    """AnalysisData of what is known so far."""
    if asset.detection is not None:
        found = asset.detection
        return analysis_data(found.segments, found.duration, truncated=found.truncated)
    failed = first_error(asset)
    data = analysis_data((), asset.facts.duration if asset.facts else 0.0)
    data["summary"] = f"The analysis failed. {failed}" if failed else "The analysis has not ended yet."
    data["overallRisk"] = "unknown"
    return data


def first_error(asset: Asset) -> str | None:
    """The sentence of the first stage that failed, or None."""
    for stage in Stage:
        record = assets.stage_record(asset, stage)
        if record.state is StageState.FAILED:
            return record.error_message
    return None


def _stages(asset: Asset) -> dict[str, StageReply]:
    return {stage.value: _stage(asset, stage) for stage in Stage}


def _stage(asset: Asset, stage: Stage) -> StageReply:
    record = assets.stage_record(asset, stage)
    return StageReply(
        state=record.state,
        progress=100 if record.state in ENDED else 0,
        attempts=record.attempts,
        started=record.started,
        ended=record.ended,
        error_code=record.error_code,
        error_message=record.error_message,
        version=record.version,
        cost_usd=record.cost_usd,
    )
