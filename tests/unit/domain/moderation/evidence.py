"""Evidence to judge: by hand, and drawn by hypothesis."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from hypothesis import strategies as st

from shared.domain.moderation.findings import (
    PARTS,
    SAFE_SEARCH_PARTS,
    Count,
    Evidence,
    Likelihood,
    MediaKind,
    Part,
    Place,
    Sentiment,
    Sighting,
    Tier,
)
from shared.domain.moderation.judging import number_of
from shared.domain.moderation.profiles import Profile
from shared.domain.moderation.receipts import Change
from shared.policies import load_profile

BALANCED = load_profile("balanced")
STRICT = load_profile("strict")
BOTH = (BALANCED, STRICT)

DETECTOR = "violence-motion-1"
LONG_TEXT = "a text of some length"


def evidence(*sightings: Sighting, kind: MediaKind = MediaKind.VIDEO, **more: object) -> Evidence:
    """Of something that was looked at wholly."""
    return replace(Evidence(kind, sightings, coverage=dict.fromkeys(PARTS[kind], 1.0)), **more)  # type: ignore[arg-type]


def object_seen(name: str, confidence: float) -> Sighting:
    return Sighting(Part.OBJECTS, name, confidence, "vision")


def label(name: str, confidence: float) -> Sighting:
    return Sighting(Part.LABELS, name, confidence, "vision")


def safe_search(part: Part, word: Likelihood) -> Sighting:
    return Sighting(part, SAFE_SEARCH_PARTS[part], word.confidence or 0.0, "vision")


def detected(confidence: float) -> Sighting:
    return Sighting(Part.VIOLENCE, "violence", confidence, DETECTOR, "violence", Tier.CLEAR, Place(2.0, 4.0))


def text_category(name: str, confidence: float) -> Sighting:
    return Sighting(Part.CATEGORIES, name, confidence, "language")


def pattern(category: str, tier: Tier, confidence: float) -> Sighting:
    return Sighting(Part.PATTERNS, f"en.{category}.some", confidence, "patterns", category, tier)


def applied(changes: Iterable[Change], before: Evidence, profile: Profile) -> Evidence:
    """The evidence as the changes would have it."""
    after = before
    for change in changes:
        after = _with_change(after, change, profile)
    return after


def _with_change(before: Evidence, change: Change, profile: Profile) -> Evidence:
    match change.part:
        case Part.CROWD:
            assert before.faces is not None
            return replace(before, faces=replace(before.faces, number=number_of(change.would_be, profile.crowd)))
        case Part.SHOTS:
            assert before.shots is not None
            return replace(before, shots=replace(before.shots, number=number_of(change.would_be, profile.shots)))
        case Part.SENTIMENT:
            assert before.sentiment is not None
            return replace(before, sentiment=replace(before.sentiment, score=-change.would_be))
    if not change.witness:
        return replace(before, sightings=(*before.sightings, _unseen(change)))
    key = (change.part, change.name, change.witness)
    # A witness may have said the same more than once; what it said most surely is the finding.
    sightings = [
        replace(each, confidence=_changed(each.confidence, change))
        if (each.part, each.name, each.witness) == key
        else each
        for each in before.sightings
    ]
    return replace(before, sightings=tuple(sightings))


def _changed(confidence: float, change: Change) -> float:
    return change.would_be if change.would_be > change.confidence else min(confidence, change.would_be)


def _unseen(change: Change) -> Sighting:
    if change.part is Part.PATTERNS:
        return Sighting(change.part, change.name, change.would_be, "another", "threat", Tier.CLEAR)
    return Sighting(change.part, change.name, change.would_be, "another")


HUNDREDTHS = st.integers(0, 100).map(lambda each: each / 100)
CONFIDENCES = st.one_of(HUNDREDTHS, st.floats(0, 1))
WORDS = st.sampled_from([word for word in Likelihood if word is not Likelihood.UNKNOWN])

CONTEXTUAL_OBJECTS = ["Beer bottle", "bikini", "Kitchen knife", "Underwear", "Wounds", "Cigarettes"]
CONTEXTUAL_SCENES = ["Bar", "nightclub", "Protest", "Beer"]
SOCIAL_WORDS = ["Party", "Concert", "Boxing", "Fashion", "Festival"]

BY_WORD = st.builds(safe_search, st.sampled_from([Part.ADULT, Part.VIOLENCE, Part.RACY, Part.RACY]), WORDS)


def mild(confidences: st.SearchStrategy[float]) -> st.SearchStrategy[Sighting]:
    """Contextual and social findings, and what shows a context."""
    return st.one_of(
        st.builds(object_seen, st.sampled_from([*CONTEXTUAL_OBJECTS, "Costume", "Chair", "Kitchen"]), confidences),
        st.builds(label, st.sampled_from([*CONTEXTUAL_SCENES, *SOCIAL_WORDS, "Beach", "Museum"]), confidences),
        st.builds(text_category, st.sampled_from(["Toxic", "Insult", "Politics", "War & Conflict"]), confidences),
        st.builds(pattern, st.sampled_from(["cannabis", "hate"]), st.just(Tier.CONTEXTUAL), confidences),
    )


MILD = mild(CONFIDENCES)
CLEAR = st.one_of(
    st.builds(object_seen, st.just("Handgun"), CONFIDENCES),
    st.builds(label, st.just("Blood"), CONFIDENCES),
    st.builds(detected, CONFIDENCES),
)
SIGHTINGS = st.one_of(MILD, MILD, BY_WORD, CLEAR)

COVERAGE = st.fixed_dictionaries({part: st.sampled_from([0.0, 0.5, 1.0, 1.0]) for part in Part})
MOODS = st.none() | st.builds(Sentiment, st.integers(-100, 100).map(lambda each: each / 100), st.just("language"))


def evidences(sightings: st.SearchStrategy[Sighting] = SIGHTINGS, most: int = 8) -> st.SearchStrategy[Evidence]:
    """Whatever may have been seen, of whatever was looked at."""
    counts = st.none() | st.builds(Count, st.integers(0, 120), st.just("counter"))
    return st.builds(
        Evidence,
        kind=st.sampled_from(MediaKind),
        sightings=st.lists(sightings, max_size=most).map(tuple),
        faces=counts,
        shots=counts,
        sentiment=MOODS,
        coverage=COVERAGE | st.just(dict.fromkeys(Part, 1.0)),
        text=st.sampled_from(["", "kill", LONG_TEXT]),
    )
