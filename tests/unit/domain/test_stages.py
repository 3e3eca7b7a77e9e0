"""The claim table and the ledger's summaries."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from shared.domain.stages import (
    AssetState,
    ClaimDecision,
    Stage,
    StageRecord,
    StageState,
    WorkRecord,
    WorkState,
    asset_state,
    decide_claim,
    is_complete,
    missing,
    progress,
    stage_progress,
    whole_ledger,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HELD = NOW + timedelta(seconds=1)
EXPIRED = NOW


def work(state: WorkState, lease_until: datetime = HELD, *, published: bool = True) -> WorkRecord:
    return WorkRecord(state, "owner", 1, lease_until, published)


@pytest.mark.parametrize(
    ("record", "decision"),
    [
        (None, ClaimDecision.CLAIM),
        (work(WorkState.RUNNING, EXPIRED), ClaimDecision.CLAIM),
        (work(WorkState.RUNNING), ClaimDecision.WAIT),
        (work(WorkState.RELEASED), ClaimDecision.CLAIM),
        (work(WorkState.GIVEN_UP), ClaimDecision.CLAIM),
        (work(WorkState.DONE, published=False), ClaimDecision.PUBLISH),
        (work(WorkState.DONE), ClaimDecision.DUPLICATE),
        (work(WorkState.FAILED, published=False), ClaimDecision.PUBLISH),
        (work(WorkState.FAILED), ClaimDecision.DUPLICATE),
    ],
)
def test_the_claim_table(record: WorkRecord | None, decision: ClaimDecision) -> None:
    assert decide_claim(record, NOW) is decision


def stages(**states: StageState) -> dict[Stage, StageRecord]:
    return {Stage(name): StageRecord(state, attempts=1) for name, state in states.items()}


@pytest.mark.parametrize(
    ("states", "state", "percent"),
    [
        ({}, AssetState.AWAITING_UPLOAD, 0),
        ({"ingest": StageState.RUNNING}, AssetState.PROCESSING, 0),
        ({"ingest": StageState.PENDING}, AssetState.PROCESSING, 0),
        ({"ingest": StageState.DONE}, AssetState.PROCESSING, 14),
        ({"ingest": StageState.FAILED}, AssetState.FAILED, 100),
        (
            {
                "ingest": StageState.DONE,
                "detect": StageState.SKIPPED,
                "context": StageState.DONE,
                "correlate": StageState.DONE,
                "moderate": StageState.DONE,
                "annotate": StageState.SKIPPED,
                "escalate": StageState.DONE,
            },
            AssetState.DONE,
            100,
        ),
        (
            {"ingest": StageState.DONE, "detect": StageState.DONE, "context": StageState.FAILED},
            AssetState.PROCESSING,
            43,
        ),
        (
            {
                "ingest": StageState.DONE,
                "detect": StageState.DONE,
                "context": StageState.FAILED,
                "correlate": StageState.DONE,
                "moderate": StageState.DONE,
                "annotate": StageState.SKIPPED,
                "escalate": StageState.DONE,
            },
            AssetState.DONE,
            100,
        ),
    ],
)
def test_an_asset_is_what_its_stages_are(states: dict[str, StageState], state: AssetState, percent: int) -> None:
    ledger = stages(**states)
    assert asset_state(ledger) is state
    assert progress(ledger) == percent


class TestWholeLedger:
    def test_stages_behind_a_failed_one_were_not_reached(self) -> None:
        failed = StageRecord(StageState.FAILED, 1, NOW, NOW, "not_a_video", "It is text.")
        ledger = whole_ledger({Stage.INGEST: failed})
        assert {stage.value: record.error_code for stage, record in ledger.items()} == {
            "ingest": "not_a_video",
            "detect": "not_reached",
            "context": "not_reached",
            "correlate": "not_reached",
            "moderate": "not_reached",
            "annotate": "not_reached",
            "escalate": "not_reached",
        }
        assert ledger[Stage.CORRELATE].error_message == "Not reached, because detect did not succeed."
        assert is_complete({Stage.INGEST: failed})

    def test_a_stage_that_ran_again_revives_those_behind_it(self) -> None:
        assert not is_complete(stages(ingest=StageState.DONE, detect=StageState.RUNNING))
        assert missing(stages(ingest=StageState.DONE, detect=StageState.RUNNING)) == {}

    def test_what_ended_before_stays_as_it_was(self) -> None:
        ledger = whole_ledger(stages(ingest=StageState.DONE, detect=StageState.FAILED, correlate=StageState.DONE))
        assert ledger[Stage.CORRELATE].state is StageState.DONE

    def test_a_failed_annotate_leaves_a_verdict_and_a_failed_moderate_none(self) -> None:
        looked = stages(ingest=StageState.DONE, detect=StageState.DONE, moderate=StageState.DONE)
        failed = {**looked, Stage.ANNOTATE: StageRecord(StageState.FAILED, 1)}
        assert whole_ledger(failed)[Stage.ESCALATE].state is StageState.PENDING
        blind = {**looked, Stage.MODERATE: StageRecord(StageState.FAILED, 1)}
        assert whole_ledger(blind)[Stage.ESCALATE].error_message == "Not reached, because moderate did not succeed."
        assert whole_ledger(blind)[Stage.ANNOTATE].error_code == "not_reached"

    def test_what_was_skipped_because_nothing_was_to_be_added_is_not_missing(self) -> None:
        skipped = StageRecord(StageState.SKIPPED, error_code="not_in_doubt")
        assert missing({**stages(ingest=StageState.DONE), Stage.ANNOTATE: skipped}) == {}

    def test_an_optional_stage_that_failed_is_missing_and_harms_nobody(self) -> None:
        ledger = stages(ingest=StageState.DONE, detect=StageState.DONE, context=StageState.FAILED)
        assert list(missing(ledger)) == [Stage.CONTEXT]
        assert whole_ledger(ledger)[Stage.CORRELATE].state is StageState.PENDING


@pytest.mark.parametrize(
    ("state", "said", "percent"),
    [
        (StageState.PENDING, 0.0, 0),
        (StageState.RUNNING, 0.0, 0),
        (StageState.RUNNING, 0.42, 42),
        (StageState.RUNNING, 1.0, 99),
        (StageState.FAILED, 0.3, 100),
    ],
)
def test_only_what_has_ended_is_at_a_hundred_percent(state: StageState, said: float, percent: int) -> None:
    assert stage_progress(StageRecord(state, progress=said)) == percent
