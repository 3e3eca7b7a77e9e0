"""What is written and said with a verdict: the same whether the frames gave it, Video Intelligence, or the sweeper.

A verdict that is final is published, unless a replay made it anew, and decides about the quarantine, in one commit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from shared.domain.assets import Asset
from shared.domain.moderation.findings import Evidence
from shared.domain.moderation.in_force import InForce
from shared.domain.moderation.moderated import FIRST_LOOK, Moderation, quarantine_after
from shared.domain.moderation.receipts import Verdict
from shared.domain.stages import ENDED, Stage
from shared.handlers.shadowing import compared_with
from shared.handlers.triggers import trigger_of
from shared.messages import Message
from shared.ports import Write
from shared.repositories import assets, shadows


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
    message = (
        None
        if _was_told(asset, moderation)
        else trigger_of(Stage.ESCALATE, replace(asset, moderation=moderation), bucket)
    )
    return Conclusion((stored, *moved), () if message is None else (message,))


def _was_told(asset: Asset, moderation: Moderation) -> bool:
    """Whether this is a replay's look at footage of which an earlier verdict was published: it must ring no alarm.

    The key of `escalate`'s work does not tell: a file that was moved into quarantine is another object.
    """
    return moderation.look != FIRST_LOOK and assets.stage_record(asset, Stage.ESCALATE).state in ENDED


def comparison(
    asset: Asset, verdict: Verdict, evidence: Evidence, profiles: InForce, now: datetime
) -> tuple[Write, ...]:
    """The write that keeps what the shadow profile would have said; nothing without one, and of its own verdicts."""
    if profiles.shadow is None or profiles.shadow.version == verdict.profile_version:
        return ()
    return (shadows.record(compared_with(profiles.shadow, asset.id, evidence, verdict, now)),)


def detector_of(asset: Asset) -> str | None:
    """The witness that our own detector was."""
    return asset.detection.model if asset.detection else None


def named(verdict: Verdict) -> str:
    """What judged, as the ledger and comparisons name it."""
    return f"{verdict.profile} {verdict.profile_version}"
