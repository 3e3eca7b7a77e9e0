"""Asks all witnesses about one piece of media and puts together what they say: the evidence of a moderation (SPEC §5).

A witness that fails, refuses or is too dear leaves a gap with its reason, never an exception and never a clean result.
Every question is charged before it is asked, and settled afterwards; a budget that is short means fewer pictures
first, then fewer questions.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from shared.domain.assets import Detection
from shared.domain.costs import NOT_BILLED
from shared.domain.moderation.findings import (
    MAX_TEXT,
    Count,
    Evidence,
    Gap,
    MediaKind,
    Part,
    Place,
    Sentiment,
    Sighting,
    combined,
    strongest,
)
from shared.domain.moderation.patterns import PatternSet
from shared.domain.moderation.prices_of_looks import image_cost, text_cost
from shared.domain.moderation.profiles import Profile
from shared.domain.moderation.sightings import Looked, evidence_of_detection, evidence_of_look, gaps_of_features
from shared.errors import AnalyserFailed, BudgetExhausted
from shared.handlers.spending import Spending
from shared.ports import Feature, Frame, ImageAnnotation, ImageAnnotator, TextAnalyzer, TextAnnotation

log = logging.getLogger(__name__)

T = TypeVar("T")
Charge = Callable[[float, str | None], None]

CHEAPEST = (Feature.SAFE_SEARCH, Feature.LABELS)
"""What is still asked of one picture when the budget suffices for nothing more; Vision bills both as one."""

NOT_ASKED = "The profile does not ask for this."
MISSING: Mapping[MediaKind, tuple[str, str]] = {
    MediaKind.IMAGE: ("left_out", "Of {} of the file's {} pictures nobody knows: they were left out."),
    MediaKind.VIDEO: ("not_decoded", "Of {} of {} moments of the video no picture could be decoded."),
}
"""Why there are fewer pictures than there could be: an animation has too many, a video is damaged."""


@dataclass(frozen=True)
class Deps:
    """The witnesses. `*_money`: the budget of the one who bills; None where nobody does (the embedded home)."""

    images: ImageAnnotator
    text: TextAnalyzer
    patterns: PatternSet
    vision_money: Spending | None = None
    language_money: Spending | None = None


@dataclass(frozen=True)
class Read:
    """A text and where it was read."""

    text: str
    place: Place = Place()


@dataclass(frozen=True)
class _Bill:
    """Who pays for a question; `spread_by` spreads the day's sum over documents."""

    money: Spending | None
    charge: Charge
    spread_by: str


def look(
    frames: Sequence[Frame],
    kind: MediaKind,
    features: Sequence[Feature],
    profile: Profile,
    deps: Deps,
    charge: Charge,
    spread_by: str,
    *,
    detection: Detection | None = None,
    shots: Count | None = None,
    missing: int = 0,
) -> Evidence:
    """The evidence of 0 to 10 `frames`, of our own detector where it has looked, and of the text in the pictures.

    `missing`: how many more pictures there are, or were wanted; nothing is known of them (`MISSING`).
    Raises `Retryable` when the store, in which the budget is kept, is away.
    """
    able = [feature for feature in features if feature not in deps.images.unable]
    seen, texts = _look_at_frames(frames, kind, able, deps, _Bill(deps.vision_money, charge, spread_by))
    seen = _with_missing(seen, len(frames), missing)
    evidence = _with_unasked(seen, features, deps.images)
    if Feature.TEXT in able:
        read = read_texts(texts, kind, seen.covered(Part.PATTERNS), profile, deps, charge, spread_by)
        evidence = combined(evidence, read)
    if detection is not None:
        evidence = combined(evidence, evidence_of_detection(kind, detection))
    if shots is not None:
        counted = Evidence(kind, shots=shots, coverage={Part.SHOTS: 1.0}, witnesses=(shots.witness,))
        return combined(evidence, counted)
    if kind is MediaKind.VIDEO:
        gap = Gap(Part.SHOTS, "not_counted", "Only Video Intelligence counts shots, and it was not asked.")
        return replace(evidence, gaps=(*evidence.gaps, gap))
    return evidence


def features_for(kind: MediaKind, profile: Profile, deps: Deps) -> tuple[Feature, ...]:
    """What is asked of the pictures. What costs nothing is asked of a video's frames, too."""
    everything = kind is MediaKind.IMAGE or deps.vision_money is None
    return profile.image_features if everything else profile.video.features


def read_texts(
    texts: Sequence[Read],
    kind: MediaKind,
    share: float,
    profile: Profile,
    deps: Deps,
    charge: Charge,
    spread_by: str,
) -> Evidence:
    """What the texts say to the patterns and to the text analyser. `share` (0-1): how much was read of all there is.

    A text shorter than the profile's shortest is not judged; that nothing (more) was written is an answer, too.
    Raises `Retryable`.
    """
    together = _joined(texts)
    if len(together) < profile.shortest_text:
        parts = (Part.PATTERNS, Part.CATEGORIES, Part.SENTIMENT)
        return Evidence(kind, coverage=dict.fromkeys(parts, share), text=together)
    witness = f"patterns-{deps.patterns.version}"
    hits = [
        Sighting(Part.PATTERNS, hit.pattern_id, hit.confidence, witness, hit.category, hit.tier, read.place)
        for read in texts
        for hit in deps.patterns.scan(read.text)
    ]
    by_pattern = Evidence(
        kind,
        sightings=strongest(hits),
        coverage={Part.PATTERNS: share},
        witnesses=(witness,),
        text=together[:MAX_TEXT],
    )
    bill = _Bill(deps.language_money, charge, spread_by)
    return combined(by_pattern, _analysed(together, kind, share, deps.text, bill))


def read_again(before: Evidence, deps: Deps, charge: Charge, spread_by: str) -> Evidence:
    """What the text analyser, which alone had failed, says of what was read before. Raises `Retryable`."""
    bill = _Bill(deps.language_money, charge, spread_by)
    return _analyse(before.text, before.kind, before.covered(Part.PATTERNS), deps.text, bill)


def _joined(texts: Sequence[Read]) -> str:
    """Each line once, as frames of a video show the same over and over."""
    lines = [line.strip() for read in texts for line in read.text.splitlines()]
    return "\n".join(dict.fromkeys(line for line in lines if line))


# --------------------------------------------------------------------------- pictures


def _look_at_frames(
    frames: Sequence[Frame], kind: MediaKind, able: Sequence[Feature], deps: Deps, bill: _Bill
) -> tuple[Evidence, list[Read]]:
    if not frames or not able:
        return Evidence(kind), []
    for chosen, features in _plans(frames, able):
        try:
            found, usd = _ask_about_frames(chosen, features, deps.images, bill)
        except BudgetExhausted as short:
            exhausted = short
            continue
        except AnalyserFailed as error:
            log.warning("no look at the pictures: %s", error)
            gaps = gaps_of_features(able, error.code, error.sentence, error.tries)
            usd = _billed(error, _price_of_frames(chosen, features, bill))
            return Evidence(kind, gaps=gaps, witnesses=(deps.images.name,), cost_usd=usd), []
        looked = Looked(chosen, found, features, len(frames))
        seen = replace(evidence_of_look(kind, looked, deps.images), cost_usd=usd)
        texts = [
            Read(one.text, Place(frame.seconds, frame.seconds))
            for frame, one in zip(chosen, found, strict=True)
            if one.text
        ]
        return _with_cuts(seen, frames, chosen, able, features), texts
    return Evidence(kind, gaps=gaps_of_features(able, exhausted.code, exhausted.sentence)), []


def _plans(frames: Sequence[Frame], able: Sequence[Feature]) -> list[tuple[Sequence[Frame], Sequence[Feature]]]:
    """Ways to look, the dearest first: all pictures, every second one, the middle one; then only the cheapest there."""
    middle = [frames[len(frames) // 2]]
    cheapest = [feature for feature in able if feature in CHEAPEST]
    plans = [(frames, able), (frames[::2], able), (middle, able), (middle, cheapest)]
    return [plan for number, plan in enumerate(plans) if plan[1] and plan not in plans[:number]]


def _ask_about_frames(
    frames: Sequence[Frame], features: Sequence[Feature], images: ImageAnnotator, bill: _Bill
) -> tuple[list[ImageAnnotation], float]:
    usd = _price_of_frames(frames, features, bill)
    return _paid(usd, bill, lambda: images.annotate(frames, features)), usd


def _price_of_frames(frames: Sequence[Frame], features: Sequence[Feature], bill: _Bill) -> float:
    return 0.0 if bill.money is None else image_cost(len(frames), features, bill.money.now())


def _with_missing(seen: Evidence, taken: int, missing: int) -> Evidence:
    """What was evaluated of the pictures that could be taken was evaluated of that share of the video."""
    if not missing:
        return seen
    code, sentence = MISSING[seen.kind]
    gap = partial(Gap, code=code, sentence=sentence.format(missing, taken + missing))
    return replace(
        seen,
        coverage={part: share * taken / (taken + missing) for part, share in seen.coverage.items()},
        gaps=(*seen.gaps, *(gap(part) for part in seen.coverage)),
    )


def _with_unasked(seen: Evidence, features: Sequence[Feature], images: ImageAnnotator) -> Evidence:
    """What the profile does not ask for, and what this annotator can never tell."""
    gaps = list(seen.gaps)
    for feature in Feature:
        if feature in images.unable:
            gaps += gaps_of_features([feature], "not_available", images.unable[feature])
        elif feature not in features:
            gaps += gaps_of_features([feature], "not_asked", NOT_ASKED)
    return replace(seen, gaps=tuple(dict.fromkeys(gaps)))


def _with_cuts(
    seen: Evidence,
    frames: Sequence[Frame],
    chosen: Sequence[Frame],
    able: Sequence[Feature],
    features: Sequence[Feature],
) -> Evidence:
    """The gaps that a short budget left."""
    code = "budget_exhausted"
    gaps = list(seen.gaps)
    if len(chosen) < len(frames):
        sentence = f"Today's budget sufficed for {len(chosen)} of {len(frames)} pictures."
        gaps += gaps_of_features(features, code, sentence)
    left_out = [feature for feature in able if feature not in features]
    gaps += gaps_of_features(left_out, code, "Today's budget did not suffice to ask for this.")
    return replace(seen, gaps=tuple(gaps))


# --------------------------------------------------------------------------- texts


def _analysed(text: str, kind: MediaKind, share: float, analyzer: TextAnalyzer, bill: _Bill) -> Evidence:
    """What the analyser says of the text, or of the beginning of one that is too long."""
    if len(text) <= MAX_TEXT:
        return _analyse(text, kind, share, analyzer, bill)
    seen = _analyse(text[:MAX_TEXT], kind, share * MAX_TEXT / len(text), analyzer, bill)
    sentence = f"Of the text's {len(text)} characters only the first {MAX_TEXT} were judged; the patterns saw all."
    return replace(seen, gaps=(*seen.gaps, *(Gap(part, "text_too_long", sentence) for part in seen.coverage)))


def _analyse(text: str, kind: MediaKind, share: float, analyzer: TextAnalyzer, bill: _Bill) -> Evidence:
    usd = 0.0 if bill.money is None else text_cost(len(text), bill.money.now())
    try:
        said = _paid(usd, bill, lambda: _said(text, analyzer))
    except AnalyserFailed as error:
        gaps = [Gap(part, error.code, error.sentence, error.tries) for part in (Part.CATEGORIES, Part.SENTIMENT)]
        return Evidence(kind, gaps=tuple(gaps), cost_usd=_billed(error, usd))
    return _evidence_of_text(said, kind, share, analyzer.name, usd)


def _said(text: str, analyzer: TextAnalyzer) -> TextAnnotation:
    """What the analyser says. Raises `AnalyserFailed` where it said nothing, and bills nothing for it."""
    said = analyzer.analyze(text)
    refusals = [error for error in said.problems.values() if error.code in NOT_BILLED]
    if refusals and len(refusals) == len(said.problems) and said.categories is None and said.sentiment is None:
        raise max(refusals, key=lambda error: error.tries)
    return said


def _evidence_of_text(said: TextAnnotation, kind: MediaKind, share: float, witness: str, usd: float) -> Evidence:
    parts = {"categories": Part.CATEGORIES, "sentiment": Part.SENTIMENT}
    # What is said in spite of a problem (a language that is not supported) counts as seen, and covers nothing.
    whole = [name for name in parts if getattr(said, name) is not None and name not in said.problems]
    coverage = {parts[name]: share for name in whole}
    return Evidence(
        kind,
        sightings=strongest(
            Sighting(Part.CATEGORIES, each.name, each.confidence, witness) for each in said.categories or ()
        ),
        sentiment=None if said.sentiment is None else Sentiment(said.sentiment, witness, said.language),
        coverage=coverage,
        gaps=tuple(Gap(parts[name], e.code, e.sentence, e.tries) for name, e in said.problems.items()),
        witnesses=(witness,),
        cost_usd=usd,
    )


# --------------------------------------------------------------------------- paying


def _billed(error: AnalyserFailed, usd: float) -> float:
    """What of the price a question costs that failed."""
    return 0.0 if isinstance(error, BudgetExhausted) or error.code in NOT_BILLED else usd


def _paid(usd: float, bill: _Bill, ask: Callable[[], T]) -> T:
    """The answer, with its price reserved and charged before it is asked for.

    Raises `BudgetExhausted`, and what `ask` raises; a refusal that the service does not bill is paid back.
    """
    if bill.money is None:
        return ask()
    held = bill.money.reserve(usd, bill.spread_by)
    if held is None:
        raise BudgetExhausted(bill.money.analyser, bill.money.budget_usd or 0.0)
    bill.charge(usd, None)
    try:
        return ask()
    except AnalyserFailed as error:
        if error.code in NOT_BILLED:
            bill.money.settle(held, 0.0)
            bill.charge(-usd, None)
        raise
