"""The stage that goes on when Video Intelligence has written its result: read it, judge anew, make the verdict final.

However it ends, a final verdict is left: where the result is broken or can't be read, that of the frames. Where not
even that can be stored (its workers were lost), the sweeper does it (`shared/handlers/operations.py`).

A result may come before the verdict that waits for it (again later), twice (one piece of work), after the operation was
given up (it still counts), or for a look that another has replaced (passed by).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from shared import ids
from shared.delivery import Attempt, Consumer, Outcome, Work, stage_name
from shared.domain.assets import Asset
from shared.domain.moderation.annotations import evidence_of_annotation
from shared.domain.moderation.findings import Evidence, MediaKind, Place, combined
from shared.domain.moderation.in_force import InForce
from shared.domain.moderation.moderated import FIRST_LOOK, Moderation, Operation, annotation_of, moderation_of
from shared.domain.moderation.receipts import Status
from shared.domain.moderation.verdicts import judge
from shared.domain.stages import ENDED, Stage, StageRecord, StageState, whole_ledger
from shared.errors import Malformed, NotFound, Retryable
from shared.handlers import concluding, witnesses
from shared.handlers.concluding import detector_of
from shared.handlers.triggers import ANY_GENERATION
from shared.handlers.witnesses import Read
from shared.messages import AnnotationsFinalised, decode_annotations
from shared.ports import Blobs, Clock, Documents, VideoAnnotation, VideoAnnotator, Write
from shared.repositories import assets, evidence, replays, work

log = logging.getLogger(__name__)

BROKEN = "The result of Video Intelligence can't be read; the verdict is that of the frames."
UNREADABLE = "The result of Video Intelligence could not be read in time; the verdict is that of the frames."
SUPERSEDED = "Another look has taken this one's place."


@dataclass(frozen=True)
class Deps:
    """What annotate needs of the world. `video` reads its own results, which lie in `results`.

    `bucket` is the name of the uploads' bucket, by which work on them is known, wherever their results lie.
    """

    documents: Documents
    results: Blobs
    clock: Clock
    video: VideoAnnotator
    witnesses: witnesses.Deps
    profiles: InForce
    bucket: str


def prepare(message: AnnotationsFinalised, deps: Deps) -> Work | None:
    """One piece of work a result object, however often it was written; None for an object that nothing waits for.

    Raises `Retryable` for a result that came before the verdict which will wait for it.
    """
    name = stage_name(Stage.ANNOTATE, message.replay)
    found = annotation_of(message.name)
    if name is None or found is None:
        return None
    key = ids.work_key(deps.bucket, message.name, ANY_GENERATION, name)
    asset_id, look = found
    if message.replay is not None:
        return Work(key, asset_id, Stage.ANNOTATE, message.replay.id)
    asset = assets.find(deps.documents, asset_id)
    if asset is not None and _waits_for(asset, message.name):
        return Work(key, asset_id, Stage.ANNOTATE)
    if asset is not None and _may_yet_wait(asset, look, deps):
        raise Retryable("the verdict that will wait for this result is not stored yet")
    log.info("nothing waits for %s", message.name)
    return None


def handle(message: AnnotationsFinalised, deps: Deps, attempt: Attempt) -> Outcome:
    """Reads the result and judges anew. Raises `Retryable`, and whatever else may be better the next time."""
    asset, version = assets.get_with_version(deps.documents, attempt.asset_id)
    moderation = asset.moderation
    if moderation is None or moderation.operation is None or not _waits_for(asset, message.name):
        return Outcome(state=StageState.SKIPPED, error_code="superseded", error_message=SUPERSEDED)
    try:
        seen = _together(asset, moderation, moderation.operation, deps, attempt)
    except (Malformed, NotFound) as error:
        return _without(asset, version, moderation, deps, error.code, BROKEN)
    except Exception:
        if not attempt.is_last:
            raise
        log.exception("the result could not be read, and nobody will try again")
        return _without(asset, version, moderation, deps, "retries_exhausted", UNREADABLE)
    return _with(asset, version, moderation, seen, message, deps)


def _waits_for(asset: Asset, object_name: str) -> bool:
    operation = asset.moderation.operation if asset.moderation else None
    return operation is not None and operation.output_name == object_name


def _may_yet_wait(asset: Asset, look: str, deps: Deps) -> bool:
    """Whether the stage that asked for this look has yet to store its verdict."""
    if look == FIRST_LOOK:
        return asset.moderation is None and whole_ledger(asset.stages)[Stage.MODERATE].state not in ENDED
    replay = replays.find(deps.documents, look)
    return replay is not None and replay.record.state not in ENDED


def _together(asset: Asset, moderation: Moderation, operation: Operation, deps: Deps, attempt: Attempt) -> Evidence:
    """What the frames and the whole video say together."""
    look = evidence.find(deps.documents, asset.id, moderation.look)
    if look is None:
        raise NotFound("no_evidence", "What the frames showed was not kept.")
    found = _result(operation, deps)
    seen = evidence_of_annotation(found, operation.witness, operation.usd)
    read = witnesses.read_texts(
        [Read(each.name, Place(each.start, each.end)) for each in found.texts or ()],
        MediaKind.VIDEO,
        0.0 if found.texts is None or "texts" in found.problems else 1.0,
        deps.profiles.of(strict=moderation.strict),
        deps.witnesses,
        attempt.charge,
        asset.id,
    )
    return combined(combined(look.evidence, seen), read)


def _result(operation: Operation, deps: Deps) -> VideoAnnotation:
    """The result as it lies there now: of one generation, as another run of the operation may just write the next."""
    info = deps.results.stat(operation.output_name)
    if info is None:
        raise NotFound("no_result", "The result of Video Intelligence is gone.")
    try:
        with deps.results.open(operation.output_name, generation=info.generation) as stream:
            return deps.video.read(stream)
    except NotFound:
        raise Retryable("the result was just written again") from None


def _with(
    asset: Asset,
    version: str,
    before: Moderation,
    seen: Evidence,
    message: AnnotationsFinalised,
    deps: Deps,
) -> Outcome:
    now, profile = deps.clock.now(), deps.profiles.of(strict=before.strict)
    verdict = judge(seen, profile)
    after = replace(
        moderation_of(verdict, profile, now, detector_of(asset)),
        look=before.look,
        strict=before.strict,
        full_look=before.full_look,
        operation=before.operation,
    )
    ended = concluding.conclude(asset, version, after, deps.bucket)
    compared = concluding.comparison(asset, verdict, seen, deps.profiles, now)
    again = _escalating_again(asset, before, after, message, deps)
    return Outcome(
        writes=(*ended.writes, *compared, *again),
        messages=ended.messages,
        version=before.operation.witness if before.operation else None,
    )


def _without(asset: Asset, version: str, moderation: Moderation, deps: Deps, code: str, sentence: str) -> Outcome:
    """The verdict of the frames is final, if it was not: a result that came late, or a replay, leaves it as it is."""
    failed = Outcome(state=StageState.FAILED, error_code=code, error_message=sentence)
    if moderation.final:
        return failed
    ended = concluding.conclude(asset, version, replace(moderation, final=True), deps.bucket)
    return replace(failed, writes=ended.writes, messages=ended.messages)


def _escalating_again(
    asset: Asset, before: Moderation, after: Moderation, message: AnnotationsFinalised, deps: Deps
) -> tuple[Write, ...]:
    """Lets `escalate` run again on a result that came after the operation was given up, and turned the verdict.

    Not for a look that a replay ordered: what is tried on old footage opens no incident.
    """
    late = before.final and before.look == FIRST_LOOK and message.replay is None
    turned = after.verdict.status is Status.FAIL and before.verdict.status is not Status.FAIL
    if not late or not turned or asset.generation is None:
        return ()
    key = ids.work_key(deps.bucket, asset.object_name, asset.generation, Stage.ESCALATE)
    return (work.forgotten(key), assets.stage_update(asset.id, Stage.ESCALATE, StageRecord()))


consumer: Consumer[AnnotationsFinalised, Deps] = Consumer(Stage.ANNOTATE, decode_annotations, prepare, handle)
