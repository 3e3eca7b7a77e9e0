"""What the stages have in common when an upload was seen before: find the earlier one, and take over what it has.

Whatever is needed for that and gone (the asset, its timeline) means an analysis as usual, never an error. Uploads that
arrive together find nothing of each other: only what is done can be reused.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from shared.domain import likeness, reuse
from shared.domain.assets import Asset, Detection, SeenBefore
from shared.domain.likeness import Verdict
from shared.domain.reuse import Known, Match, ReuseMode, ReusePolicy
from shared.errors import NotFound
from shared.ports import Blobs, Clock, Documents, MediaFacts, Write
from shared.repositories import assets, fingerprints, timelines

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Deps:
    """What it takes to find an earlier upload."""

    documents: Documents
    media: Blobs
    clock: Clock
    policy: ReusePolicy


@dataclass(frozen=True)
class Earlier:
    """An earlier upload that shows the same. `detection`: what was taken over of it, None if nothing was."""

    seen: SeenBefore
    detection: Detection | None


def seen_bytes(asset_id: str, facts: MediaFacts, deps: Deps) -> SeenBefore | None:
    """An upload of the same bytes that is still there, whatever was found in it and by which model.

    The oldest of the newest `MOST_EXACT` that are registered, no more are read. A copy that takes the detection over is
    not registered, so there are more only after many models, or of uploads that arrived together.
    """
    if deps.policy.mode is ReuseMode.NEVER:
        return None
    known = fingerprints.same_bytes(deps.documents, facts.sha256)
    found = next((known for known, _ in _present(Match.EXACT, known, asset_id, facts, deps)), None)
    return None if found is None else reuse.seen_as(found, facts)


def take_over_same_bytes(asset: Asset, facts: MediaFacts, model: str, sensitivity: float, deps: Deps) -> Earlier | None:
    """Takes over the detection of the same bytes, with timeline and sheet; None where there is none to take."""
    if deps.policy.mode is ReuseMode.NEVER:
        return None
    known = fingerprints.same_bytes(deps.documents, facts.sha256)
    for candidate, earlier in _present(Match.EXACT, known, asset.id, facts, deps):
        detection = reuse.usable_detection(earlier, candidate, model, sensitivity)
        if detection is not None and _take_over(candidate.asset_id, detection, asset.id, deps.media):
            return Earlier(reuse.seen_as(candidate, facts), replace(detection, look=""))
    return None


def take_over_similar(
    asset: Asset, facts: MediaFacts, own: Detection, fingerprint: bytes, deps: Deps
) -> Earlier | None:
    """The earlier recording that looks and moves the same all the time; its detection is taken over unless milder."""
    if deps.policy.mode is ReuseMode.NEVER or not is_telling(fingerprint):
        return None
    bands = reuse.wanted_bands(facts.perceptual_hash, facts.duration, deps.policy)
    known = [found for found in fingerprints.in_bands(deps.documents, bands) if found.model == own.model]
    near = _present(Match.NEAR, known, asset.id, facts, deps)
    for candidate, earlier in islice(near, deps.policy.most_compared):
        detection = reuse.usable_detection(earlier, candidate, own.model, own.sensitivity)
        if detection is None or not _is_same_recording(candidate, fingerprint, deps.media):
            continue
        allowed = deps.policy.mode is ReuseMode.SIMILAR and not reuse.is_milder(detection, own)
        taken = allowed and _take_over(candidate.asset_id, detection, asset.id, deps.media)
        return Earlier(reuse.seen_as(candidate, facts), replace(detection, look="") if taken else None)
    return None


def registration(asset: Asset, facts: MediaFacts, own: Detection, fingerprint: bytes | None, deps: Deps) -> Write:
    """The write by which later uploads find this one; stores the `fingerprint` that proves that they are similar.

    None for one that took over another's: only its own bytes lead to it, all else leads to the one that was looked at.
    One that is not telling is stored for the scenes in it (`shared/handlers/scenes.py`).
    """
    bands: tuple[str, ...] = ()
    if fingerprint:
        timelines.store_fingerprint(deps.media, asset.id, own.model, fingerprint)
    if fingerprint and is_telling(fingerprint):
        bands = reuse.kept_bands(facts.perceptual_hash, facts.duration, deps.policy)
    known = Known(
        asset_id=asset.id,
        sha256=facts.sha256,
        perceptual_hash=facts.perceptual_hash,
        duration=facts.duration,
        model=own.model,
        sensitivity=own.sensitivity,
        created_at=asset.created_at,
    )
    return fingerprints.registration(known, bands)


def registration_of_still(asset: Asset, facts: MediaFacts) -> Write:
    """The write by which later uploads of the same picture find this one."""
    known = Known(
        asset_id=asset.id,
        sha256=facts.sha256,
        perceptual_hash=facts.perceptual_hash,
        duration=facts.duration,
        model="",
        sensitivity=0.0,
        created_at=asset.created_at,
    )
    return fingerprints.registration(known, ())


def is_telling(fingerprint: bytes) -> bool:
    """Whether it could ever be told apart from another: a still scene's could not."""
    return likeness.judge(fingerprint, fingerprint) is Verdict.SAME


def _present(
    wanted: Match, known: list[Known], asset_id: str, facts: MediaFacts, deps: Deps
) -> Iterator[tuple[Known, Asset]]:
    """Those that are what is wanted and whose assets still exist, the best first; each is read when asked for."""
    now = deps.clock.now()
    found = [each for each in known if reuse.match(each, asset_id, facts, deps.policy, now) is wanted]
    for candidate in reuse.ranked(found, facts):
        earlier = assets.find(deps.documents, candidate.asset_id)
        if earlier is not None:
            yield candidate, earlier


def _is_same_recording(earlier: Known, fingerprint: bytes, media: Blobs) -> bool:
    try:
        theirs = timelines.load_fingerprint(media, earlier.asset_id, earlier.model)
        return likeness.judge(theirs, fingerprint) is Verdict.SAME
    except NotFound:
        return False


def _take_over(earlier_id: str, detection: Detection, asset_id: str, media: Blobs) -> bool:
    try:
        timelines.take_over(media, earlier_id, detection.look, asset_id)
    except NotFound:
        log.info("the timeline of %s is gone, so nothing of it is reused", earlier_id)
        return False
    return True
