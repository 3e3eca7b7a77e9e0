"""What Video Intelligence saw in a whole video, as sightings: pure. Its texts are judged where all texts are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from shared.domain.moderation.findings import (
    Count,
    Evidence,
    Gap,
    Likelihood,
    MediaKind,
    Part,
    Place,
    Sighting,
    strongest,
)
from shared.ports import Spotted, VideoAnnotation

PARTS_OF: Mapping[str, tuple[Part, ...]] = {
    "explicit": (Part.ADULT,),
    "labels": (Part.OBJECTS, Part.LABELS),
    "shots": (Part.SHOTS,),
    "texts": (Part.PATTERNS, Part.CATEGORIES, Part.SENTIMENT),
}
"""Which parts of an evaluation each field of an annotation tells about. A label may name a thing or a scene."""

_READ_ELSEWHERE = "texts"


def evidence_of_annotation(found: VideoAnnotation, witness: str, usd: float) -> Evidence:
    """The evidence without what the texts say; `usd` is what the look cost.

    What was seen beside a problem (a part of the video failed) counts as seen, and covers nothing.
    """
    seen = {name for name in PARTS_OF if name != _READ_ELSEWHERE and getattr(found, name) is not None}
    return Evidence(
        kind=MediaKind.VIDEO,
        sightings=strongest([*_explicit(found.explicit or (), witness), *_labels(found.labels or (), witness)]),
        shots=None if found.shots is None else Count(found.shots, witness),
        coverage={part: 1.0 for name in sorted(seen - found.problems.keys()) for part in PARTS_OF[name]},
        gaps=tuple(
            Gap(part, "not_annotated", sentence)
            for name, sentence in found.problems.items()
            for part in PARTS_OF.get(name, ())
        ),
        witnesses=(witness,),
        cost_usd=usd,
    )


def _explicit(spotted: Iterable[Spotted], witness: str) -> list[Sighting]:
    known = {word.value: word.confidence for word in Likelihood}
    return [
        Sighting(Part.ADULT, "adult", confidence, witness, place=Place(each.start, each.end))
        for each in spotted
        if (confidence := known.get(each.name)) is not None
    ]


def _labels(spotted: Iterable[Spotted], witness: str) -> list[Sighting]:
    return [
        Sighting(part, each.name, each.confidence, witness, place=Place(each.start, each.end))
        for each in spotted
        for part in PARTS_OF["labels"]
    ]
