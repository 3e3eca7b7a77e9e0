"""What the sweeper decides, as tables."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.stages import Stage, StageRecord, StageState, WorkRecord, WorkState
from shared.domain.sweeping import (
    MAX_REQUEUES,
    AssetReason,
    UploadReason,
    WorkReason,
    decide_asset,
    decide_upload,
    decide_work,
    ended_without_file,
    waiting_stages,
    why_given_up,
)
from tests.fakes import NOON

GRACE = timedelta(minutes=5)


def work(state: WorkState, ago: float, *, attempts: int = 1, requeued: int = 0) -> WorkRecord:
    """A piece of work left alone `ago` minutes ago."""
    return WorkRecord(state, "owner", attempts, NOON - timedelta(minutes=ago), requeued=requeued)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (work(WorkState.DONE, 60), WorkReason.SETTLED),
        (work(WorkState.FAILED, 60), WorkReason.SETTLED),
        (work(WorkState.GIVEN_UP, 60, attempts=5), WorkReason.SETTLED),
        (work(WorkState.RUNNING, -1), WorkReason.TOO_EARLY),
        (work(WorkState.RUNNING, 4.9), WorkReason.TOO_EARLY),
        (work(WorkState.RUNNING, 5), WorkReason.WORKER_SILENT),
        (work(WorkState.RUNNING, 5, attempts=4), WorkReason.WORKER_SILENT),
        (work(WorkState.RUNNING, 5, attempts=5), WorkReason.WORKER_LOST),
        (work(WorkState.RUNNING, 4.9, attempts=5), WorkReason.TOO_EARLY),
        (work(WorkState.RELEASED, 5), WorkReason.DELIVERY_LOST),
        (work(WorkState.RELEASED, 5, attempts=5), WorkReason.RETRIES_EXHAUSTED),
        (work(WorkState.RELEASED, 9.9, requeued=1), WorkReason.TOO_EARLY),
        (work(WorkState.RELEASED, 10, requeued=1), WorkReason.DELIVERY_LOST),
        (work(WorkState.RELEASED, 5 * 2**7 - 1, requeued=7), WorkReason.TOO_EARLY),
        (work(WorkState.RELEASED, 5 * 2**7, requeued=7), WorkReason.NEVER_DELIVERED),
    ],
)
def test_a_piece_of_work(record: WorkRecord, reason: WorkReason) -> None:
    assert decide_work(record, NOON, GRACE) is reason


@pytest.mark.parametrize("state", [WorkState.RUNNING, WorkState.RELEASED])
def test_a_piece_of_work_nobody_takes_is_given_up_within_a_day(state: WorkState) -> None:
    record, now, asked = work(state, 0), NOON, 0
    while not (reason := decide_work(record, now, GRACE)).gives_up:
        if reason.asks_again:
            asked += 1
            record = WorkRecord(WorkState.RELEASED, "owner", 1, now, requeued=asked)
        now += timedelta(minutes=1)
    assert asked == MAX_REQUEUES
    assert now - NOON == timedelta(hours=21, minutes=15)
    assert why_given_up(reason, record) == "The stage's message was sent 7 more times, and no worker took it."


@given(st.sampled_from(WorkState), st.integers(0, 10), st.integers(0, 10), st.floats(0, 1e6))
def test_a_held_lease_is_never_touched(state: WorkState, attempts: int, requeued: int, left: float) -> None:
    record = WorkRecord(state, "owner", attempts, NOON + timedelta(seconds=left), requeued=requeued)
    reason = decide_work(record, NOON, GRACE)
    assert not reason.asks_again
    assert not reason.gives_up


def ended(ago: float, state: StageState = StageState.DONE) -> StageRecord:
    """A stage that ended `ago` minutes ago."""
    return StageRecord(state, 1, ended=NOON - timedelta(minutes=ago))


RUNNING = StageRecord(StageState.RUNNING, 1)
SKIPPED = StageRecord(StageState.SKIPPED)


@pytest.mark.parametrize(
    ("stages", "reason", "waiting"),
    [
        ({}, AssetReason.NOT_INGESTED, ()),
        ({Stage.INGEST: RUNNING}, AssetReason.NOT_INGESTED, ()),
        ({Stage.INGEST: ended(5, StageState.FAILED)}, AssetReason.UNANNOUNCED, ()),
        ({Stage.INGEST: ended(4)}, AssetReason.UNDER_WAY, ()),
        ({Stage.INGEST: ended(5)}, AssetReason.UNDER_WAY, (Stage.DETECT,)),
        ({Stage.INGEST: ended(9), Stage.DETECT: RUNNING}, AssetReason.UNDER_WAY, (Stage.DETECT,)),
        ({Stage.INGEST: ended(9), Stage.DETECT: ended(1)}, AssetReason.UNDER_WAY, ()),
        (
            {Stage.INGEST: ended(9), Stage.DETECT: ended(6)},
            AssetReason.UNDER_WAY,
            (Stage.CONTEXT, Stage.CORRELATE, Stage.MODERATE),
        ),
        (
            {Stage.INGEST: ended(9), Stage.DETECT: ended(6), Stage.CONTEXT: SKIPPED},
            AssetReason.UNDER_WAY,
            (Stage.CORRELATE, Stage.MODERATE),
        ),
        (
            {Stage.INGEST: ended(9), Stage.DETECT: ended(6, StageState.SKIPPED), Stage.CONTEXT: SKIPPED},
            AssetReason.UNDER_WAY,
            (Stage.CORRELATE, Stage.MODERATE),  # of a still picture
        ),
        (
            {
                Stage.INGEST: ended(9),
                Stage.DETECT: ended(9),
                Stage.CONTEXT: SKIPPED,
                Stage.CORRELATE: SKIPPED,
                Stage.MODERATE: ended(6),
                Stage.ANNOTATE: RUNNING,  # waits for a service, not for a message
            },
            AssetReason.UNDER_WAY,
            (Stage.ESCALATE,),
        ),
        ({Stage.INGEST: ended(9), Stage.DETECT: ended(6, StageState.FAILED)}, AssetReason.UNANNOUNCED, ()),
    ],
)
def test_an_asset(stages: dict[Stage, StageRecord], reason: AssetReason, waiting: tuple[Stage, ...]) -> None:
    assert decide_asset(stages) is reason
    assert waiting_stages(stages, NOON, GRACE) == waiting


WEEK = 7 * 24 * 60.0
"""In minutes."""


def ago(minutes: float) -> datetime:
    return NOON - timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("arrived", "attempts", "issued_at", "resumable", "reason"),
    [
        (ago(4), 0, ago(10), False, UploadReason.TOO_EARLY),
        (ago(5), 0, ago(10), False, UploadReason.NOTIFICATION_LOST),
        (ago(5), 2, ago(10), False, UploadReason.NOTIFICATION_LOST),
        (ago(5), 0, ago(WEEK + 1), True, UploadReason.NOTIFICATION_LOST),
        (ago(5), 0, None, False, UploadReason.NOTIFICATION_LOST),
        (None, 0, ago(10), False, UploadReason.STILL_WELCOME),
        (None, 0, ago(4 * 60 + 4), False, UploadReason.STILL_WELCOME),  # its PUT began in time and takes two hours
        (None, 0, ago(4 * 60 + 5), False, UploadReason.NEVER_CAME),
        (None, 0, ago(4 * 60 + 5), True, UploadReason.STILL_WELCOME),
        (None, 0, ago(WEEK + 2 * 60 + 4), True, UploadReason.STILL_WELCOME),  # its session began in time
        (None, 0, ago(WEEK + 2 * 60 + 5), True, UploadReason.NEVER_CAME),
        (None, 1, ago(4 * 60 + 5), False, UploadReason.BEGUN),
        (None, 0, None, False, UploadReason.GONE),
    ],
)
def test_an_upload(
    arrived: datetime | None, attempts: int, issued_at: datetime | None, resumable: bool, reason: UploadReason
) -> None:
    decided = decide_upload(arrived, attempts=attempts, issued_at=issued_at, resumable=resumable, now=NOON, grace=GRACE)
    assert decided is reason
    assert reason.ends is (reason in {UploadReason.NEVER_CAME, UploadReason.GONE})


@pytest.mark.parametrize(
    ("record", "without"),
    [
        (StageRecord(StageState.FAILED, error_code="upload_never_came"), True),
        (StageRecord(StageState.FAILED, error_code="object_gone"), True),
        (StageRecord(StageState.FAILED, 1, error_code="not_a_video"), False),
        (StageRecord(StageState.RUNNING, 1), False),
        (StageRecord(), False),
    ],
)
def test_ingest_that_ended_without_a_file(record: StageRecord, without: bool) -> None:
    assert ended_without_file({Stage.INGEST: record}) is without
