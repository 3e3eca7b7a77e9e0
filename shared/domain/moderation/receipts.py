"""What a verdict and its receipt consist of (SPEC §5). Only types: `judging.py` and `verdicts.py` fill them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from shared.domain.moderation.findings import Factor, Gap, Part, Place, Tier

MAX_FINDINGS = 100
"""Of one receipt."""


class Status(StrEnum):
    """`ERROR`: nothing that the profile requires could be evaluated, so that nothing is said; never a PASS."""

    PASS = "PASS"  # noqa: S105 - no password
    FAIL = "FAIL"
    ERROR = "ERROR"


class Rule(StrEnum):
    """What decided, in the order in which they are asked (SPEC §5)."""

    CLEAR_FINDING = "clear_finding"
    SCORE = "score"
    CAUTION = "caution"
    LONE_CONTEXTUAL = "lone_contextual"
    NOTHING_FOUND = "nothing_found"
    NOT_EVALUATED = "not_evaluated"


@dataclass(frozen=True)
class Finding:
    """A sighting as the profile sees it. `counted`: it reached its `threshold`.

    `name` is the witness's word, `weight` the share (0-1) of its factor in the score. `contribution`: its part of the
    score, which is weight x confidence for the strongest counted finding of each factor, else 0. `lowered_by`: the
    context that lowered its tier; `ignored_because`: why it can't count whatever its confidence.
    """

    factor: Factor
    part: Part
    category: str
    name: str
    tier: Tier
    confidence: float
    threshold: float
    counted: bool
    weight: float
    contribution: float
    witness: str
    place: Place = Place()
    lowered_by: str | None = None
    ignored_because: str | None = None


@dataclass(frozen=True)
class Change:
    """One finding at another confidence; `confidence` 0 and no `witness`: it was not seen at all."""

    part: Part
    name: str
    witness: str
    confidence: float
    would_be: float


@dataclass(frozen=True)
class Flip:
    """The smallest change that would turn the verdict: to which status, what would have to differ, in a sentence."""

    to: Status
    changes: tuple[Change, ...]
    sentence: str


@dataclass(frozen=True)
class Verdict:
    """One verdict and its receipt.

    `score` (0-1) is the sum of the contributions. `confidence` (0-1) is how sure the verdict itself is. `weights`: the
    share of each factor in the score, after what was not evaluated; their sum is 1, or 0 when nothing was.
    `findings`: at most `MAX_FINDINGS`, counted ones first. `not_evaluated`: each gap once, with its reason.
    """

    status: Status
    rule: Rule
    score: float
    confidence: float
    reasons: tuple[str, ...]
    findings: tuple[Finding, ...]
    weights: Mapping[Factor, float]
    not_evaluated: tuple[Gap, ...]
    witnesses: tuple[str, ...]
    profile: str
    profile_version: str
    cost_usd: float
    cost_notes: tuple[str, ...]
    flip: Flip | None
