"""What a profile makes of each sighting: a finding with its tier and threshold, or nothing (SPEC §5).

- A word that no vocabulary has is no finding. What a witness says of category and tier itself holds.
- Contexts (a beach, a museum) make contextual findings social. Only words that are no finding show a context, so that
  a more confident finding never makes a verdict milder.
- Faces and shots are findings whose confidence is `n / (n + limit + 1)`: 0.5 for the first that is too many, and more
  with each further one, below 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from shared.domain.moderation.deciding import reached, weigh
from shared.domain.moderation.findings import (
    SAFE_SEARCH_PARTS,
    Count,
    Evidence,
    Factor,
    Likelihood,
    Part,
    Sighting,
    Tier,
    strongest,
)
from shared.domain.moderation.profiles import Profile, Word
from shared.domain.moderation.receipts import Finding
from shared.domain.moderation.vocabulary import found

TEXT_PARTS = frozenset({Part.PATTERNS, Part.CATEGORIES, Part.SENTIMENT})
PICTURE_PARTS = frozenset({Part.OBJECTS, Part.LABELS})
COUNT_THRESHOLD = 0.5

CROWD, SHOTS, SENTIMENT = "crowd", "shot changes", "negative sentiment"


@dataclass(frozen=True)
class Bench:
    """What all findings of one piece of media have in common. `ignored_text`: why what was read is not judged."""

    profile: Profile
    shares: Mapping[Factor, float]
    contexts: tuple[str, ...] = ()
    ignored_text: str | None = None


def bench_of(evidence: Evidence, profile: Profile) -> Bench:
    """The weights, the contexts that show, and whether the text is long enough. Text that was not kept is."""
    length, shortest = len(evidence.text.strip()), profile.shortest_text
    ignored = f"The text has {length} characters; it is judged from {shortest} on." if 0 < length < shortest else None
    return Bench(profile, weigh(evidence, profile).shares, _contexts(evidence.sightings, profile), ignored)


def findings_of(evidence: Evidence, bench: Bench) -> tuple[Finding, ...]:
    """All findings, counted or not, the weightiest first; their order does not depend on the evidence's."""
    seen = strongest(evidence.sightings, at_most=len(evidence.sightings))
    found_ = [finding for sighting in seen if (finding := finding_of(sighting, bench)) is not None]
    found_ += [finding for finding in _measured(evidence, bench) if finding.confidence > 0]
    return tuple(sorted(_with_contributions(found_), key=_weightiest))


def finding_of(sighting: Sighting, bench: Bench) -> Finding | None:
    """The finding of one sighting, without its contribution; None where the profile knows nothing of it."""
    meaning = _meaning(sighting, bench.profile)
    if meaning is None:
        return None
    lowered_by = _lowering(meaning, bench)
    tier = Tier.SOCIAL if lowered_by else meaning.tier
    threshold = _threshold(sighting, meaning, tier, bench.profile)
    finding = _finding(sighting.part, sighting.name, meaning.category, tier, sighting.confidence, threshold, bench)
    return replace(finding, witness=sighting.witness, place=sighting.place, lowered_by=lowered_by)


def amount(number: int, limit: int) -> float:
    """The confidence that there are too many, where more than `limit` are."""
    return number / (number + limit + 1)


def number_of(confidence: float, limit: int) -> int:
    """The number that `amount` made the confidence of."""
    return round(confidence * (limit + 1) / (1 - confidence))


def _finding(
    part: Part, name: str, category: str, tier: Tier, confidence: float, threshold: float, bench: Bench
) -> Finding:
    sure = min(max(confidence, 0.0), 1.0) if not math.isnan(confidence) else 0.0
    ignored = bench.ignored_text if part in TEXT_PARTS else None
    return Finding(
        factor=part.factor,
        part=part,
        category=category,
        name=name,
        tier=tier,
        confidence=sure,
        threshold=threshold,
        counted=ignored is None and reached(sure, threshold),
        weight=bench.shares[part.factor],
        contribution=0.0,
        witness="",
        ignored_because=ignored,
    )


def _meaning(sighting: Sighting, profile: Profile) -> Word | None:
    if sighting.category is not None and sighting.tier is not None:
        return Word(sighting.category, sighting.tier)
    if sighting.part in SAFE_SEARCH_PARTS:
        category = SAFE_SEARCH_PARTS[sighting.part]
        return Word(category, profile.safe_search_tiers[category])
    vocabularies: Mapping[Part, tuple[Mapping[str, Word], ...]] = {
        Part.OBJECTS: (profile.object_words,),
        # Labels name things as well as scenes, and are all that Video Intelligence gives.
        Part.LABELS: (profile.scene_words, profile.object_words),
        Part.CATEGORIES: (profile.text_words,),
    }
    words = (found(vocabulary, sighting.name) for vocabulary in vocabularies.get(sighting.part, ()))
    return next((word for word in words if word is not None), None)


def _threshold(sighting: Sighting, meaning: Word, tier: Tier, profile: Profile) -> float:
    if sighting.part in SAFE_SEARCH_PARTS:
        # Only our own detector brings a tier; its confidences are calibrated probabilities, not likelihoods.
        likelihood = profile.safe_search[SAFE_SEARCH_PARTS[sighting.part]]
        return profile.detector if sighting.tier is not None else likelihood.confidence or 1.0
    tables = {Part.OBJECTS: profile.objects, Part.LABELS: profile.scenes}
    usual = tables[sighting.part][tier] if sighting.part in tables else profile.text
    own = profile.categories.get(meaning.category)
    if own is None or meaning.tier is not Tier.CONTEXTUAL:
        return usual
    return own if tier is Tier.CONTEXTUAL else max(own, usual)


def _lowering(meaning: Word, bench: Bench) -> str | None:
    if meaning.tier is not Tier.CONTEXTUAL:
        return None
    contexts = bench.profile.contexts
    return next((name for name in bench.contexts if meaning.category in contexts[name].lowers), None)


def _contexts(sightings: Iterable[Sighting], profile: Profile) -> tuple[str, ...]:
    """The contexts of which a label is seen, by name."""
    labels: dict[str, set[str]] = {}
    for name, context in profile.contexts.items():
        for label in context.labels:
            labels.setdefault(label, set()).add(name)
    shown: set[str] = set()
    for sighting in sightings:
        if sighting.part in PICTURE_PARTS and reached(sighting.confidence, profile.context_confidence):
            names = found(labels, sighting.name)
            if names and _meaning(sighting, profile) is None:
                shown |= names
    return tuple(sorted(shown))


def _measured(evidence: Evidence, bench: Bench) -> list[Finding]:
    """Crowd, shots and sentiment: social, and not words but numbers."""
    profile = bench.profile
    findings = [
        _counted(evidence.faces, Part.CROWD, CROWD, profile.crowd, bench),
        _counted(evidence.shots, Part.SHOTS, SHOTS, profile.shots, bench),
    ]
    mood = evidence.sentiment
    if mood is not None:
        bad = _finding(Part.SENTIMENT, SENTIMENT, "sentiment", Tier.SOCIAL, -mood.score, -profile.sentiment, bench)
        findings.append(replace(bad, witness=mood.witness))
    return [finding for finding in findings if finding is not None]


def _counted(count: Count | None, part: Part, name: str, limit: int, bench: Bench) -> Finding | None:
    if count is None:
        return None
    sure = amount(min(max(count.number, 0), _MOST_NUMBER), limit)
    finding = _finding(part, name, part.value.split(".")[1], Tier.SOCIAL, sure, COUNT_THRESHOLD, bench)
    return replace(finding, witness=count.witness, place=count.place)


def _with_contributions(findings: Iterable[Finding]) -> list[Finding]:
    """The strongest counted finding of each factor makes up the factor's part of the score."""
    scored: set[Factor] = set()
    settled = []
    for finding in sorted(findings, key=_strongest_first):
        makes_score = finding.counted and finding.factor not in scored
        if makes_score:
            scored.add(finding.factor)
        settled.append(replace(finding, contribution=finding.weight * finding.confidence if makes_score else 0.0))
    return settled


_TIERS = list(Tier)


def _strongest_first(finding: Finding) -> tuple[float, int, str, str, str]:
    return (-finding.confidence, _TIERS.index(finding.tier), finding.part, finding.name, finding.witness)


def _weightiest(finding: Finding) -> tuple[bool, bool, int, tuple[float, int, str, str, str]]:
    """Counted ones first, of them those that make up the score, then clear before contextual before social."""
    rank = _TIERS.index(finding.tier)
    return (not finding.counted, finding.contribution == 0, rank, _strongest_first(finding))


_LIKELIHOODS = (0.0, *(word.confidence for word in Likelihood if word.confidence is not None))
_HUNDREDTHS = tuple(step / 100 for step in range(101))
_MOST_COUNTED = 1_000
_MOST_NUMBER = 1_000_000


def levels(finding: Finding, profile: Profile) -> tuple[float, ...]:
    """The confidences that this finding could have, ascending, in the steps in which its witness speaks.

    Likelihoods have five (and 0: UNKNOWN), faces and shots one for each number, all else is told in hundredths.
    """
    limits = {Part.CROWD: profile.crowd, Part.SHOTS: profile.shots}
    if finding.part in limits:
        return tuple(amount(number, limits[finding.part]) for number in range(_MOST_COUNTED + 1))
    by_word = {finding.confidence, finding.threshold} <= set(_LIKELIHOODS)
    return _LIKELIHOODS if finding.part in SAFE_SEARCH_PARTS and by_word else _HUNDREDTHS
