"""When the analysis of an earlier upload stands in for a new one's, and how earlier uploads are found at all.

    the same bytes                        → found by SHA-256; the detection is taken over without looking
    the same recording, encoded anew      → found by the 64-bit hash (bands), proved by what moves (`likeness`)

A false "seen before" that took over a calm analysis would hide violence. Hence the second kind is always looked at, and
takes over only a detection that is no milder than its own: what a copy shows is never hidden by what it resembles.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise

from shared.domain.assets import Asset, Detection, SeenBefore
from shared.domain.detections import HIGH_RISK_ABOVE, MEDIUM_RISK_ABOVE, confidence
from shared.domain.incidents import PROFILES, SignalKind
from shared.domain.stages import Stage, StageRecord, StageState, whole_ledger
from shared.ports import MediaFacts

HASH_BITS = 64
_FLAT = 0


class ReuseMode(StrEnum):
    """What may stand in for an analysis: nothing, the same bytes, or the same recording in another encoding, too."""

    NEVER = "never"
    EXACT = "exact"
    SIMILAR = "similar"


@dataclass(frozen=True)
class ReusePolicy:
    """`most_bits`: differing bits up to which hashes are near. `duration_tolerance` in seconds.

    `max_age`: older uploads count as never seen. `most_compared`: fingerprints that one upload is compared with.
    """

    mode: ReuseMode = ReuseMode.SIMILAR
    most_bits: int = 6
    duration_tolerance: float = 0.5
    max_age: timedelta = timedelta(days=30)
    most_compared: int = 5


@dataclass(frozen=True)
class Known:
    """An upload whose detection is done: what finds it again. `duration` in seconds; `created_at` is the upload's."""

    asset_id: str
    sha256: str
    perceptual_hash: str
    duration: float
    model: str
    sensitivity: float
    created_at: datetime


class Match(StrEnum):
    """What an earlier upload is to a new one, as far as hashes tell."""

    EXACT = "exact"
    NEAR = "near"
    ITSELF = "itself"
    TOO_OLD = "too_old"
    FLAT = "flat"
    OTHER_LENGTH = "other_length"
    TOO_DISTANT = "too_distant"


def match(known: Known, asset_id: str, facts: MediaFacts, policy: ReusePolicy, now: datetime) -> Match:
    """What `known` is to the upload `asset_id` with `facts`. NEAR is a candidate, not yet the same recording."""
    if known.asset_id == asset_id:
        return Match.ITSELF
    if now - known.created_at > policy.max_age:
        return Match.TOO_OLD
    if known.sha256 == facts.sha256:
        return Match.EXACT
    if _FLAT in (int(known.perceptual_hash, 16), int(facts.perceptual_hash, 16)):
        return Match.FLAT  # every dark or empty picture has this hash
    if abs(known.duration - facts.duration) > policy.duration_tolerance:
        return Match.OTHER_LENGTH
    near = hash_distance(known.perceptual_hash, facts.perceptual_hash) <= policy.most_bits
    return Match.NEAR if near else Match.TOO_DISTANT


def ranked(candidates: Iterable[Known], facts: MediaFacts) -> list[Known]:
    """The closest first, of equally close ones the oldest: whoever asks gets the same answer."""
    return sorted(
        candidates,
        key=lambda known: (
            known.sha256 != facts.sha256,
            hash_distance(known.perceptual_hash, facts.perceptual_hash),
            known.created_at,
            known.asset_id,
        ),
    )


def seen_as(known: Known, facts: MediaFacts) -> SeenBefore:
    """How the asset of `facts` remembers it."""
    distance = hash_distance(known.perceptual_hash, facts.perceptual_hash)
    return SeenBefore(known.asset_id, exact=known.sha256 == facts.sha256, distance=distance)


def hash_distance(one: str, other: str) -> int:
    """How many of the 64 bits of two perceptual hashes (hex) differ."""
    return (int(one, 16) ^ int(other, 16)).bit_count()


def wanted_bands(perceptual_hash: str, duration: float, policy: ReusePolicy) -> tuple[str, ...]:
    """What to look for: hashes within `most_bits` share one of `most_bits + 1` bands, by the pigeonhole principle.

    A band's name tells the bits, and the duration's bucket. None for a flat picture.
    """
    return _bands(perceptual_hash, [_bucket(duration, policy)], policy)


def kept_bands(perceptual_hash: str, duration: float, policy: ReusePolicy) -> tuple[str, ...]:
    """What to be found by: `wanted_bands` of all durations within the tolerance, which lie in one bucket or two."""
    ends = (duration - policy.duration_tolerance, duration + policy.duration_tolerance)
    return _bands(perceptual_hash, sorted({_bucket(end, policy) for end in ends}), policy)


def _bucket(duration: float, policy: ReusePolicy) -> int:
    """Twice the tolerance wide, and a little, so that no duration within the tolerance lies beyond the next one."""
    return int(max(duration, 0.0) // (2 * policy.duration_tolerance + 1e-3))


def _bands(perceptual_hash: str, buckets: Sequence[int], policy: ReusePolicy) -> tuple[str, ...]:
    value, count = int(perceptual_hash, 16), policy.most_bits + 1
    if value == _FLAT:
        return ()
    edges = [HASH_BITS * number // count for number in range(count + 1)]
    parts = [value >> start & (1 << end - start) - 1 for start, end in pairwise(edges)]
    return tuple(f"{bucket}/{number}/{part:x}" for bucket in buckets for number, part in enumerate(parts))


def usable_detection(earlier: Asset, known: Known, model: str, sensitivity: float) -> Detection | None:
    """What may be taken over of an earlier asset: a detection that is done, of the same file, model and sensitivity.

    And of every frame: one that left out some (`step`) saw less than is asked of it now.
    """
    found = earlier.detection
    done = whole_ledger(earlier.stages)[Stage.DETECT].state is StageState.DONE
    same_file = earlier.facts is not None and earlier.facts.sha256 == known.sha256
    if (
        found is None
        or not done
        or earlier.erased_at is not None
        or not same_file
        or ((found.model, found.sensitivity, found.step) != (model, sensitivity, 1))
    ):
        return None
    return found


_STEPS = tuple(
    sorted({MEDIUM_RISK_ABOVE, HIGH_RISK_ABOVE, PROFILES[SignalKind.VIOLENCE].threshold}),
)


def is_milder(earlier: Detection, own: Detection) -> bool:
    """Whether `earlier` in the place of `own` would lower a risk, spare an incident or hide a segment."""
    if _gravity(earlier) < _gravity(own):
        return True
    return any(
        all(theirs.end <= mine.start or mine.end <= theirs.start for theirs in earlier.segments)
        for mine in own.segments
    )


def _gravity(found: Detection) -> int:
    """How many of the limits that something depends on are reached."""
    highest = confidence(found.segments)
    return bool(found.segments) + sum(highest >= step for step in _STEPS) + sum(highest > step for step in _STEPS)


def may_share_context(asset: Asset, earlier: Asset, mode: ReuseMode) -> bool:
    """Whether what was said of `earlier` is true of `asset`: the same bytes, or a recording whose detection it took."""
    seen = asset.seen_before
    if seen is None or seen.asset_id != earlier.id or asset.facts is None or earlier.facts is None:
        return False
    if earlier.erased_at is not None:
        return False
    if seen.exact:
        return mode is not ReuseMode.NEVER and asset.facts.sha256 == earlier.facts.sha256
    taken = asset.stages.get(Stage.DETECT, StageRecord()).reused_from == earlier.id
    return mode is ReuseMode.SIMILAR and taken


def reused_stages(asset: Asset) -> tuple[Stage, ...]:
    """The stages whose result is an earlier asset's."""
    return tuple(stage for stage, record in whole_ledger(asset.stages).items() if record.reused_from is not None)


def note_of(asset: Asset) -> str | None:
    """What is to be said of an asset that was seen before; None for one that was not."""
    seen = asset.seen_before
    if seen is None:
        return None
    what = "is the same file" if seen.exact else "shows the same recording in another encoding"
    reused = reused_stages(asset)
    effect = f"Reused from it: {', '.join(reused)}." if reused else "Nothing was reused from it."
    return f"Seen before: asset {seen.asset_id} {what}. {effect}"
