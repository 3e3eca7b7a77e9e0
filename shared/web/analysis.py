"""GET /analysis/{asset_id} and GET /video/status/{task_id}: what is known of an upload, finished or not (V, M)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel

from shared.domain.analysis import analysis_of, attention_of, cost_of, first_error
from shared.domain.assets import Asset
from shared.domain.budgets import EXPLANATIONS
from shared.domain.context import Context
from shared.domain.detections import AnalysisData, ViolenceDetection
from shared.domain.incidents import Incident, Place, Standing
from shared.domain.labels import verdict_of
from shared.domain.moderation.moderated import Moderation
from shared.domain.moderation.receipts import Verdict
from shared.domain.reuse import note_of, reused_stages
from shared.domain.stages import (
    ENDED,
    AssetState,
    StageRecord,
    asset_state,
    is_complete,
    missing,
    progress,
    stage_progress,
    whole_ledger,
)
from shared.handlers import places
from shared.handlers.visibility import visible_asset, visible_ones
from shared.ports import Documents
from shared.repositories import incidents
from shared.web.callers import Viewer
from shared.web.incident_replies import IncidentSummary, summarise


class StageReply(BaseModel):
    """One line of the stage ledger. Times are UTC; `progress` is 0-100.

    `cost_usd` estimates what all attempts cost, by the list prices in force on `price_date`; `cost_note` says what had
    to be assumed for it.
    """

    state: str
    progress: int
    attempts: int
    started: datetime | None
    ended: datetime | None
    error_code: str | None
    error_message: str | None
    version: str | None
    cost_usd: float
    price_date: str | None
    cost_note: str | None
    reused_from: str | None


class MissingPart(BaseModel):
    """A stage that ended without a result, and why."""

    stage: str
    code: str | None
    reason: str | None


class ContextReply(BaseModel):
    """What the context model said beside the terms. `threat_level` 0-2 raises `attention` and lowers nothing.

    `depth` is how closely it looked: `video`, `video_low` or `stills`; `depth_reason` and `depth_explanation` say why
    not more closely, and are null where nothing spoke against it.
    """

    description: str
    threat_level: int | None
    model: str
    depth: str
    depth_reason: str | None
    depth_explanation: str | None


class SeenBeforeReply(BaseModel):
    """An earlier upload that shows the same, and the stages whose result is that one's.

    `exact`: byte for byte; else the same recording in another encoding. `distance`: differing bits of 64.
    """

    asset_id: str
    exact: bool
    distance: int
    reused: list[str]


class ModerationReply(BaseModel):
    """The verdict on the upload. `state` is `provisional` while Video Intelligence looks at the whole video.

    `receipt` says how it came about: every finding with its threshold, weight and contribution, the rule that decided,
    what was not evaluated and why, and the smallest change that would flip it. `reused_from`: the upload of the same
    bytes whose verdict this is.
    """

    status: str
    state: str
    strict_mode: bool
    decided_at: datetime
    reused_from: str | None
    receipt: Verdict


class QuarantineReply(BaseModel):
    """Where a flagged file is on its way; no link leads to it. `until`: when a file that is held is deleted."""

    state: str
    until: datetime | None


class PlaceReply(BaseModel):
    """Where the upload comes from: the beacon its `source_id` names, or a place of its own (`known` false)."""

    beacon_id: str
    location: str
    known: bool
    active: bool


class AnalysisReply(BaseModel):
    """AnalysisData with V's field names, and around it what the pipeline knows.

    `overallRisk` is `unknown` until the detector has ended: what was not looked at is not called clean. `pending`
    stages have not ended; `missing` ones gave no result, and say why. `attention` is the risk, raised by the threat
    level the context model saw. `cost_usd` sums what the stages are estimated to have cost. `note` says in words what
    `seen_before` says. `verdict` names what was detected, null until then: feedback that repeats it is never taken
    for a word on what a replay found later.
    """

    asset_id: str
    state: str
    source_id: str | None
    place: PlaceReply
    filename: str | None
    created_at: datetime
    summary: str
    violenceDetections: list[ViolenceDetection]
    totalDuration: float
    overallRisk: str
    confidence: float
    peakProbability: float | None
    verdict: str | None
    objects: list[str]
    emotions: list[str]
    scenes: list[str]
    attention: str
    context: ContextReply | None
    moderation: ModerationReply | None
    quarantine: QuarantineReply | None
    metadata: dict[str, str]
    seen_before: SeenBeforeReply | None
    note: str | None
    pending: list[str]
    missing: list[MissingPart]
    complete: bool
    cost_usd: float
    stages: dict[str, StageReply]
    incidents: list[IncidentSummary]


class StatusReply(BaseModel):
    """`progress` is 0-100 over all stages; `result` is AnalysisData once everything ended.

    `moderation` is the verdict as soon as there is one, `provisional` while Video Intelligence looks on.
    """

    task_id: str
    video_id: str
    state: str
    progress: int
    stages: dict[str, StageReply]
    result: AnalysisData | None
    moderation: ModerationReply | None
    error: str | None


def router(documents: Callable[[], Documents]) -> APIRouter:
    """Both routes over the store. 404 also for uploads of places that are not the caller's."""
    routes = APIRouter(tags=["analysis"])

    @routes.get("/analysis/{asset_id}")
    def get_analysis(asset_id: str, caller: Viewer) -> AnalysisReply:
        asset = visible_asset(asset_id, caller, documents())
        place = places.of_source(documents(), asset.source_id)
        found = visible_ones(incidents.get_many(documents(), asset.incident_ids), caller)
        return _analysis_reply(asset, place, found)

    @routes.get("/video/status/{task_id}")
    def get_status(task_id: str, caller: Viewer) -> StatusReply:
        return _status_reply(visible_asset(task_id, caller, documents()))

    return routes


def _analysis_reply(asset: Asset, place: Place, found: list[Incident]) -> AnalysisReply:
    return AnalysisReply(
        asset_id=asset.id,
        state=asset_state(asset.stages),
        source_id=asset.source_id,
        place=_place_reply(asset, place),
        filename=asset.filename,
        created_at=asset.created_at,
        peakProbability=asset.detection.peak_probability if asset.detection else None,
        verdict=verdict_of(asset),
        pending=[stage for stage, record in whole_ledger(asset.stages).items() if record.state not in ENDED],
        missing=[
            MissingPart(stage=stage, code=record.error_code, reason=record.error_message)
            for stage, record in missing(asset.stages).items()
        ],
        complete=is_complete(asset.stages),
        attention=attention_of(asset),
        context=_context_reply(asset.context) if asset.context else None,
        moderation=_moderation_reply(asset.moderation) if asset.moderation else None,
        quarantine=_quarantine_reply(asset),
        metadata=dict(asset.metadata),
        seen_before=_seen_before_reply(asset),
        note=note_of(asset),
        cost_usd=cost_of(asset),
        stages=_stages(asset),
        incidents=[summarise(incident) for incident in found],
        **analysis_of(asset),
    )


def _place_reply(asset: Asset, place: Place) -> PlaceReply:
    return PlaceReply(
        beacon_id=places.id_of(asset),
        location=place.location,
        known=place.standing is not Standing.UNKNOWN,
        active=place.standing is Standing.ACTIVE,
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
        moderation=_moderation_reply(asset.moderation) if asset.moderation else None,
        error=first_error(asset) if state is AssetState.FAILED else None,
    )


def _moderation_reply(moderation: Moderation) -> ModerationReply:
    return ModerationReply(
        status=moderation.verdict.status,
        state="final" if moderation.final else "provisional",
        strict_mode=moderation.strict,
        decided_at=moderation.decided_at,
        reused_from=moderation.reused_from,
        receipt=moderation.verdict,
    )


def _quarantine_reply(asset: Asset) -> QuarantineReply | None:
    if asset.quarantine is None:
        return None
    return QuarantineReply(state=asset.quarantine, until=asset.quarantine_until)


def _seen_before_reply(asset: Asset) -> SeenBeforeReply | None:
    seen = asset.seen_before
    if seen is None:
        return None
    reused = [stage.value for stage in reused_stages(asset)]
    return SeenBeforeReply(asset_id=seen.asset_id, exact=seen.exact, distance=seen.distance, reused=reused)


def _context_reply(context: Context) -> ContextReply:
    return ContextReply(
        description=context.description,
        threat_level=context.threat_level,
        model=context.model,
        depth=context.depth,
        depth_reason=context.depth_reason or None,
        depth_explanation=EXPLANATIONS.get(context.depth_reason) or None,
    )


def _stages(asset: Asset) -> dict[str, StageReply]:
    return {stage.value: _stage(record) for stage, record in whole_ledger(asset.stages).items()}


def _stage(record: StageRecord) -> StageReply:
    return StageReply(
        state=record.state,
        progress=stage_progress(record),
        attempts=record.attempts,
        started=record.started,
        ended=record.ended,
        error_code=record.error_code,
        error_message=record.error_message,
        version=record.version,
        cost_usd=record.cost_usd,
        price_date=record.price_date,
        cost_note=record.cost_note,
        reused_from=record.reused_from,
    )
