"""What witnesses saw of a picture, a text or a video, and what of it a profile takes for a finding (SPEC §5).

A *witness* is whoever looks: Vision, Video Intelligence, Language, the text patterns, our own detector. What it says is
a *sighting*; all sightings together, and what could not be looked at, are the *evidence*. A profile turns sightings
into *findings*, each with a tier and a threshold. Nothing here knows a profile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class MediaKind(StrEnum):
    """What is moderated."""

    IMAGE = "image"
    VIDEO = "video"


class Factor(StrEnum):
    """The five factors of the score; a profile gives each a weight."""

    SAFE_SEARCH = "safe_search"
    OBJECTS = "objects"
    TEXT = "text"
    SCENE = "scene"
    SENTIMENT = "sentiment"


class Tier(StrEnum):
    """How much a finding means by itself."""

    CLEAR = "clear"
    CONTEXTUAL = "contextual"
    SOCIAL = "social"


class Part(StrEnum):
    """What of a factor is evaluated by itself, and may be missing by itself."""

    ADULT = "safe_search.adult"
    VIOLENCE = "safe_search.violence"
    RACY = "safe_search.racy"
    OBJECTS = "objects"
    PATTERNS = "text.patterns"
    CATEGORIES = "text.categories"
    LABELS = "scene.labels"
    CROWD = "scene.crowd"
    SHOTS = "scene.shots"
    SENTIMENT = "sentiment"

    @property
    def factor(self) -> Factor:
        """The factor it is a part of."""
        return Factor(self.value.split(".")[0])


PARTS: Mapping[MediaKind, tuple[Part, ...]] = {
    MediaKind.IMAGE: tuple(part for part in Part if part is not Part.SHOTS),
    MediaKind.VIDEO: tuple(Part),
}
"""What a whole evaluation consists of; a still picture has no shots."""


SAFE_SEARCH_PARTS: Mapping[Part, str] = {Part.ADULT: "adult", Part.VIOLENCE: "violence", Part.RACY: "racy"}
"""The category that each part of safe search is about."""


class Likelihood(StrEnum):
    """The words of Vision and Video Intelligence. `UNKNOWN` is no signal at all (SPEC §5)."""

    UNKNOWN = "UNKNOWN"
    VERY_UNLIKELY = "VERY_UNLIKELY"
    UNLIKELY = "UNLIKELY"
    POSSIBLE = "POSSIBLE"
    LIKELY = "LIKELY"
    VERY_LIKELY = "VERY_LIKELY"

    @property
    def confidence(self) -> float | None:
        """The number that SPEC §5 gives the word; None for `UNKNOWN`."""
        return _CONFIDENCES.get(self)

    @property
    def level(self) -> int:
        """1 to 5 as the source has it, 0 for `UNKNOWN`."""
        return list(Likelihood).index(self)


_CONFIDENCES: Mapping[Likelihood, float] = {
    Likelihood.VERY_UNLIKELY: 0.10,
    Likelihood.UNLIKELY: 0.35,
    Likelihood.POSSIBLE: 0.60,
    Likelihood.LIKELY: 0.80,
    Likelihood.VERY_LIKELY: 0.95,
}


@dataclass(frozen=True)
class Box:
    """A rectangle in a picture: 0-1 of its width and height, from the upper left corner."""

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class Place:
    """Where something was seen: from `start` to `end` seconds of a video (None in a still), in a box of the picture."""

    start: float | None = None
    end: float | None = None
    box: Box | None = None


@dataclass(frozen=True)
class Sighting:
    """One thing a witness saw. `confidence` 0-1.

    `name` is the witness's own word ("adult", "Gun", "Toxic", the id of a pattern), which a profile looks up in its
    vocabulary; `category` and `tier` are set where the witness knows them itself (patterns, our detector).
    """

    part: Part
    name: str
    confidence: float
    witness: str
    category: str | None = None
    tier: Tier | None = None
    place: Place = Place()


@dataclass(frozen=True)
class Count:
    """How many there are (of faces in one picture, of shots in the video), as `witness` counted them."""

    number: int
    witness: str
    place: Place = Place()


@dataclass(frozen=True)
class Sentiment:
    """The mood of a text: `score` from -1 (bad) to 1 (good)."""

    score: float
    witness: str
    language: str | None = None


@dataclass(frozen=True)
class Gap:
    """A part that was not evaluated, or not wholly. `sentence` is fit for a client.

    `tries`: how often in all asking is worth it, as in `AnalyserFailed` (1: asking again changes nothing).
    """

    part: Part
    code: str
    sentence: str
    tries: int = 1


TRUNCATED = "truncated"
"""The code of the gap that a file leaves which ends early or is damaged in part."""

MAX_SIGHTINGS = 300
"""Kept of one piece of media: the most confident of each part. Documents have 1 MiB."""


@dataclass(frozen=True)
class Evidence:
    """All that is known of one piece of media before a profile judges it.

    `coverage`: the share (0-1) of each part that was evaluated; a part that is absent was not. `gaps` say why what is
    missing is missing. `witnesses`: name and version of everyone who was asked. `text`: what was read in the pictures,
    at most `MAX_TEXT` characters. `safe_search` (the worst word for each of its categories) and `logos` are shown to
    clients as they are.
    """

    kind: MediaKind
    sightings: tuple[Sighting, ...] = ()
    faces: Count | None = None
    shots: Count | None = None
    sentiment: Sentiment | None = None
    coverage: Mapping[Part, float] = field(default_factory=dict)
    gaps: tuple[Gap, ...] = ()
    witnesses: tuple[str, ...] = ()
    text: str = ""
    safe_search: Mapping[str, Likelihood] = field(default_factory=dict)
    logos: tuple[str, ...] = ()
    cost_usd: float = 0.0
    cost_notes: tuple[str, ...] = ()

    def covered(self, part: Part) -> float:
        """The share of the part that was evaluated, 0-1."""
        return min(max(self.coverage.get(part, 0.0), 0.0), 1.0)


def is_worth_asking_again(gaps: Iterable[Gap]) -> bool:
    """Whether another look may tell more: a witness failed for a while, or the day's budget was short."""
    return any(gap.tries > 1 or gap.code == "budget_exhausted" for gap in gaps)


MAX_TEXT = 20_000


def strongest(sightings: Iterable[Sighting], at_most: int = MAX_SIGHTINGS) -> tuple[Sighting, ...]:
    """The most confident ones, one for each name, witness and part, in an order that does not depend on theirs.

    Where they are too many, every part keeps its best: a flood of labels never drives out the one weapon.
    """
    best: dict[tuple[Part, str, str], Sighting] = {}
    for sighting in sorted(sightings, key=_order):
        best.setdefault((sighting.part, sighting.name, sighting.witness), sighting)
    ranks: dict[Part, int] = {}
    ranked: list[tuple[int, Sighting]] = []
    for sighting in best.values():
        ranks[sighting.part] = ranks.get(sighting.part, 0) + 1
        ranked.append((ranks[sighting.part], sighting))
    kept = sorted(ranked, key=lambda each: (each[0], _order(each[1])))[:at_most]
    return tuple(sorted((sighting for _, sighting in kept), key=_order))


def _order(sighting: Sighting) -> tuple[float, str, str, str, str]:
    rest = (sighting.category, sighting.tier, sighting.place)
    return (-sighting.confidence, sighting.part, sighting.name, sighting.witness, repr(rest))


def combined(first: Evidence, second: Evidence) -> Evidence:
    """What two looks at the same media say together: nothing that either saw is lost, and no gap that stays.

    A gap of a part that the other look evaluated wholly is closed, unless nobody could look: the file ends early.
    """
    parts = {*first.coverage, *second.coverage}
    coverage = {part: max(first.covered(part), second.covered(part)) for part in sorted(parts)}
    gaps = [gap for gap in (*first.gaps, *second.gaps) if coverage.get(gap.part, 0.0) < 1.0 or gap.code == TRUNCATED]
    return Evidence(
        kind=first.kind,
        sightings=strongest((*first.sightings, *second.sightings)),
        faces=_larger(first.faces, second.faces),
        shots=_larger(first.shots, second.shots),
        sentiment=_worse(first.sentiment, second.sentiment),
        coverage=coverage,
        gaps=tuple(dict.fromkeys(gaps)),
        witnesses=tuple(dict.fromkeys((*first.witnesses, *second.witnesses))),
        text="\n".join(text for text in (first.text, second.text) if text)[:MAX_TEXT],
        safe_search=worst_words((first.safe_search, second.safe_search)),
        logos=tuple(dict.fromkeys((*first.logos, *second.logos))),
        cost_usd=first.cost_usd + second.cost_usd,
        cost_notes=tuple(dict.fromkeys((*first.cost_notes, *second.cost_notes))),
    )


def worst_words(answers: Iterable[Mapping[str, Likelihood]]) -> dict[str, Likelihood]:
    """The likeliest word that any of the answers has for each category."""
    worst: dict[str, Likelihood] = {}
    for answer in answers:
        for category, word in answer.items():
            worst[category] = max(word, worst.get(category, word), key=lambda each: each.level)
    return worst


def _larger(one: Count | None, other: Count | None) -> Count | None:
    known = [count for count in (one, other) if count is not None]
    return max(known, key=lambda count: count.number, default=None)


def _worse(one: Sentiment | None, other: Sentiment | None) -> Sentiment | None:
    known = [mood for mood in (one, other) if mood is not None]
    return min(known, key=lambda mood: mood.score, default=None)


def missing_parts(evidence: Evidence) -> Sequence[Part]:
    """The parts that were not evaluated wholly, in the order of `Part`."""
    return [part for part in PARTS[evidence.kind] if evidence.covered(part) < 1.0]
