"""The stage that judges an upload: the witnesses look at its pictures, a profile decides (SPEC §5).

A video's frames come first. Only where they leave doubt (or the profile always wants it) is Video Intelligence asked to
look at all of it; then the verdict is provisional, and `annotate` goes on when the result is there. Nobody waits.

    look ── kept ──▶ judge ── sure ─────────────────────────▶ final verdict, `annotate` skipped, both in one commit
                       └──── in doubt ──▶ start ── kept ────▶ provisional verdict, `annotate` running

What was seen and what was started is kept before the verdict is, so that whoever decides again (a redelivery, a lost
race, a strictness that changed meanwhile) pays for neither twice. A worker killed between the start and its note starts
a second operation, which writes the same result object.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from shared.delivery import Attempt, Consumer, Outcome, Work, work_for
from shared.domain.assets import Asset
from shared.domain.moderation.findings import Evidence, Gap, MediaKind, Part, combined
from shared.domain.moderation.in_force import InForce
from shared.domain.moderation.moderated import (
    FIRST_LOOK,
    SKIP_SENTENCES,
    AnnotateSkip,
    Look,
    Moderation,
    Operation,
    annotation_name,
    moderation_of,
)
from shared.domain.moderation.prices_of_looks import video_cost
from shared.domain.moderation.profiles import Profile
from shared.domain.moderation.receipts import Verdict
from shared.domain.moderation.reusing import is_reusable
from shared.domain.moderation.verdicts import in_doubt, judge
from shared.domain.prices import table_date
from shared.domain.reuse import ReuseMode
from shared.domain.stages import Stage, StageRecord, StageState
from shared.errors import AnalyserFailed, BudgetExhausted, NotReady, Retryable
from shared.handlers import concluding, witnesses
from shared.handlers.asking import FullLook
from shared.handlers.concluding import detector_of
from shared.handlers.looking import Pictures, frames_of
from shared.messages import MediaDetected, decode
from shared.ports import Clock, Documents, Write
from shared.repositories import assets, evidence

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Deps:
    """What moderating needs of the world. `full` None: Video Intelligence is not configured."""

    documents: Documents
    clock: Clock
    pictures: Pictures
    witnesses: witnesses.Deps
    profiles: InForce
    full: FullLook | None = None
    reuse: ReuseMode = ReuseMode.SIMILAR


@dataclass(frozen=True)
class _Skip:
    """Why `annotate` has nothing to do. With a `gap` it would have had, and the receipt says so."""

    code: str
    sentence: str
    gap: bool = False


def prepare(message: MediaDetected, _: Deps) -> Work | None:
    """The piece of work of this object's generation."""
    return work_for(message, Stage.MODERATE)


def handle(message: MediaDetected, deps: Deps, attempt: Attempt) -> Outcome:
    """Looks, judges, and asks for a closer look where it must.

    Raises `Retryable` while asking a witness again is worth it, `MediaUnusable` when no picture can be decoded,
    `NotFound` when the object is gone, and `NotReady` without facts.
    """
    asset, version = assets.get_with_version(deps.documents, attempt.asset_id)
    if asset.facts is None:
        raise NotReady("no_facts", "The upload was never identified.")
    profile = _profile_for(asset, deps.profiles)
    earlier = None if message.replay else _judged_before(asset, profile, deps)
    if earlier is not None:
        return _taken_over(asset, version, earlier, message.bucket, deps)
    look = _look(asset, profile, FIRST_LOOK if message.replay is None else message.replay.id, deps, attempt)
    verdict = judge(look.evidence, profile)
    further = _look_further(asset, look, in_doubt(verdict, profile), deps, attempt)
    if isinstance(further, Look):
        return _provisional(asset, version, further, verdict, profile, message.bucket, deps)
    if further.gap:
        gaps = (*look.evidence.gaps, Gap(Part.ADULT, further.code, further.sentence))
        look = replace(look, evidence=replace(look.evidence, gaps=gaps))
        verdict = judge(look.evidence, profile)
    return _final(asset, version, look, verdict, further, profile, message.bucket, deps)


def _profile_for(asset: Asset, profiles: InForce) -> Profile:
    profile = profiles.of(strict=asset.strict_mode)
    return replace(profile, video=replace(profile.video, always_full=True)) if asset.full_look else profile


# --------------------------------------------------------------------------- the same bytes


def _judged_before(asset: Asset, profile: Profile, deps: Deps) -> Moderation | None:
    """The verdict of an earlier upload of the same bytes, if it is one that would be given again."""
    seen = asset.seen_before
    if deps.reuse is ReuseMode.NEVER or seen is None or not seen.exact or asset.full_look:
        return None
    earlier = assets.find(deps.documents, seen.asset_id)
    return earlier.moderation if earlier is not None and is_reusable(earlier, asset, profile) else None


def _taken_over(asset: Asset, version: str, earlier: Moderation, bucket: str, deps: Deps) -> Outcome:
    assert asset.seen_before is not None  # noqa: S101 - that is where it was found
    moderation = replace(
        earlier,
        decided_at=deps.clock.now(),
        look=FIRST_LOOK,
        strict=asset.strict_mode,
        full_look=asset.full_look,
        operation=None,
        reused_from=asset.seen_before.asset_id,
    )
    ended = concluding.conclude(asset, version, moderation, bucket)
    skipped = _Skip(AnnotateSkip.REUSED, SKIP_SENTENCES[AnnotateSkip.REUSED])
    return Outcome(
        writes=(*ended.writes, *_annotate_skipped(asset, skipped, deps.clock.now())),
        messages=ended.messages,
        version=concluding.named(earlier.verdict),
        reused_from=moderation.reused_from,
    )


# --------------------------------------------------------------------------- the look of the witnesses


def _look(asset: Asset, profile: Profile, name: str, deps: Deps, attempt: Attempt) -> Look:
    """What the witnesses saw: kept from before, or asked for now. Raises `Retryable` if some shall be asked again."""
    held = evidence.find(deps.documents, asset.id, name)
    if held is not None and held.generation != asset.generation:
        held = None
    # The whole video looks the same to every profile, so what was started for another one serves this one, too.
    operation = None if held is None else held.operation
    if held is not None and held.profile_version != profile.version:
        held = None
    if held is not None and (held.attempts >= attempt.number or not _worth_asking_again(held)):
        return held
    if held is not None and _only_texts_are_missing(held):
        seen = witnesses.read_again(held.evidence, deps.witnesses, attempt.charge, asset.id)
    else:
        seen = _ask(asset, profile, deps, attempt)
    look = Look(
        asset_id=asset.id,
        name=name,
        generation=asset.generation or 0,
        profile_version=profile.version,
        evidence=seen if held is None else combined(held.evidence, seen),
        attempts=attempt.number,
        operation=operation,
    )
    evidence.save(deps.documents, look)
    if _worth_asking_again(look) and not attempt.is_last:
        raise Retryable("a witness did not answer")
    return look


def _worth_asking_again(look: Look) -> bool:
    return bool(_asked_again(look))


def _asked_again(look: Look) -> set[Part]:
    return {gap.part for gap in look.evidence.gaps if gap.tries > look.attempts}


def _only_texts_are_missing(look: Look) -> bool:
    """Whether the pictures were looked at, and read: nobody pays for that again because the text analyser is away."""
    return _asked_again(look) <= {Part.CATEGORIES, Part.SENTIMENT}


def _ask(asset: Asset, profile: Profile, deps: Deps, attempt: Attempt) -> Evidence:
    seen = frames_of(asset, profile, deps.pictures)
    attempt.report(0.3)
    return witnesses.look(
        seen.frames,
        asset.kind,
        witnesses.features_for(asset.kind, profile, deps.witnesses),
        profile,
        deps.witnesses,
        attempt.charge,
        asset.id,
        detection=asset.detection,
        shots=seen.shots,
        missing=seen.missing,
    )


# --------------------------------------------------------------------------- Video Intelligence


def _look_further(asset: Asset, look: Look, doubt: bool, deps: Deps, attempt: Attempt) -> Look | _Skip:
    """The look with the operation that was started for it, or why none was."""
    if look.operation is not None:
        return look
    if asset.kind is MediaKind.IMAGE:
        return _Skip(AnnotateSkip.STILL_IMAGE, SKIP_SENTENCES[AnnotateSkip.STILL_IMAGE])
    if not doubt:
        return _Skip(AnnotateSkip.NOT_IN_DOUBT, SKIP_SENTENCES[AnnotateSkip.NOT_IN_DOUBT])
    if deps.full is None:
        return _Skip(AnnotateSkip.NOT_CONFIGURED, SKIP_SENTENCES[AnnotateSkip.NOT_CONFIGURED], gap=True)
    try:
        started = replace(look, operation=_start(asset, look, deps.full))
    except AnalyserFailed as error:
        if attempt.number < error.tries and not attempt.is_last:
            raise Retryable(f"moderate: {error}") from error
        log.warning("no look at the whole video: %s", error)
        return _Skip(error.code, error.sentence, gap=True)
    evidence.save(deps.documents, started)
    return started


def _start(asset: Asset, look: Look, full: FullLook) -> Operation:
    """Starts the operation. Raises `AnalyserFailed`, `BudgetExhausted` among them."""
    now = full.money.now()
    usd = video_cost(asset.facts.duration if asset.facts else 0.0, now)
    held = full.money.reserve(usd, asset.id)
    if held is None:
        raise BudgetExhausted(full.money.analyser, full.money.budget_usd or 0.0)
    output = annotation_name(asset.id, look.name)
    try:
        name = full.annotator.start(asset.object_name, output)
    except AnalyserFailed:
        full.money.settle(held, 0.0)
        raise
    return Operation(name, output, now, full.annotator.name, usd)


# --------------------------------------------------------------------------- what becomes of it


def _provisional(
    asset: Asset, version: str, look: Look, verdict: Verdict, profile: Profile, bucket: str, deps: Deps
) -> Outcome:
    assert look.operation is not None  # noqa: S101 - it was started for this
    moderation = replace(
        moderation_of(verdict, profile, deps.clock.now(), detector_of(asset)),
        look=look.name,
        final=False,
        strict=asset.strict_mode,
        full_look=asset.full_look,
        operation=look.operation,
    )
    ended = concluding.conclude(asset, version, moderation, bucket)
    running = _annotate_running(asset, look.operation)
    return Outcome(writes=(*ended.writes, running), version=concluding.named(verdict))


def _final(
    asset: Asset, version: str, look: Look, verdict: Verdict, skip: _Skip, profile: Profile, bucket: str, deps: Deps
) -> Outcome:
    now = deps.clock.now()
    moderation = replace(
        moderation_of(verdict, profile, now, detector_of(asset)),
        look=look.name,
        strict=asset.strict_mode,
        full_look=asset.full_look,
    )
    ended = concluding.conclude(asset, version, moderation, bucket)
    compared = concluding.comparison(asset, verdict, look.evidence, deps.profiles, now)
    return Outcome(
        writes=(*ended.writes, *_annotate_skipped(asset, skip, now), *compared),
        messages=ended.messages,
        version=concluding.named(verdict),
    )


def _annotate_skipped(asset: Asset, skip: _Skip, now: datetime) -> tuple[Write, ...]:
    """The write that says so, unless that was said before."""
    before = assets.stage_record(asset, Stage.ANNOTATE)
    if (before.state, before.error_code) == (StageState.SKIPPED, skip.code):
        return ()
    record = StageRecord(
        StageState.SKIPPED,
        started=now,
        ended=now,
        error_code=skip.code,
        error_message=skip.sentence,
        cost_usd=before.cost_usd,
        price_date=before.price_date,
    )
    return (assets.stage_update(asset.id, Stage.ANNOTATE, record),)


def _annotate_running(asset: Asset, operation: Operation) -> Write:
    """The stage runs from now on, at the service: what that costs is on its account already."""
    record = StageRecord(
        StageState.RUNNING,
        started=operation.requested_at,
        version=operation.witness,
        cost_usd=assets.stage_record(asset, Stage.ANNOTATE).cost_usd + operation.usd,
        price_date=table_date(operation.requested_at).isoformat(),
    )
    return assets.stage_update(asset.id, Stage.ANNOTATE, record)


consumer: Consumer[MediaDetected, Deps] = Consumer(Stage.MODERATE, partial(decode, MediaDetected), prepare, handle)
