"""Replays: one stage of an asset runs again on what is stored. When that is allowed, and what it changed (SPEC §1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from shared.domain.analysis import analysis_of, attention_of
from shared.domain.assets import Asset, direct_name_of
from shared.domain.detections import AnalysisData
from shared.domain.moderation.moderated import Moderation, QuarantineState
from shared.domain.stages import (
    ENDED,
    UPSTREAM,
    AssetState,
    Stage,
    StageRecord,
    StageState,
    asset_state,
    leaves_work,
    whole_ledger,
)

ABANDONED_AFTER = timedelta(minutes=20)
"""Nobody works on it any more: a try lasts 540 s at most, and the next delivery comes within 600 s."""


@dataclass(frozen=True)
class Moderated:
    """A moderation's verdict without its receipt, as `Moderation` and its `Verdict` have it."""

    status: str
    final: bool
    rule: str
    score: float
    confidence: float
    reasons: tuple[str, ...]
    profile: str
    profile_version: str


@dataclass(frozen=True)
class Verdict:
    """What is known of an asset at one moment. `record` is the ledger's line of the stage that is replayed.

    `model` is the detector's, `peak_probability` the highest of all windows; None without a detection.
    """

    analysis: AnalysisData
    attention: str
    record: StageRecord
    model: str | None = None
    peak_probability: float | None = None
    incident_ids: tuple[str, ...] = ()
    moderation: Moderated | None = None


@dataclass(frozen=True)
class Replay:
    """One order to run a stage again. `record` is the run's own ledger line, kept apart from the asset's.

    `new` is there once the replay is done; one that failed or was skipped changes nothing but its record.
    """

    id: str
    asset_id: str
    stage: Stage
    requested_at: datetime
    requested_by: str
    old: Verdict
    record: StageRecord = StageRecord()
    new: Verdict | None = None


class Refusal(StrEnum):
    """Why a stage can't be replayed now."""

    NO_UPLOAD = "no_upload"
    NO_INPUT = "no_input"
    NO_PLACE = "no_place"
    NOT_ENDED = "not_ended"
    UNDER_WAY = "replay_under_way"


SENTENCES: Mapping[Refusal, str] = {
    Refusal.NO_UPLOAD: "There is no file to look at: the upload never came, or it was removed.",
    Refusal.NO_INPUT: "The stage can't be replayed: the stage it waits for has no result.",
    Refusal.NO_PLACE: "A direct analysis names no place, so it opens no incident.",
    Refusal.NOT_ENDED: "The stage has not ended yet; it can be replayed once it has.",
    Refusal.UNDER_WAY: "Another replay of this asset is under way.",
}


def verdict_of(asset: Asset, stage: Stage) -> Verdict:
    """What is known of the asset now, seen from the stage."""
    found = asset.detection
    return Verdict(
        analysis=analysis_of(asset),
        attention=attention_of(asset),
        record=whole_ledger(asset.stages)[stage],
        model=found.model if found else None,
        peak_probability=found.peak_probability if found else None,
        incident_ids=asset.incident_ids,
        moderation=None if asset.moderation is None else _moderated(asset.moderation),
    )


def _moderated(moderation: Moderation) -> Moderated:
    verdict = moderation.verdict
    return Moderated(
        status=verdict.status,
        final=moderation.final,
        rule=verdict.rule,
        score=verdict.score,
        confidence=verdict.confidence,
        reasons=verdict.reasons,
        profile=verdict.profile,
        profile_version=verdict.profile_version,
    )


def refusal(asset: Asset, stage: Stage) -> Refusal | None:
    """Why the stage can't be replayed now; None when it can.

    A stage that has not ended is left to its own deliveries and to the sweeper, which see to it that it ends.
    """
    if asset_state(asset.stages) is AssetState.AWAITING_UPLOAD or asset.quarantine is QuarantineState.DELETED:
        return Refusal.NO_UPLOAD
    ledger = whole_ledger(asset.stages)
    upstream = UPSTREAM.get(stage)
    if upstream is not None and not leaves_work(ledger[upstream]):
        return Refusal.NO_INPUT
    if stage in {Stage.CORRELATE, Stage.ESCALATE} and asset.object_name == direct_name_of(asset.id):
        return Refusal.NO_PLACE
    return None if ledger[stage].state in ENDED else Refusal.NOT_ENDED


def is_under_way(replay: Replay, now: datetime) -> bool:
    """Whether the replay may still end. One that was lost is given up after a time, so that it blocks no other."""
    if replay.record.state in ENDED:
        return False
    return (replay.record.started or replay.requested_at) + ABANDONED_AFTER > now


def replaces_result(record: StageRecord) -> bool:
    """Whether a replay that ended so takes the place of what is known. One without a result destroys none."""
    return record.state is StageState.DONE


def is_announced(stage: Stage, before: StageRecord) -> bool:
    """Whether the messages of a replay's result are published.

    Not when the stages after it were told of an earlier result: last week's footage must open no incident because a
    model was tried on it. Who replays `correlate` or `escalate` asks for just that; and a first result is what the
    stages after it still wait for.
    """
    return stage in {Stage.CORRELATE, Stage.ESCALATE} or before.state is not StageState.DONE


def differences(old: Verdict, new: Verdict) -> list[str]:
    """The names of what differs, as a reply has them: AnalysisData first, in its order."""
    one, other = _named(old), _named(new)
    return [name for name in one if one[name] != other[name]]


def _named(verdict: Verdict) -> dict[str, object]:
    return {
        **verdict.analysis,
        "attention": verdict.attention,
        "incident_ids": verdict.incident_ids,
        "model": verdict.model,
        "moderation": verdict.moderation,
        "peakProbability": verdict.peak_probability,
    }


def is_changed(old: Verdict, new: Verdict) -> bool:
    """Whether somebody who acts on it would act otherwise: the risk, the attention, if anything was found, incidents.

    Scores and wording that differ and lead to the same are no change of the verdict; `differences` names them.
    """
    return _decisive(old) != _decisive(new)


def _decisive(verdict: Verdict) -> tuple[object, ...]:
    found = bool(verdict.analysis["violenceDetections"])
    status = verdict.moderation.status if verdict.moderation else None
    return verdict.analysis["overallRisk"], verdict.attention, found, verdict.incident_ids, status
