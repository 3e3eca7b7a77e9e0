"""An asset's AnalysisData, from whatever is known of it so far (SPEC §3)."""

from __future__ import annotations

from shared.domain.assets import Asset
from shared.domain.detections import AnalysisData, analysis_data, attention
from shared.domain.moderation.findings import MediaKind
from shared.domain.stages import StageState, whole_ledger

UNKNOWN_RISK = "unknown"
"""Until the detector has ended, and for ever when it failed: what was not looked at is not called clean."""


def analysis_of(asset: Asset) -> AnalysisData:
    """AnalysisData of what is known so far."""
    if asset.detection is not None:
        found = asset.detection
        return analysis_data(found.segments, found.duration, truncated=found.truncated, context=asset.context)
    failed = first_error(asset)
    if asset.kind is MediaKind.IMAGE and failed is None:
        return _still(asset)
    data = analysis_data((), asset.facts.duration if asset.facts else 0.0, context=asset.context)
    data["summary"] = f"The analysis failed. {failed}" if failed else "The analysis has not ended yet."
    data["overallRisk"] = UNKNOWN_RISK
    return data


def _still(asset: Asset) -> AnalysisData:
    """A still picture has no motion to look for; what is known of it is its moderation."""
    verdict = asset.moderation.verdict if asset.moderation else None
    said = f"moderation says {verdict.status}." if verdict else "it was not moderated yet."
    data = analysis_data((), 0.0)
    data["summary"] = f"A still picture: {said}"
    data["overallRisk"] = UNKNOWN_RISK
    return data


def attention_of(asset: Asset) -> str:
    """`low`, `medium` or `high`: the risk, raised by the context model's threat level; `unknown` without either."""
    risk = analysis_of(asset)["overallRisk"]
    threat = asset.context.threat_level if asset.context else None
    if risk == UNKNOWN_RISK:
        return UNKNOWN_RISK if not threat else attention("low", threat)
    return attention(risk, threat)


def cost_of(asset: Asset) -> float:
    """The estimated cost of all stages so far, in USD."""
    return round(sum(record.cost_usd for record in asset.stages.values()), 9)


def first_error(asset: Asset) -> str | None:
    """The sentence of the first stage that failed, or None."""
    failed = (record for record in whole_ledger(asset.stages).values() if record.state is StageState.FAILED)
    return next((record.error_message for record in failed), None)
