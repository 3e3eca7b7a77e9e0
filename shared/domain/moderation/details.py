"""What was seen, as the clients of the source know it (M: `analysis_details`). It decides nothing. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.domain.moderation.findings import Evidence, Likelihood, Part, Sighting, missing_parts
from shared.domain.moderation.receipts import Verdict
from shared.domain.moderation.sightings import CONTEXT_WORDS

SAFE_SEARCH = ("adult", "violence", "racy", "spoof", "medical")
"""Safe search's categories, in the source's order."""

MAX_NAMES = 20
"""Shown of each kind, the most confident."""


@dataclass(frozen=True)
class Name:
    """Something that was seen, in its witness's word; `confidence` 0-1."""

    name: str
    confidence: float


@dataclass(frozen=True)
class Details:
    """`safe_search`: the worst word of all pictures for each category, UNKNOWN where nobody said any.

    `faces`: the most in one picture, None where nobody looked for any. `scenes`: the labels that the profile takes for
    scenes. `not_evaluated`: the parts of which something is missing; what is empty because of that is not clean.
    """

    safe_search: Mapping[str, Likelihood] = field(default_factory=dict)
    objects: tuple[Name, ...] = ()
    faces: int | None = None
    labels: tuple[Name, ...] = ()
    scenes: tuple[Name, ...] = ()
    logos: tuple[str, ...] = ()
    not_evaluated: tuple[Part, ...] = ()


def details_of(evidence: Evidence, verdict: Verdict) -> Details:
    """What a client is shown beside the verdict."""
    return Details(
        safe_search={word: evidence.safe_search.get(word, Likelihood.UNKNOWN) for word in SAFE_SEARCH},
        objects=_names(evidence, Part.OBJECTS),
        faces=None if evidence.faces is None else evidence.faces.number,
        labels=_names(evidence, Part.LABELS),
        scenes=tuple(Name(each.name, each.confidence) for each in verdict.findings if each.part is Part.LABELS),
        logos=evidence.logos[:MAX_NAMES],
        not_evaluated=tuple(missing_parts(evidence)),
    )


def _names(evidence: Evidence, part: Part) -> tuple[Name, ...]:
    seen = [each for each in evidence.sightings if each.part is part and each.name not in CONTEXT_WORDS.values()]
    return tuple(Name(each.name, each.confidence) for each in sorted(seen, key=_surest)[:MAX_NAMES])


def _surest(sighting: Sighting) -> tuple[float, str]:
    return -sighting.confidence, sighting.name
