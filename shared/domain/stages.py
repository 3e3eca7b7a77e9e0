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
    released (an attempt failed)           → CLAIM
    done or failed, outbox unpublished     → PUBLISH    the worker died between save and publish
    done or failed, outbox published       → DUPLICATE
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
    CORRELATE = "correlate"


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
    """One line of the ledger. `cost_usd` is an estimate.

    `error_*` also tell why a pending stage is tried again, and why a skipped one was.
    """

    state: StageState = StageState.PENDING
    attempts: int = 0
    started: datetime | None = None
    ended: datetime | None = None
    error_code: str | None = None
    error_message: str | None = None
    version: str | None = None
    cost_usd: float = 0.0


class WorkState(StrEnum):
    """Where a piece of work stands; `RELEASED` waits for its next delivery."""

    RUNNING = "running"
    RELEASED = "released"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class WorkRecord:
    """The claim on a piece of work. `owner` names the attempt that holds it; no two attempts have the same."""

    state: WorkState
    owner: str
    attempts: int
    lease_until: datetime
    published: bool = True


class ClaimDecision(StrEnum):
    """What a delivery may do with a piece of work; the table at the top of this module."""

    CLAIM = "claim"
    WAIT = "wait"
    PUBLISH = "publish"
    DUPLICATE = "duplicate"


def decide_claim(record: WorkRecord | None, now: datetime) -> ClaimDecision:
    """Whether a delivery may work, must wait, must only publish, or is a duplicate."""
    if record is None or record.state is WorkState.RELEASED:
        return ClaimDecision.CLAIM
    if record.state in {WorkState.DONE, WorkState.FAILED}:
        return ClaimDecision.DUPLICATE if record.published else ClaimDecision.PUBLISH
    return ClaimDecision.CLAIM if record.lease_until <= now else ClaimDecision.WAIT


class AssetState(StrEnum):
    """An asset as a whole, derived from its stages."""

    AWAITING_UPLOAD = "awaiting_upload"
    PROCESSING = "processing"
    DONE = "done"
    FAILED = "failed"


def asset_state(stages: Mapping[Stage, StageRecord]) -> AssetState:
    """FAILED as soon as a stage failed; DONE when every stage ended; AWAITING_UPLOAD before the first began."""
    states = [stages.get(stage, StageRecord()).state for stage in Stage]
    if StageState.FAILED in states:
        return AssetState.FAILED
    if all(state in ENDED for state in states):
        return AssetState.DONE
    begun = any(state is not StageState.PENDING for state in states) or any(
        record.attempts for record in stages.values()
    )
    return AssetState.PROCESSING if begun else AssetState.AWAITING_UPLOAD


def progress(stages: Mapping[Stage, StageRecord]) -> int:
    """Percent of the stages that ended, 0-100."""
    ended = sum(stages.get(stage, StageRecord()).state in ENDED for stage in Stage)
    return round(100 * ended / len(Stage))
