"""What the sweeper does with what stands still: pure decisions, each with its reason.

A piece of work that nobody touched for a grace time is asked for again; a live worker renews its lease, so its work is
never among them. Asking again is harmless (whoever finds the work done acknowledges), so the grace only saves messages:

    claimed        the worker dies   lease runs out        requeued           nobody comes          requeued
    ───●──────────────────✗────────────────┤┄┄┄ grace ┄┄┄┄┄┄●┄┄┄ grace · 2 ┄┄┄┄┄●┄┄┄ grace · 4 ┄┄┄┄┄▶ time

The waits double because a message may only be queued behind many others. A piece of work ends as failed when it was
claimed `MAX_ATTEMPTS` times in all, or when it was asked for `MAX_REQUEUES` times and nobody came; a message that comes
after all still runs it (`WorkState.GIVEN_UP`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum

from shared.domain.assets import UPLOAD_URL_HOURS
from shared.domain.stages import (
    ENDED,
    MAX_ATTEMPTS,
    UPSTREAM,
    Stage,
    StageRecord,
    StageState,
    WorkRecord,
    WorkState,
    is_complete,
    leaves_work,
    whole_ledger,
)

MAX_REQUEUES = 7
"""With waits that double, the last one ends 255 graces after the work was left alone: 21 hours for 5 minutes."""

LEFTOVER_AGE = timedelta(hours=1)
"""A direct analysis ends, and so does its request, after 5 minutes; what is an hour old belongs to none that runs."""

HOUSEKEEPING_EVERY = timedelta(hours=1)
"""Listing a bucket costs by its objects, so it is done more seldom than the rest."""

LONGEST_SESSION = timedelta(days=7)
"""Cloud Storage forgets a resumable session a week after it began, which it may as late as its upload URL expires."""

LONGEST_PUT = timedelta(hours=2)
"""A single PUT that began in time is taken to its end, however late. At 6 Mbit/s the largest file takes two hours; over
slower lines no PUT of that size can be hoped for, since it starts anew whenever the connection is lost.
"""

LONGEST_SILENCE = timedelta(minutes=5)
"""Five intervals of the schedule in `infra/pipeline.yaml`; a sweeper that was not heard for longer is missed."""


class WorkReason(StrEnum):
    """Why a piece of work is left alone, asked for again, or given up."""

    SETTLED = "settled"
    TOO_EARLY = "too_early"
    WORKER_SILENT = "worker_silent"
    DELIVERY_LOST = "delivery_lost"
    WORKER_LOST = "worker_lost"
    RETRIES_EXHAUSTED = "retries_exhausted"
    NEVER_DELIVERED = "never_delivered"

    @property
    def asks_again(self) -> bool:
        """Whether its message shall be published once more."""
        return self in {WorkReason.WORKER_SILENT, WorkReason.DELIVERY_LOST}

    @property
    def gives_up(self) -> bool:
        """Whether its stage shall end as failed."""
        return self in {WorkReason.WORKER_LOST, WorkReason.RETRIES_EXHAUSTED, WorkReason.NEVER_DELIVERED}


def decide_work(record: WorkRecord, now: datetime, grace: timedelta) -> WorkReason:
    """What to do with a piece of work that somebody claimed once, or that the sweeper asked for."""
    if record.state not in {WorkState.RUNNING, WorkState.RELEASED}:
        return WorkReason.SETTLED
    if now < record.lease_until + grace * 2**record.requeued:
        return WorkReason.TOO_EARLY
    last = record.attempts >= MAX_ATTEMPTS
    if record.state is WorkState.RUNNING:
        return WorkReason.WORKER_LOST if last else WorkReason.WORKER_SILENT
    if last:
        return WorkReason.RETRIES_EXHAUSTED
    return WorkReason.NEVER_DELIVERED if record.requeued >= MAX_REQUEUES else WorkReason.DELIVERY_LOST


def why_given_up(reason: WorkReason, record: WorkRecord) -> str:
    """The sentence for the ledger."""
    if reason is WorkReason.WORKER_LOST:
        return f"The worker was lost {record.attempts} times while it was at this stage."
    if reason is WorkReason.RETRIES_EXHAUSTED:
        return f"The stage failed {record.attempts} times; its message waits among the dead letters."
    return f"The stage's message was sent {record.requeued} more times, and no worker took it."


class AssetReason(StrEnum):
    """What to look at next in an asset of which nobody said yet that it is complete."""

    UNANNOUNCED = "unannounced"
    NOT_INGESTED = "not_ingested"
    UNDER_WAY = "under_way"


def decide_asset(stages: Mapping[Stage, StageRecord]) -> AssetReason:
    """Where an asset stands that is older than the grace."""
    if is_complete(stages):
        return AssetReason.UNANNOUNCED
    if whole_ledger(stages)[Stage.INGEST].state not in ENDED:
        return AssetReason.NOT_INGESTED
    return AssetReason.UNDER_WAY


def waiting_stages(stages: Mapping[Stage, StageRecord], now: datetime, grace: timedelta) -> tuple[Stage, ...]:
    """The stages that have not ended although the one before them did so a grace ago: is there work for them?"""
    ledger = whole_ledger(stages)
    return tuple(
        stage
        for stage, upstream in UPSTREAM.items()
        if stage is not Stage.ANNOTATE  # waits for a service: `decide_operation`
        and ledger[stage].state not in ENDED
        and _done_before(ledger[upstream], now - grace)
    )


def _done_before(record: StageRecord, moment: datetime) -> bool:
    return leaves_work(record) and record.ended is not None and record.ended <= moment


class UploadReason(StrEnum):
    """Why an asset whose ingest has not ended waits, is ingested now, or ends."""

    TOO_EARLY = "too_early"
    NOTIFICATION_LOST = "notification_lost"
    STILL_WELCOME = "still_welcome"
    BEGUN = "begun"
    NEVER_CAME = "upload_never_came"
    GONE = "object_gone"

    @property
    def ends(self) -> bool:
        """Whether ingest shall end as failed."""
        return self in {UploadReason.NEVER_CAME, UploadReason.GONE}


UPLOAD_SENTENCES: Mapping[UploadReason, str] = {
    UploadReason.NEVER_CAME: "No file came before the upload URL, and what may have begun with it, expired.",
    UploadReason.GONE: "The file was removed or overwritten before anybody looked at it.",
}


def ended_without_file(stages: Mapping[Stage, StageRecord]) -> bool:
    """Whether ingest ended only because there was no file: one that is there after all shall be ingested."""
    record = whole_ledger(stages)[Stage.INGEST]
    return record.state is StageState.FAILED and record.error_code in {UploadReason.NEVER_CAME, UploadReason.GONE}


def decide_upload(
    arrived: datetime | None,
    *,
    attempts: int,
    issued_at: datetime | None,
    resumable: bool,
    now: datetime,
    grace: timedelta,
) -> UploadReason:
    """What to do with an asset whose ingest has not ended.

    `arrived`: when its object was finalised, None without one. `issued_at`: when its upload URL was made, None for a
    file that was dropped into the bucket; `resumable`: it starts a session. Whoever began ingest (`attempts`) has a
    piece of work, which is looked at.
    """
    if arrived is not None:
        return UploadReason.NOTIFICATION_LOST if arrived + grace <= now else UploadReason.TOO_EARLY
    if attempts:
        return UploadReason.BEGUN
    if issued_at is None:
        return UploadReason.GONE
    last_begins = issued_at + timedelta(hours=UPLOAD_URL_HOURS)
    last_ends = last_begins + (LONGEST_SESSION if resumable else LONGEST_PUT)
    return UploadReason.NEVER_CAME if last_ends + grace <= now else UploadReason.STILL_WELCOME
