"""The smallest change that would turn a verdict (SPEC §5).

The smallest is the one of the fewest findings, and of these the one with the least total change in confidence. A
finding changes in the steps in which its witness speaks (`judging.levels`). Contexts and coverage stay as they are.

- FAIL: findings would have to fall. Every counted clear one must, so must every contextual one that fails it alone;
  which others, and how far, is searched for exactly, factor by factor.
- PASS: one finding would have to rise. Of those that were seen, counted or not, the one with the least to rise; only
  where none could turn the verdict, the least sure thing that would have to be seen besides.
- ERROR: nothing is known, so nothing is said.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from shared.domain.moderation.deciding import TOLERANCE, Tally, deciding_rule, reached, tally_of
from shared.domain.moderation.findings import SAFE_SEARCH_PARTS, Evidence, Factor, Part, Sighting, Tier
from shared.domain.moderation.judging import Bench, finding_of, levels, number_of
from shared.domain.moderation.profiles import Profile, Word
from shared.domain.moderation.receipts import Change, Finding, Flip, Rule, Status

_NAMED = 3
"""As many changes are named in the sentence."""


def flip_of_fail(findings: Sequence[Finding], bench: Bench, otherwise: Status) -> Flip:
    """What would have to fall. `otherwise`: what the verdict would be then."""
    counted = [finding for finding in findings if finding.counted]
    lowered = _least_lowering(counted, bench)
    changes = tuple(
        _change(finding, to) for finding, to in zip(counted, lowered, strict=True) if to < finding.confidence
    )
    told = _told([f"{_name(change)} fell {_from_to(change, bench.profile)}" for change in changes], "and")
    return Flip(otherwise, changes, f"It would be {otherwise.value} if {told}.")


def flip_of_pass(findings: Sequence[Finding], evidence: Evidence, bench: Bench) -> Flip | None:
    """What would have to rise, or be seen newly; None where nothing could (nothing but social parts were evaluated)."""
    tally = tally_of(findings)
    change = _least_rise([finding for finding in findings if finding.ignored_because is None], tally, bench)
    if change is not None:
        sentence = f"It would be FAIL if {_name(change)} rose {_from_to(change, bench.profile)}."
        return Flip(Status.FAIL, (change,), sentence)
    change = _least_rise(list(_unseen(evidence, bench)), tally, bench)
    if change is None:
        return None
    sure = f"with a confidence of {change.would_be:.2f}"
    sentence = f'It would be FAIL if something like "{change.name}" were seen as well, {sure}.'
    return Flip(Status.FAIL, (change,), sentence)


# --------------------------------------------------------------------------- rising


def _least_rise(findings: Sequence[Finding], tally: Tally, bench: Bench) -> Change | None:
    rises: list[tuple[float, int, Change]] = []
    for number, finding in enumerate(findings):
        level = _failing_level(finding, tally, bench)
        if level is not None:
            rises.append((round(level - finding.confidence, 9), number, _change(finding, level)))
    return min(rises, key=lambda rise: rise[:2])[2] if rises else None


def _failing_level(finding: Finding, tally: Tally, bench: Bench) -> float | None:
    """The lowest level above the finding's confidence at which it would count and fail the whole; None: no level."""
    higher = [
        level
        for level in levels(finding, bench.profile)
        if level > finding.confidence + TOLERANCE and reached(level, finding.threshold)
    ]

    def fails(level: float) -> bool:
        raised = tally.with_one(finding.factor, finding.tier, level)
        return deciding_rule(raised, bench.shares, bench.profile) is not Rule.NOTHING_FOUND

    index = bisect_left(higher, True, key=fails)
    return higher[index] if index < len(higher) else None


def _unseen(evidence: Evidence, bench: Bench) -> Iterator[Finding]:
    """One finding at confidence 0 for everything that the evaluated parts could have shown."""
    for sighting in _imaginable(bench.profile):
        if evidence.covered(sighting.part) > 0:
            finding = finding_of(sighting, bench)
            if finding is not None and finding.ignored_because is None:
                yield finding


def _imaginable(profile: Profile) -> Iterator[Sighting]:
    """One word of each category and tier of each vocabulary, and what needs no vocabulary."""
    for part, vocabulary in (
        (Part.OBJECTS, profile.object_words),
        (Part.LABELS, profile.scene_words),
        (Part.CATEGORIES, profile.text_words),
    ):
        named: dict[Word, str] = {}
        for word in sorted(vocabulary):
            named.setdefault(vocabulary[word], word)
        for word in named.values():
            yield Sighting(part, word, 0.0, "")
    for part, category in SAFE_SEARCH_PARTS.items():
        yield Sighting(part, category, 0.0, "")
    yield Sighting(Part.PATTERNS, "a threat in words", 0.0, "", "threat", Tier.CLEAR)


# --------------------------------------------------------------------------- falling


@dataclass(frozen=True)
class _Option:
    """One way to lower some findings: how many change, by how much in all, and what is left of them."""

    changed: int
    total: float
    tally: Tally
    confidences: tuple[float, ...] = ()

    @property
    def cost(self) -> tuple[int, float]:
        return (self.changed, round(self.total, 9))

    def and_then(self, other: _Option) -> _Option:
        """Both, of different factors."""
        merged = Tally(
            {**self.tally.strongest, **other.tally.strongest},
            self.tally.clear or other.tally.clear,
            max(self.tally.contextual, other.tally.contextual),
        )
        return _Option(
            self.changed + other.changed, self.total + other.total, merged, self.confidences + other.confidences
        )


def _least_lowering(counted: Sequence[Finding], bench: Bench) -> list[float]:
    """The confidences, in the order of `counted`, to which they would have to fall for no rule to fail them.

    How many must change shows when each either stays or falls as far as it counts for anything; only ways with so few
    are then looked at step by step.
    """
    groups = [[n for n, each in enumerate(counted) if each.factor is factor] for factor in Factor]
    order = [number for group in groups for number in group]
    falls = [[_fall(counted[number], bench.profile) for number in group] for group in groups if group]
    rough = [_options(each, [fall.finding.confidence for fall in each]) for each in falls]
    most = _cheapest(rough, bench, len(counted)).changed
    exact = [_options(each, [level for fall in each for level in fall.standing]) for each in falls]
    lowered = dict(zip(order, _cheapest(exact, bench, most).confidences, strict=True))
    return [lowered[number] for number in range(len(counted))]


def _cheapest(ways: Sequence[Sequence[_Option]], bench: Bench, most: int) -> _Option:
    """The cheapest of the combinations, with one option of each factor, that no rule fails.

    At least one that passes changes no more than `most` findings. The factors are combined one after the other; what
    can't be part of the cheapest one, because it costs no less and leaves no less than another, is not carried along.
    """
    fewest = [min(option.changed for option in options) for options in ways]
    carried = [_Option(0, 0.0, Tally())]
    for number, options in enumerate(ways):
        still = most - sum(fewest[number + 1 :])
        pairs = ((one, two) for one in carried for two in options if one.changed + two.changed <= still)
        carried = _worth_carrying([one.and_then(two) for one, two in pairs], bench.shares)
    return min((each for each in carried if _passes(each, bench)), key=lambda each: (each.cost, each.confidences))


@dataclass(frozen=True)
class _Fall:
    """How one finding can fall. `standing`: the confidences, ascending, at which it still counts and fails nothing by
    itself, its own included where that is so; `below`: the highest at which it does not count."""

    finding: Finding
    standing: tuple[float, ...]
    below: float

    def to(self, ceiling: float) -> float:
        """The highest confidence it may have where all that count are at or below the ceiling."""
        number = bisect_right(self.standing, ceiling)
        return self.standing[number - 1] if number else self.below


def _fall(finding: Finding, profile: Profile) -> _Fall:
    steps = levels(finding, profile)
    below = max(level for level in steps if not reached(level, finding.threshold))
    if finding.tier is Tier.CLEAR:
        return _Fall(finding, (), below)
    own = [level for level in steps if level < finding.confidence and reached(level, finding.threshold)]
    limit = profile.lone_contextual if finding.tier is Tier.CONTEXTUAL else 2.0
    return _Fall(finding, tuple(level for level in (*own, finding.confidence) if not reached(level, limit)), below)


def _options(falls: Sequence[_Fall], ceilings: Iterable[float]) -> list[_Option]:
    """Every way to lower one factor: to one of the ceilings for all its findings; none left; no contextual one left."""
    findings = [fall.finding for fall in falls]
    ways = [[fall.to(ceiling) for fall in falls] for ceiling in sorted({-1.0, *ceilings})]
    ways.append([fall.to(1.0 if fall.finding.tier is Tier.SOCIAL else -1.0) for fall in falls])
    return [_option(findings, confidences) for confidences in ways]


def _option(findings: Sequence[Finding], confidences: Sequence[float]) -> _Option:
    pairs = list(zip(findings, confidences, strict=True))
    falls = [finding.confidence - sure for finding, sure in pairs if sure < finding.confidence]
    counted = [(finding.tier, sure) for finding, sure in pairs if reached(sure, finding.threshold)]
    strongest = {findings[0].factor: max(sure for _, sure in counted)} if counted else {}
    contextual = max((sure for tier, sure in counted if tier is Tier.CONTEXTUAL), default=0.0)
    return _Option(len(falls), sum(falls), Tally(strongest, False, contextual), tuple(confidences))


def _worth_carrying(options: Sequence[_Option], shares: Mapping[Factor, float]) -> list[_Option]:
    """Of each kind (how many factors are left, up to two; whether a contextual finding is), those that no cheaper one
    leaves with as low a score."""
    lowest: dict[tuple[int, bool], float] = {}
    kept: list[_Option] = []
    for score, option in sorted(
        ((option.tally.score(shares), option) for option in options),
        key=lambda each: (each[1].cost, each[0], each[1].confidences),
    ):
        kind = (min(len(option.tally.strongest), 2), option.tally.contextual > 0)
        if score < lowest.get(kind, 2.0) - TOLERANCE / 1000:
            lowest[kind] = score
            kept.append(option)
    return kept


def _passes(option: _Option, bench: Bench) -> bool:
    return deciding_rule(option.tally, bench.shares, bench.profile) is Rule.NOTHING_FOUND


# --------------------------------------------------------------------------- wording


def _change(finding: Finding, would_be: float) -> Change:
    return Change(finding.part, finding.name, finding.witness, finding.confidence, would_be)


def _name(change: Change) -> str:
    return f'"{change.name}" ({change.witness})'


def _from_to(change: Change, profile: Profile) -> str:
    limits = {Part.CROWD: profile.crowd, Part.SHOTS: profile.shots}
    if change.part in limits:
        limit = limits[change.part]
        return f"from {number_of(change.confidence, limit)} to {number_of(change.would_be, limit)}"
    return f"from {change.confidence:.2f} to {change.would_be:.2f}"


def _told(sentences: Sequence[str], joint: str) -> str:
    rest = len(sentences) - _NAMED
    shown = [*sentences[:_NAMED], *([f"{rest} more fell below what counts"] if rest > 0 else [])]
    return f" {joint} ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
