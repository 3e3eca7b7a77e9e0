"""From evidence to a verdict that explains itself: findings, score, the deciding rule and the receipt (SPEC §5)."""

from __future__ import annotations

from collections.abc import Sequence

from shared.domain.moderation.deciding import Weighing, deciding_rule, reached, tally_of, weigh
from shared.domain.moderation.findings import Evidence, Gap, Tier, missing_parts
from shared.domain.moderation.flips import flip_of_fail, flip_of_pass
from shared.domain.moderation.judging import Bench, bench_of, findings_of
from shared.domain.moderation.profiles import Profile
from shared.domain.moderation.receipts import MAX_FINDINGS, Change, Finding, Flip, Rule, Status, Verdict

__all__ = ["Change", "Finding", "Flip", "Rule", "Status", "Verdict", "in_doubt", "judge"]

NOTHING = "No inappropriate content detected"
"""The source's word for a PASS."""

_NAMED = 5
"""As many findings are named in the reasons."""


def judge(evidence: Evidence, profile: Profile) -> Verdict:
    """The verdict of `profile` on `evidence`."""
    bench = bench_of(evidence, profile)
    weighing = weigh(evidence, profile)
    findings = findings_of(evidence, bench)
    tally = tally_of(findings)
    score = tally.score(bench.shares)
    rule = deciding_rule(tally, bench.shares, profile)
    lacking = _lacking(evidence, profile, weighing)
    if rule is Rule.NOTHING_FOUND and lacking:
        rule = Rule.NOT_EVALUATED
    return Verdict(
        status=_status(rule),
        rule=rule,
        score=score,
        confidence=_confidence(rule, findings, score, weighing),
        reasons=(lacking,) if rule is Rule.NOT_EVALUATED and lacking else _reasons(rule, findings, score, profile),
        findings=findings[:MAX_FINDINGS],
        weights=bench.shares,
        not_evaluated=_not_evaluated(evidence),
        witnesses=tuple(dict.fromkeys(evidence.witnesses)),
        profile=profile.name,
        profile_version=profile.version,
        cost_usd=evidence.cost_usd,
        cost_notes=evidence.cost_notes,
        flip=_flip(rule, findings, evidence, bench, Status.ERROR if lacking else Status.PASS),
    )


def in_doubt(verdict: Verdict, profile: Profile) -> bool:
    """Whether a video's frames left so much doubt that Video Intelligence is asked.

    A score in the doubt band does, of a PASS and of a FAIL that rests on the score: it can fall again when more is
    evaluated. A FAIL that rests on a finding stays, whatever else is seen. Where nothing was seen, all is doubt.
    """
    if profile.video.always_full or verdict.status is Status.ERROR:
        return True
    lowest, below = profile.video.doubt
    certain = verdict.rule in {Rule.CLEAR_FINDING, Rule.LONE_CONTEXTUAL}
    return not certain and lowest <= verdict.score < below


def _status(rule: Rule) -> Status:
    others = {Rule.NOTHING_FOUND: Status.PASS, Rule.NOT_EVALUATED: Status.ERROR}
    return others.get(rule, Status.FAIL)


def _lacking(evidence: Evidence, profile: Profile, weighing: Weighing) -> str | None:
    """Why a PASS can't be given, in a sentence; None if it can."""
    if weighing.evaluated == 0:
        return "Nothing could be evaluated, so nothing is said."
    lacking = [part.value for part in sorted(profile.required) if evidence.covered(part) == 0]
    if not lacking:
        return None
    return f"The profile requires {', '.join(lacking)}, which could not be evaluated."


def _confidence(rule: Rule, findings: Sequence[Finding], score: float, weighing: Weighing) -> float:
    """Of a FAIL that of what decided; of a PASS the distance from guilt, times the share that was looked at."""
    if rule is Rule.NOT_EVALUATED:
        return 0.0
    if rule is Rule.NOTHING_FOUND:
        return (1 - score) * min(weighing.evaluated, 1.0)
    if rule in {Rule.SCORE, Rule.CAUTION}:
        return score
    tier = Tier.CLEAR if rule is Rule.CLEAR_FINDING else Tier.CONTEXTUAL
    return max(finding.confidence for finding in findings if finding.counted and finding.tier is tier)


def _reasons(rule: Rule, findings: Sequence[Finding], score: float, profile: Profile) -> tuple[str, ...]:
    if rule is Rule.NOTHING_FOUND:
        return (NOTHING,)
    counted = [finding for finding in findings if finding.counted]
    scored = [finding for finding in counted if finding.contribution > 0]
    lone = [
        finding
        for finding in counted
        if finding.tier is Tier.CONTEXTUAL and reached(finding.confidence, profile.lone_contextual)
    ]
    clear = [finding for finding in counted if finding.tier is Tier.CLEAR]
    limits = {Rule.SCORE: profile.fail_score, Rule.CAUTION: profile.caution_score}
    caution = f"Flagged with caution: {len(scored)} factors have findings." if rule is Rule.CAUTION else ""
    above = f"The score of {score:.2f} is above {limits[rule]:.2f}." if rule in limits else ""
    named = {Rule.CLEAR_FINDING: clear, Rule.LONE_CONTEXTUAL: lone}.get(rule, scored)
    sentences = [_seen(finding) for finding in named[:_NAMED]]
    return tuple(sentence for sentence in (caution, above, *sentences) if sentence)


def _seen(finding: Finding) -> str:
    """`"Handgun" (weapons, clear) seen by vision-v1 at 12.0 s: 0.93, counts from 0.50.`"""
    start = finding.place.start
    where = "" if start is None else f" at {start:.1f} s"
    kind = f"{finding.category.replace('_', ' ')}, {finding.tier.value}"
    witness = f"{finding.witness}{where}"
    return f'"{finding.name}" ({kind}) by {witness}: {finding.confidence:.2f}, counts from {finding.threshold:.2f}.'


def _not_evaluated(evidence: Evidence) -> tuple[Gap, ...]:
    """Every gap once, and every part that is missing without anybody having said why."""
    told = {gap.part for gap in evidence.gaps}
    untold = [part for part in missing_parts(evidence) if part not in told]
    sentence = "This was not looked at, or not at all of it."
    return tuple(dict.fromkeys((*evidence.gaps, *(Gap(part, "not_evaluated", sentence) for part in untold))))


def _flip(rule: Rule, findings: Sequence[Finding], evidence: Evidence, bench: Bench, otherwise: Status) -> Flip | None:
    if rule is Rule.NOT_EVALUATED:
        return None
    if rule is Rule.NOTHING_FOUND:
        return flip_of_pass(findings, evidence, bench)
    return flip_of_fail(findings, bench, otherwise)
