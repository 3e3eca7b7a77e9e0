"""The stage ledger: what each stage of an asset did, and whether a piece of work may be claimed.

A piece of work is claimed by one conditional write. Its life, with the lease renewed while the worker lives:

    created           renewed  renewed              done
       │  running        │        │                  │
   ────●─────────────────●────────●──────────────────●───────────▶ time
       └── lease ──▶┄┄┄┄┄└─ lease ▶┄┄└── lease ──▶   └ the outbox is saved with the result, then published, then marked
                                        ▲
                                        a worker that falls silent: the lease runs out and the next delivery claims it

    a delivery finds                         and is told to
    ─────────────────────────────────────────────────────────────────────────────────
    nothing                                → CLAIM
    running, lease expired                 → CLAIM      the worker died; its late commit fails on the version
    running, lease held                    → WAIT       raise: only the saved result makes it safe to acknowledge
    released (an attempt failed)           → CLAIM      so is a piece the sweeper asked for again
    given up (the last attempt failed)     → CLAIM      somebody replays the dead letter
    done or failed, outbox unpublished     → PUBLISH    the worker died between save and publish
    done or failed, outbox published       → DUPLICATE
    superseded                             → DUPLICATE  a replay has taken its place
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

MAX_ATTEMPTS = 5
"""Deliveries before a message becomes a dead letter (SPEC §1)."""


class Stage(StrEnum):
    """The stages an asset passes through, in the order they are shown."""

    INGEST = "ingest"
    DETECT = "detect"
    CONTEXT = "context"
    CORRELATE = "correlate"
    MODERATE = "moderate"
    ANNOTATE = "annotate"
    ESCALATE = "escalate"


UPSTREAM: Mapping[Stage, Stage] = {
    Stage.DETECT: Stage.INGEST,
    Stage.CONTEXT: Stage.DETECT,
    Stage.CORRELATE: Stage.DETECT,
    Stage.MODERATE: Stage.DETECT,
    Stage.ANNOTATE: Stage.MODERATE,
    Stage.ESCALATE: Stage.MODERATE,
}
"""Whose result each stage waits for; the first waits for none.

ESCALATE begins once the verdict is final, which ANNOTATE may have to make it; but a failed ANNOTATE still leaves the
verdict of the frames, and only a failed MODERATE leaves none.
"""

OPTIONAL = frozenset({Stage.CONTEXT, Stage.MODERATE, Stage.ANNOTATE})
"""What these say is an extra: when they fail, the analysis is complete without them and names them as missing."""


class StageState(StrEnum):
    """Where a stage stands (SPEC §1)."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


ENDED = frozenset({StageState.DONE, StageState.FAILED, StageState.SKIPPED})


@dataclass(frozen=True)
class StageRecord:
    """One line of the ledger. `progress` (0-1) is what a running stage last said of itself.

    `error_*` also tell why a pending stage is tried again, and why a skipped one was. `cost_usd` estimates all attempts
    and replays together, by the list prices in force on `price_date` (ISO); `cost_note` says what had to be assumed.
    `reused_from`: the asset whose earlier result this is.
    """

    state: StageState = StageState.PENDING
    attempts: int = 0
    started: datetime | None = None
    ended: datetime | None = None
    error_code: str | None = None
    error_message: str | None = None
    version: str | None = None
    cost_usd: float = 0.0
    progress: float = 0.0
    price_date: str | None = None
    cost_note: str | None = None
    reused_from: str | None = None


NOT_REACHED = "not_reached"
STILL_IMAGE = "still_image"
NOT_IN_DOUBT = "not_in_doubt"
REUSED = "reused"
NEEDLESS = frozenset({STILL_IMAGE, NOT_IN_DOUBT, REUSED})
"""The codes of stages that were skipped because there was nothing for them to add: their result is not missing."""


class WorkState(StrEnum):
    """Where a piece of work stands; `RELEASED` waits for its next delivery, `GIVEN_UP` for a person.

    `SUPERSEDED`: a replay has taken its place.
    """

    RUNNING = "running"
    RELEASED = "released"
    GIVEN_UP = "given_up"
    SUPERSEDED = "superseded"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class WorkRecord:
    """The claim on a piece of work. `owner` names the attempt that holds it; no two attempts have the same.

    `attempts` counts all claims, `requeued` how often the sweeper asked for it since the last one.
    `cost_usd`: what all attempts cost, without the computing time of one that is running, which `began` tells.
    """

    state: WorkState
    owner: str
    attempts: int
    lease_until: datetime
    published: bool = True
    requeued: int = 0
    cost_usd: float = 0.0
    began: datetime | None = None

    @property
    def is_running(self) -> bool:
        """Whether an attempt holds it, or fell silent while it did."""
        return self.state is WorkState.RUNNING


class ClaimDecision(StrEnum):
    """What a delivery may do with a piece of work; the table at the top of this module."""

    CLAIM = "claim"
    WAIT = "wait"
    PUBLISH = "publish"
    DUPLICATE = "duplicate"


def decide_claim(record: WorkRecord | None, now: datetime) -> ClaimDecision:
    """Whether a delivery may work, must wait, must only publish, or is a duplicate."""
    if record is None or record.state in {WorkState.RELEASED, WorkState.GIVEN_UP}:
        return ClaimDecision.CLAIM
    if record.state in {WorkState.DONE, WorkState.FAILED, WorkState.SUPERSEDED}:
        return ClaimDecision.DUPLICATE if record.published else ClaimDecision.PUBLISH
    return ClaimDecision.CLAIM if record.lease_until <= now else ClaimDecision.WAIT


class AssetState(StrEnum):
    """An asset as a whole, derived from its stages."""

    AWAITING_UPLOAD = "awaiting_upload"
    PROCESSING = "processing"
    DONE = "done"
    FAILED = "failed"


def whole_ledger(stages: Mapping[Stage, StageRecord]) -> dict[Stage, StageRecord]:
    """Every stage with its record: pending before it began, skipped where the stage it waits for failed.

    That a stage was not reached is derived, never stored, so that a dead letter delivered again, or a replay of the
    stage before it, revives it.
    """
    ledger: dict[Stage, StageRecord] = {}
    for stage in Stage:
        record = stages.get(stage, StageRecord())
        upstream = UPSTREAM.get(stage)
        if record.state is StageState.PENDING and upstream is not None and _gave_nothing(ledger[upstream]):
            sentence = f"Not reached, because {upstream} did not succeed."
            record = StageRecord(StageState.SKIPPED, error_code=NOT_REACHED, error_message=sentence)
        ledger[stage] = record
    return ledger


def leaves_work(record: StageRecord) -> bool:
    """Whether a stage ended in a way that lets the stages after it begin; one skipped for a still picture does, too."""
    return record.state in ENDED and not _gave_nothing(record)


def _gave_nothing(record: StageRecord) -> bool:
    return record.state is StageState.FAILED or record.error_code == NOT_REACHED


def is_complete(stages: Mapping[Stage, StageRecord]) -> bool:
    """Whether every stage has ended, in whatever way."""
    return all(record.state in ENDED for record in whole_ledger(stages).values())


def missing(stages: Mapping[Stage, StageRecord]) -> dict[Stage, StageRecord]:
    """The stages that ended without a result that they could have had, each of which says why."""
    without = {StageState.FAILED, StageState.SKIPPED}
    ended = {stage: record for stage, record in whole_ledger(stages).items() if record.state in without}
    return {stage: record for stage, record in ended.items() if record.error_code not in NEEDLESS}


def asset_state(stages: Mapping[Stage, StageRecord]) -> AssetState:
    """FAILED as soon as a stage that is not optional failed; DONE when every stage ended.

    AWAITING_UPLOAD before the first began.
    """
    ledger = whole_ledger(stages)
    if any(record.state is StageState.FAILED for stage, record in ledger.items() if stage not in OPTIONAL):
        return AssetState.FAILED
    if is_complete(stages):
        return AssetState.DONE
    begun = any(record.state is not StageState.PENDING or record.attempts for record in ledger.values())
    return AssetState.PROCESSING if begun else AssetState.AWAITING_UPLOAD


def progress(stages: Mapping[Stage, StageRecord]) -> int:
    """Percent of the work that is done, 0-100: the mean over the stages."""
    ledger = whole_ledger(stages)
    return round(sum(stage_progress(record) for record in ledger.values()) / len(ledger))


def stage_progress(record: StageRecord) -> int:
    """Percent of a stage, 0-100: what a running one said last, 100 once it ended."""
    if record.state in ENDED:
        return 100
    return min(round(100 * record.progress), 99) if record.state is StageState.RUNNING else 0
