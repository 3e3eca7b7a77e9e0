"""When a stage may be replayed, and what counts as another verdict."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.domain.assets import Asset, Detection, direct_name_of, object_name_of
from shared.domain.detections import Segment
from shared.domain.replays import (
    ABANDONED_AFTER,
    SENTENCES,
    Refusal,
    Replay,
    differences,
    is_announced,
    is_changed,
    is_under_way,
    refusal,
    replaces_result,
    verdict_of,
)
from shared.domain.stages import Stage, StageRecord, StageState
from tests.fakes import NOON

DONE = StageRecord(StageState.DONE, 1, NOON, NOON, version="m-1")
FAILED = StageRecord(StageState.FAILED, 1, NOON, NOON, error_code="no_picture")
SKIPPED = StageRecord(StageState.SKIPPED, 1, NOON, NOON)
RUNNING = StageRecord(StageState.RUNNING, 1, NOON)
RETRYING = StageRecord(StageState.PENDING, 1, NOON, error_code="retrying")
SOON = NOON + timedelta(minutes=1)
MUCH_LATER = NOON + ABANDONED_AFTER
INGEST, DETECT, CONTEXT, CORRELATE, MODERATE, ANNOTATE, ESCALATE = Stage


def asset_with(**stages: StageRecord) -> Asset:
    return Asset("a", object_name_of("a"), NOON, stages={Stage(name): record for name, record in stages.items()})


@pytest.mark.parametrize(
    ("stages", "stage", "expected"),
    [
        ({}, INGEST, Refusal.NO_UPLOAD),
        ({}, CORRELATE, Refusal.NO_UPLOAD),
        ({"ingest": DONE}, INGEST, None),
        ({"ingest": FAILED}, INGEST, None),
        ({"ingest": RUNNING}, INGEST, Refusal.NOT_ENDED),
        ({"ingest": FAILED}, DETECT, Refusal.NO_INPUT),
        ({"ingest": RUNNING}, DETECT, Refusal.NO_INPUT),
        ({"ingest": DONE}, DETECT, Refusal.NOT_ENDED),
        ({"ingest": DONE, "detect": RETRYING}, DETECT, Refusal.NOT_ENDED),
        ({"ingest": DONE, "detect": DONE}, DETECT, None),
        ({"ingest": DONE, "detect": FAILED}, DETECT, None),
        ({"ingest": DONE, "detect": FAILED}, CONTEXT, Refusal.NO_INPUT),
        ({"ingest": DONE, "detect": DONE, "context": SKIPPED}, CONTEXT, None),
        ({"ingest": DONE, "detect": DONE, "correlate": DONE}, CORRELATE, None),
        ({"ingest": DONE, "detect": SKIPPED, "moderate": DONE}, MODERATE, None),
        ({"ingest": DONE, "detect": FAILED}, MODERATE, Refusal.NO_INPUT),
        ({"ingest": DONE, "detect": DONE, "moderate": DONE, "annotate": RUNNING}, ANNOTATE, Refusal.NOT_ENDED),
        ({"ingest": DONE, "detect": DONE, "moderate": FAILED}, ESCALATE, Refusal.NO_INPUT),
    ],
)
def test_a_stage_is_replayed_when_it_has_ended_and_its_input_is_there(
    stages: dict[str, StageRecord], stage: Stage, expected: Refusal | None
) -> None:
    assert refusal(asset_with(**stages), stage) is expected


@pytest.mark.parametrize("record", [RUNNING, RETRYING])
def test_a_stage_that_has_not_ended_is_not_replayed(record: StageRecord) -> None:
    assert refusal(asset_with(ingest=DONE, detect=record), DETECT) is Refusal.NOT_ENDED
    assert refusal(asset_with(ingest=DONE), DETECT) is Refusal.NOT_ENDED


def test_a_direct_analysis_opens_no_incident_by_a_replay_either() -> None:
    asset = replace(asset_with(ingest=DONE, detect=DONE, correlate=SKIPPED), object_name=direct_name_of("a"))
    assert refusal(asset, CORRELATE) is Refusal.NO_PLACE
    assert refusal(asset, DETECT) is None


def test_every_refusal_has_a_sentence() -> None:
    assert set(SENTENCES) == set(Refusal)
    assert all(sentence.endswith(".") for sentence in SENTENCES.values())


@pytest.mark.parametrize(
    ("record", "under_way_for"),
    [
        (StageRecord(), ABANDONED_AFTER),
        (StageRecord(StageState.RUNNING, 1, SOON), ABANDONED_AFTER + timedelta(minutes=1)),
        (DONE, timedelta(0)),
        (FAILED, timedelta(0)),
        (SKIPPED, timedelta(0)),
    ],
)
def test_a_replay_blocks_others_until_it_ended_or_was_lost(record: StageRecord, under_way_for: timedelta) -> None:
    old = verdict_of(asset_with(), DETECT)
    replay = Replay("r", "a", DETECT, NOON, "somebody", old, record)
    tick = timedelta(seconds=1)
    assert not is_under_way(replay, NOON + under_way_for)
    assert not under_way_for or is_under_way(replay, NOON + under_way_for - tick)


@pytest.mark.parametrize(
    ("stage", "before", "expected"),
    [
        (DETECT, DONE, False),
        (DETECT, FAILED, True),
        (INGEST, DONE, False),
        (INGEST, FAILED, True),
        (CONTEXT, DONE, False),
        (CONTEXT, SKIPPED, True),
        (CORRELATE, DONE, True),
    ],
)
def test_only_a_first_result_and_a_replayed_correlation_are_announced(
    stage: Stage, before: StageRecord, expected: bool
) -> None:
    assert is_announced(stage, before) is expected


@pytest.mark.parametrize(("record", "expected"), [(DONE, True), (FAILED, False), (SKIPPED, False)])
def test_what_gave_no_result_replaces_none(record: StageRecord, expected: bool) -> None:
    assert replaces_result(record) is expected


def detected(probability: float, model: str = "m-1", incidents: tuple[str, ...] = ()) -> Asset:
    segments = (Segment(0.0, 2.0, probability, "violence"),) if probability >= 0.5 else ()
    found = Detection(segments, probability, 2.0, truncated=False, model=model)
    return replace(asset_with(ingest=DONE, detect=DONE), detection=found, incident_ids=incidents)


@pytest.mark.parametrize(
    ("old", "new", "changed", "different"),
    [
        (detected(0.9), detected(0.9), False, set()),
        (detected(0.9), detected(0.9, "m-2"), False, {"model"}),
        (detected(0.9), detected(0.85, "m-2"), False, {"model", "peak", "confidence", "detections"}),
        (detected(0.9), detected(0.7), True, {"peak", "confidence", "detections", "risk", "attention"}),
        (detected(0.6), detected(0.2), True, {"peak", "confidence", "detections"}),
        (detected(0.9), detected(0.9, incidents=("i",)), True, {"incident_ids"}),
    ],
)
def test_the_verdict_changes_when_somebody_would_act_otherwise(
    old: Asset, new: Asset, changed: bool, different: set[str]
) -> None:
    one, other = verdict_of(old, DETECT), verdict_of(new, DETECT)
    names = {"detections": "violenceDetections", "risk": "overallRisk", "peak": "peakProbability"}
    expected = {names.get(name, name) for name in different}
    assert is_changed(one, other) is changed
    # The summary names the risk and how many segments there are, so it follows from the rest.
    assert set(differences(one, other)) - {"summary"} == expected


def test_a_verdict_knows_the_stage_it_is_asked_for() -> None:
    verdict = verdict_of(asset_with(ingest=FAILED), CONTEXT)
    assert (verdict.record.state, verdict.record.error_code) == (StageState.SKIPPED, "not_reached")
    assert (verdict.model, verdict.peak_probability, verdict.attention) == (None, None, "unknown")
