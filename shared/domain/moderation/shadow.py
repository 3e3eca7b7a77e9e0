"""What a second profile would have said of the same evidence, and what many such comparisons say together (SPEC §5)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from shared.domain.moderation.receipts import Finding, Rule, Status, Verdict

MAX_CAUSES = 10
"""Kept of one comparison, and told in a summary."""


@dataclass(frozen=True)
class Comparison:
    """Two verdicts on the same evidence. `flips`: they differ.

    `causes`: what counts for one profile and not for the other, as `category: name`; only of verdicts that differ.
    """

    status: Status
    shadow_status: Status
    rule: Rule
    shadow_rule: Rule
    flips: bool
    causes: tuple[str, ...] = ()


class Compared(Protocol):
    """A comparison as it is kept."""

    @property
    def status(self) -> str:
        """The status of the profile in force."""
        ...

    @property
    def shadow_status(self) -> str:
        """The status of the shadow profile."""
        ...

    @property
    def rule(self) -> str:
        """The rule that decided."""
        ...

    @property
    def shadow_rule(self) -> str:
        """The rule that would have decided."""
        ...

    @property
    def causes(self) -> tuple[str, ...]:
        """As in `Comparison`."""
        ...


@dataclass(frozen=True)
class Summary:
    """Many comparisons. `rate`: the share (0-1) that flips, 0 of none.

    `statuses` (of all) and `rules` (of those that flip): how often `PASS -> FAIL`, `nothing_found -> clear_finding`.
    `causes`: the `MAX_CAUSES` most frequent. The most frequent come first.
    """

    compared: int
    flipped: int
    rate: float
    statuses: Mapping[str, int]
    rules: Mapping[str, int]
    causes: Mapping[str, int]


def compare(verdict: Verdict, shadow: Verdict) -> Comparison:
    """What the two differ in."""
    flips = verdict.status is not shadow.status
    causes = _causes(verdict, shadow) if flips else ()
    return Comparison(verdict.status, shadow.status, verdict.rule, shadow.rule, flips, causes)


def summarize(comparisons: Iterable[Compared]) -> Summary:
    """The summary of comparisons in any order; reads them once."""
    statuses: Counter[str] = Counter()
    rules: Counter[str] = Counter()
    causes: Counter[str] = Counter()
    for each in comparisons:
        statuses[f"{each.status} -> {each.shadow_status}"] += 1
        if each.status != each.shadow_status:
            rules[f"{each.rule} -> {each.shadow_rule}"] += 1
            causes.update(each.causes)
    compared, flipped = statuses.total(), rules.total()
    rate = flipped / compared if compared else 0.0
    return Summary(compared, flipped, rate, _ranked(statuses), _ranked(rules), _ranked(causes, MAX_CAUSES))


def _causes(verdict: Verdict, shadow: Verdict) -> tuple[str, ...]:
    ours, theirs = _counted(verdict), _counted(shadow)
    differing = [finding for key, finding in {**ours, **theirs}.items() if (key in ours) != (key in theirs)]
    differing.sort(key=lambda finding: (-finding.confidence, finding.category, finding.name))
    causes = dict.fromkeys(f"{finding.category}: {finding.name}" for finding in differing)
    return tuple(causes)[:MAX_CAUSES]


def _counted(verdict: Verdict) -> dict[tuple[str, ...], Finding]:
    """By what they are and how they count: a finding that only one profile holds for clear is a difference, too."""
    counted = (finding for finding in verdict.findings if finding.counted)
    return {(each.part, each.name, each.witness, each.tier): each for each in counted}


def _ranked(counts: Counter[str], at_most: int | None = None) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda each: (-each[1], each[0]))[:at_most])
