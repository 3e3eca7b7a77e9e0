"""Weighs factors and asks the rules of SPEC §5, in their order.

Nothing here ever becomes milder when a confidence rises: a tally only grows, and every rule asks for more than a limit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from shared.domain.moderation.findings import PARTS, Evidence, Factor, Tier
from shared.domain.moderation.profiles import Profile
from shared.domain.moderation.receipts import Finding, Rule

TOLERANCE = 1e-6
"""Services tell confidences as 32-bit floats, in which 0.65 is a little less; and sums of floats are a little off."""


def reached(confidence: float, threshold: float) -> bool:
    """Whether a confidence is at or above a threshold."""
    return confidence >= threshold - TOLERANCE


def exceeds(score: float, limit: float) -> bool:
    """Whether a score is above a limit."""
    return score > limit + TOLERANCE


@dataclass(frozen=True)
class Weighing:
    """What each factor weighs in the score (sum 1, or 0), and the share (0-1) of all weight that was evaluated."""

    shares: Mapping[Factor, float]
    evaluated: float


def weigh(evidence: Evidence, profile: Profile) -> Weighing:
    """Each factor's weight times the mean coverage of its parts: what nobody looked at leaves the sum."""
    parts = PARTS[evidence.kind]
    weights = {}
    for factor in Factor:
        covered = [evidence.covered(part) for part in parts if part.factor is factor]
        weights[factor] = profile.weights[factor] * math.fsum(covered) / len(covered)
    total = math.fsum(weights.values())
    shares = {factor: weight / total if total > 0 else 0.0 for factor, weight in weights.items()}
    return Weighing(shares, total / math.fsum(profile.weights.values()))


@dataclass(frozen=True)
class Tally:
    """What the rules ask about: the strongest counted confidence of each factor that has one, whether one is clear, and
    the strongest contextual one (0 without)."""

    strongest: Mapping[Factor, float] = field(default_factory=dict)
    clear: bool = False
    contextual: float = 0.0

    def with_one(self, factor: Factor, tier: Tier, confidence: float) -> Tally:
        """The same with one more counted finding."""
        most = max(confidence, self.strongest.get(factor, 0.0))
        raised = replace(self, strongest={**self.strongest, factor: most})
        if tier is Tier.CLEAR:
            return replace(raised, clear=True)
        if tier is Tier.CONTEXTUAL:
            return replace(raised, contextual=max(confidence, self.contextual))
        return raised

    def score(self, shares: Mapping[Factor, float]) -> float:
        """The weighted mean, 0-1."""
        return min(math.fsum(shares[factor] * sure for factor, sure in self.strongest.items()), 1.0)


def tally_of(findings: Iterable[Finding]) -> Tally:
    """The tally of those that count."""
    tally = Tally()
    for finding in findings:
        if finding.counted:
            tally = tally.with_one(finding.factor, finding.tier, finding.confidence)
    return tally


def deciding_rule(tally: Tally, shares: Mapping[Factor, float], profile: Profile) -> Rule:
    """The first rule that fails it, or `NOTHING_FOUND`. Social findings alone meet none (SPEC §5)."""
    if tally.clear:
        return Rule.CLEAR_FINDING
    if tally.contextual == 0:
        return Rule.NOTHING_FOUND
    score = tally.score(shares)
    if exceeds(score, profile.fail_score):
        return Rule.SCORE
    if len(tally.strongest) >= 2 and exceeds(score, profile.caution_score):
        return Rule.CAUTION
    if reached(tally.contextual, profile.lone_contextual):
        return Rule.LONE_CONTEXTUAL
    return Rule.NOTHING_FOUND
