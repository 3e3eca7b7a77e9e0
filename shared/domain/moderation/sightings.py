"""What annotators and our own detector answered, as sightings, and how much of each part they covered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from shared.domain.assets import Detection
from shared.domain.detections import confidence
from shared.domain.moderation.findings import (
    SAFE_SEARCH_PARTS,
    TRUNCATED,
    Box,
    Count,
    Evidence,
    Gap,
    Likelihood,
    MediaKind,
    Part,
    Place,
    Sighting,
    Tier,
    strongest,
    worst_words,
)
from shared.ports import Feature, Frame, ImageAnnotation, ImageAnnotator, Seen

PARTS_OF: Mapping[Feature, tuple[Part, ...]] = {
    Feature.SAFE_SEARCH: (Part.ADULT, Part.VIOLENCE, Part.RACY),
    Feature.OBJECTS: (Part.OBJECTS,),
    Feature.LABELS: (Part.LABELS,),
    Feature.FACES: (Part.CROWD,),
    Feature.LOGOS: (),
    Feature.TEXT: (Part.PATTERNS, Part.CATEGORIES, Part.SENTIMENT),
}
"""Which parts of an evaluation need which feature of an image annotator; logos are shown and judge nothing."""

CONTEXT_WORDS: Mapping[str, str] = {"medical": "safe-search: medical", "spoof": "safe-search: spoof"}
"""Safe search's other two categories accuse nobody; from LIKELY on they are labels, which a profile's contexts name."""


ENDS_EARLY = "The file ends early, or is damaged in part: what is missing was not looked at."


@dataclass(frozen=True)
class Looked:
    """Frames that were to be looked at, and what came of each; `annotations` has as many entries as `frames`.

    `wanted`: how many frames there would have been with an unlimited budget.
    """

    frames: Sequence[Frame]
    annotations: Sequence[ImageAnnotation]
    features: Sequence[Feature]
    wanted: int


def evidence_of_look(kind: MediaKind, looked: Looked, annotator: ImageAnnotator) -> Evidence:
    """What the annotator saw in the frames, without what their texts say.

    What it saw beside an error counts as seen, and covers nothing.
    """
    pairs = list(zip(looked.frames, looked.annotations, strict=True))
    return Evidence(
        kind=kind,
        sightings=strongest(
            sighting for frame, found in pairs for sighting in _sightings(_place(frame), found, annotator.name)
        ),
        faces=_most_faces(pairs, annotator.name),
        coverage=_coverage(looked),
        gaps=tuple(dict.fromkeys((*_silent(looked), *_failed(looked)))),
        witnesses=(annotator.name,),
        safe_search=worst_words(_words(found) for _, found in pairs),
        logos=tuple(dict.fromkeys(logo.name for _, found in pairs for logo in found.logos or ())),
    )


def evidence_of_detection(kind: MediaKind, found: Detection) -> Evidence:
    """What our own detector saw: one sighting of violence, however sure or unsure it is."""
    best = max(found.segments, key=lambda segment: segment.confidence, default=None)
    # Windows above the threshold that are too short for a segment (SPEC §3) must not weigh more than the threshold.
    sure = confidence(found.segments) if best else min(found.peak_probability, 1 - found.sensitivity)
    place = Place(best.start, best.end) if best else Place()
    seen = Sighting(Part.VIOLENCE, "violence", sure, found.model, "violence", Tier.CLEAR, place)
    gaps = (Gap(Part.VIOLENCE, TRUNCATED, ENDS_EARLY),) if found.truncated else ()
    return Evidence(kind, (seen,), coverage={Part.VIOLENCE: 1.0}, gaps=gaps, witnesses=(found.model,))


def gaps_of_features(features: Iterable[Feature], code: str, sentence: str, tries: int = 1) -> tuple[Gap, ...]:
    """The same gap in every part that these features would have told about."""
    return tuple(Gap(part, code, sentence, tries) for feature in features for part in PARTS_OF[feature])


def _sightings(place: Place, found: ImageAnnotation, witness: str) -> list[Sighting]:
    words = _words(found)
    safe = [
        Sighting(part, category, sure, witness, place=place)
        for part, category in SAFE_SEARCH_PARTS.items()
        if (sure := words.get(category, Likelihood.UNKNOWN).confidence) is not None
    ]
    contexts = [
        Sighting(Part.LABELS, label, words[category].confidence or 0.0, witness, place=place)
        for category, label in CONTEXT_WORDS.items()
        if category in words and words[category].level >= Likelihood.LIKELY.level
    ]
    objects = [_sighting(Part.OBJECTS, seen, place, witness) for seen in found.objects or ()]
    labels = [_sighting(Part.LABELS, seen, place, witness) for seen in found.labels or ()]
    return [*safe, *contexts, *objects, *labels]


def _sighting(part: Part, seen: Seen, place: Place, witness: str) -> Sighting:
    box = Box(*seen.box) if seen.box else None
    return Sighting(part, seen.name, seen.confidence, witness, place=Place(place.start, place.end, box))


def _words(found: ImageAnnotation) -> dict[str, Likelihood]:
    known = {word.value: word for word in Likelihood}
    return {category: known.get(word, Likelihood.UNKNOWN) for category, word in (found.safe_search or {}).items()}


def _most_faces(pairs: Sequence[tuple[Frame, ImageAnnotation]], witness: str) -> Count | None:
    counts = [Count(len(found.faces), witness, _place(frame)) for frame, found in pairs if found.faces is not None]
    return max(counts, key=lambda count: count.number, default=None)


def _place(frame: Frame) -> Place:
    return Place(frame.seconds, frame.seconds)


def _coverage(looked: Looked) -> dict[Part, float]:
    """The share of the wanted frames in which each part was evaluated. Language's parts are not this annotator's."""
    shares: dict[Part, float] = {}
    for feature in looked.features:
        for part in PARTS_OF[feature]:
            if part not in {Part.CATEGORIES, Part.SENTIMENT}:
                told = sum(_tells(found, feature, part) for found in looked.annotations)
                shares[part] = told / max(looked.wanted, 1)
    return shares


def _tells(found: ImageAnnotation, feature: Feature, part: Part) -> bool:
    if found.error is not None or getattr(found, feature.value) is None:
        return False
    if part not in SAFE_SEARCH_PARTS:
        return True
    return _words(found).get(SAFE_SEARCH_PARTS[part], Likelihood.UNKNOWN) is not Likelihood.UNKNOWN


def _silent(looked: Looked) -> list[Gap]:
    """Parts of which an answer came that says nothing (UNKNOWN, or a feature left out)."""
    sentence = "The annotator gave no answer for this part of some pictures."
    return [
        Gap(part, "no_signal", sentence)
        for feature in looked.features
        for part in PARTS_OF[feature]
        if any(found.error is None and not _tells(found, feature, part) for found in looked.annotations)
    ]


def _failed(looked: Looked) -> list[Gap]:
    errors = [found.error for found in looked.annotations if found.error is not None]
    return [
        gap for error in errors for gap in gaps_of_features(looked.features, error.code, error.sentence, error.tries)
    ]
