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
    progress,
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
        ({"ingest": StageState.DONE}, AssetState.PROCESSING, 25),
        ({"ingest": StageState.FAILED}, AssetState.FAILED, 100),
        (
            {
                "ingest": StageState.DONE,
                "detect": StageState.SKIPPED,
                "context": StageState.DONE,
                "correlate": StageState.DONE,
            },
            AssetState.DONE,
            100,
        ),
        (
            {"ingest": StageState.DONE, "detect": StageState.DONE, "context": StageState.FAILED},
            AssetState.PROCESSING,
            75,
        ),
        (
            {
                "ingest": StageState.DONE,
                "detect": StageState.DONE,
                "context": StageState.FAILED,
                "correlate": StageState.DONE,
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
