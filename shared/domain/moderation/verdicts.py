"""From evidence to a verdict that explains itself: findings, score, the deciding rule and the receipt (SPEC §5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from shared.domain.moderation.findings import Evidence, Factor, Gap, Part, Place, Tier
from shared.domain.moderation.profiles import Profile


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
    """A sighting as the profile sees it. `counted`: it reached its `threshold`. `contribution`: its part of the score.

    `name` is the witness's word, `lowered_by` the context that lowered its tier.
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


@dataclass(frozen=True)
class Change:
    """One finding at another confidence."""

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

    `score` (0-1) is the sum of the contributions. `confidence` (0-1) is how sure the verdict itself is. `weights`: what
    each factor weighed, after what was not evaluated. `not_evaluated`: each gap once, with its reason.
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


def judge(evidence: Evidence, profile: Profile) -> Verdict:
    """The verdict of `profile` on `evidence`."""
    raise NotImplementedError


def in_doubt(verdict: Verdict, profile: Profile) -> bool:
    """Whether a video's frames left so much doubt that Video Intelligence is asked."""
    raise NotImplementedError
