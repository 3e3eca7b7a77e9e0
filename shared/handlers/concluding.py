"""What is written and said with a verdict: the same whether the frames gave it, Video Intelligence, or the sweeper.

A verdict that is final is published, and decides about the quarantine, in one commit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from shared.domain.assets import Asset
from shared.domain.moderation.findings import Evidence
from shared.domain.moderation.in_force import InForce
from shared.domain.moderation.moderated import Moderation, quarantine_after
from shared.domain.moderation.receipts import Verdict
from shared.domain.moderation.verdicts import judge
from shared.domain.stages import Stage
from shared.handlers.triggers import trigger_of
from shared.messages import Message
from shared.ports import Write
from shared.repositories import assets, shadows
from shared.repositories.shadows import Comparison


@dataclass(frozen=True)
class Conclusion:
    """What is committed and published; the first write names the version of the asset that was read."""

    writes: tuple[Write, ...]
    messages: tuple[Message, ...]


def conclude(asset: Asset, version: str, moderation: Moderation, bucket: str) -> Conclusion:
    """The conclusion of a verdict on the asset as it was read at `version`."""
    stored = assets.moderation_update(asset.id, moderation, version)
    if not moderation.final:
        return Conclusion((stored, assets.reopening(asset.id)), ())
    state = quarantine_after(moderation, asset.quarantine, asset.object_name)
    moved = () if state is asset.quarantine else (assets.quarantine_update(asset.id, state),)
    message = trigger_of(Stage.ESCALATE, replace(asset, moderation=moderation), bucket)
    return Conclusion((stored, *moved), () if message is None else (message,))


def comparison(
    asset: Asset, verdict: Verdict, evidence: Evidence, profiles: InForce, now: datetime
) -> tuple[Write, ...]:
    """The write that keeps what the shadow profile would have said; nothing without one."""
    if profiles.shadow is None:
        return ()
    other = judge(evidence, profiles.shadow)
    compared = Comparison(
        media_id=asset.id,
        profile=named(verdict),
        shadow=named(other),
        status=verdict.status,
        shadow_status=other.status,
        rule=verdict.rule,
        shadow_rule=other.rule,
        flips=verdict.status is not other.status,
        created_at=now,
        reasons=other.reasons,
    )
    return (shadows.record(compared),)


def detector_of(asset: Asset) -> str | None:
    """The witness that our own detector was."""
    return asset.detection.model if asset.detection else None


def named(verdict: Verdict) -> str:
    """What judged, as the ledger and comparisons name it."""
    return f"{verdict.profile} {verdict.profile_version}"
