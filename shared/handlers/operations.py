"""What the sweeper does for verdicts that wait for Video Intelligence: nobody waits for a result that will not come.

It looks at each provisional verdict: is the result there and nobody heard of it, did the operation fail, is it lost,
does it take too long, did the stage that reads the result end without one? Then the verdict of the frames becomes
final, and that is published, in one commit with an outbox. Every step is a compare-and-set on the asset or may be
repeated.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared import ids
from shared.domain.assets import Asset
from shared.domain.moderation.moderated import Moderation
from shared.domain.moderation.operations import SENTENCES, OperationReason, Waiting, decide_operation
from shared.domain.stages import ENDED, Stage, StageRecord, StageState, WorkRecord, WorkState
from shared.errors import AnalyserFailed
from shared.handlers import concluding
from shared.handlers.triggers import work_object
from shared.outbox import outbox_of, publish_outbox
from shared.ports import Blobs, Bus, Documents, Operation, VideoAnnotator, Write
from shared.repositories import assets, work

log = logging.getLogger(__name__)

PROGRESS_STEP = 0.05
"""Less news than this is not worth a write."""


@dataclass(frozen=True)
class Deps:
    """What it takes to look after operations. `video` None: the service can't be asked (any more)."""

    documents: Documents
    media: Blobs
    bus: Bus
    bucket: str
    grace: timedelta
    video: VideoAnnotator | None = None


def look_after(asset: Asset, version: str, now: datetime, deps: Deps) -> OperationReason:
    """What was decided about a provisional verdict. RESULT_UNHEARD leaves the asking to the caller, all else is done.

    Raises `VersionConflict` or `AlreadyExists` when somebody else was faster.
    """
    moderation = asset.moderation
    assert moderation is not None  # noqa: S101 - it is provisional
    assert moderation.operation is not None  # noqa: S101
    record = assets.stage_record(asset, Stage.ANNOTATE)
    waiting = _waiting(asset, moderation, record, deps)
    found = None
    if not (waiting.ended or waiting.claimed or waiting.result_at):
        found = _asked(moderation.operation.name, deps)
    reason = decide_operation(replace(waiting, state=found.state if found else None), now, deps.grace)
    if reason is OperationReason.TIMED_OUT and deps.video is not None:
        with suppress(AnalyserFailed):
            deps.video.cancel(moderation.operation.name)
    if reason.finalises:
        _finalise(asset, version, moderation, _ended(record, reason, now), now, deps)
    elif found is not None and found.progress >= record.progress + PROGRESS_STEP:
        deps.documents.commit([_shown(asset.id, replace(record, progress=min(found.progress, 1.0)), version)])
    return reason


def _waiting(asset: Asset, moderation: Moderation, record: StageRecord, deps: Deps) -> Waiting:
    assert moderation.operation is not None  # noqa: S101 - see `look_after`
    name, generation = work_object(Stage.ANNOTATE, asset)
    key = ids.work_key(deps.bucket, name, generation or 0, Stage.ANNOTATE)
    claimed = work.load(deps.documents, key) is not None
    result = None if claimed else deps.media.stat(name)
    return Waiting(
        requested_at=moderation.operation.requested_at,
        ended=record.state in ENDED,
        claimed=claimed,
        result_at=result.updated if result else None,
    )


def _asked(name: str, deps: Deps) -> Operation | None:
    if deps.video is None:
        return None
    try:
        return deps.video.look_up(name)
    except AnalyserFailed as error:
        log.warning("the operation could not be looked up: %s", error)
        return None


def _ended(record: StageRecord, reason: OperationReason, now: datetime) -> StageRecord:
    if reason is OperationReason.STAGE_ENDED:
        return record
    return replace(record, state=StageState.FAILED, ended=now, error_code=reason, error_message=SENTENCES[reason])


def _finalise(
    asset: Asset, version: str, moderation: Moderation, record: StageRecord, now: datetime, deps: Deps
) -> None:
    """Makes the verdict of the frames final and says so."""
    ended = concluding.conclude(asset, version, replace(moderation, final=True), deps.bucket)
    key = _key(asset, moderation)
    outbox = outbox_of(key, ended.messages, now)
    done = WorkRecord(WorkState.DONE, ids.new_uuid(), 1, now, published=not outbox)
    shown: Sequence[Write] = (assets.stage_update(asset.id, Stage.ANNOTATE, record),)
    deps.documents.commit([*ended.writes, *shown, work.finished(key, done, outbox)])
    publish_outbox(deps.documents, deps.bus, key, outbox)


def _key(asset: Asset, moderation: Moderation) -> str:
    """One for each verdict that is made final so."""
    decided = moderation.decided_at.isoformat()
    return hashlib.sha256(json.dumps([asset.id, "finalised", moderation.look, decided]).encode()).hexdigest()


def _shown(asset_id: str, record: StageRecord, version: str) -> Write:
    return replace(assets.stage_update(asset_id, Stage.ANNOTATE, record), version=version)
