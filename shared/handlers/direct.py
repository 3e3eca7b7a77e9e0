"""A file that was sent to be analysed at once: the whole pipeline in one call, and an asset as if it had passed it.

No message is sent and no incident opened, because such a file names no place. What can't be analysed leaves nothing
behind: the client is told why in the reply, and nobody else waits for it (docs/decisions/006).
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from shared.domain.assets import Asset, Detection, direct_name_of, is_shown_text
from shared.domain.costs import Machine
from shared.domain.replays import SENTENCES, Refusal
from shared.domain.stages import Stage, StageRecord, StageState
from shared.errors import NotFound, Retryable
from shared.handlers import scoring
from shared.handlers.uploads import MAX_FILENAME_CHARACTERS
from shared.metering import billed
from shared.ports import Clock, Documents, MediaProbe
from shared.repositories import assets, timelines

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Deps:
    """What a direct analysis needs of the world. `machine`: what the bill for computing counts, if there is one."""

    documents: Documents
    probe: MediaProbe
    scoring: scoring.Deps
    clock: Clock
    machine: Machine | None = None


@dataclass(frozen=True)
class Upload:
    """A file that lies at `direct_name_of(asset_id)`. `filename` is only ever shown, and only if that can be done."""

    asset_id: str
    generation: int
    sensitivity: float
    step: int = 1
    filename: str | None = None


def analyse(upload: Upload, deps: Deps) -> Asset:
    """Analyses the file and stores the finished asset, or removes everything that was stored for it.

    Raises `MediaUnusable`, and `Retryable` when the store or the bucket is away.
    """
    try:
        asset = _look(upload, deps)
    except Exception:
        discard(upload.asset_id, deps)
        raise
    _store(asset, deps)
    return asset


def discard(asset_id: str, deps: Deps) -> None:
    """Removes the file and what was made of it; what can't be removed now is logged and harms nobody."""
    media = deps.scoring.media
    try:
        with suppress(NotFound):
            media.delete(direct_name_of(asset_id))
        timelines.discard(media, asset_id)
    except Exception as error:  # the reason for discarding is the error that matters
        log.warning("asset %s could not be discarded: %s", asset_id, type(error).__name__)


def _look(upload: Upload, deps: Deps) -> Asset:
    name = direct_name_of(upload.asset_id)
    began = deps.clock.now()
    with deps.scoring.media.open(name, generation=upload.generation) as stream:
        facts = deps.probe.probe(stream)
    probed = deps.clock.now()
    video = scoring.Video(upload.asset_id, name, upload.generation, upload.sensitivity, upload.step)
    found = scoring.score(video, deps.scoring).detection
    shown = upload.filename is not None and is_shown_text(upload.filename, MAX_FILENAME_CHARACTERS)
    return Asset(
        id=upload.asset_id,
        object_name=name,
        created_at=began,
        filename=upload.filename if shown else None,
        generation=upload.generation,
        facts=facts,
        detection=found,
        complete=True,
        stages={
            stage: billed(record, deps.machine)
            for stage, record in _ledger(found, began, probed, deps.clock.now()).items()
        },
    )


def _ledger(found: Detection, began: datetime, probed: datetime, scored: datetime) -> dict[Stage, StageRecord]:
    """As the pipeline would have written it."""
    skipped = StageRecord(StageState.SKIPPED, started=scored, ended=scored)
    return {
        Stage.INGEST: StageRecord(StageState.DONE, 1, began, probed),
        Stage.DETECT: StageRecord(StageState.DONE, 1, probed, scored, version=found.model),
        Stage.CONTEXT: replace(
            skipped, error_code="direct", error_message="A direct analysis is answered at once, without Gemini."
        ),
        Stage.CORRELATE: replace(
            skipped,
            error_code="no_place",
            error_message=SENTENCES[Refusal.NO_PLACE],
        ),
        Stage.MODERATE: replace(
            skipped,
            error_code="direct",
            error_message="A direct analysis is answered at once and not moderated; a replay of moderate does that.",
        ),
        Stage.ANNOTATE: replace(
            skipped, error_code="direct", error_message="A direct analysis is answered at once and not moderated."
        ),
        Stage.ESCALATE: replace(skipped, error_code="no_place", error_message=SENTENCES[Refusal.NO_PLACE]),
    }


def _store(asset: Asset, deps: Deps) -> None:
    """Commits the asset with everything in it. Whether a commit without an answer happened is asked, not guessed."""
    try:
        deps.documents.commit([assets.finished_creation(asset)])
    except Retryable:
        if assets.find(deps.documents, asset.id) is None:
            discard(asset.id, deps)
            raise
