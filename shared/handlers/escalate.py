"""The stage in which a final verdict joins the incident of its place, or opens one, where its profile wants that.

What counts is the verdict that the asset has now, whatever an early message said: so a FAIL is observed once, and a
PASS never. A file that names no place (a direct analysis) opens no incident.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from shared.delivery import Attempt, Consumer, Outcome, Work, work_for
from shared.domain.assets import Asset, direct_name_of
from shared.domain.incidents import Observation, SignalKind
from shared.domain.moderation.moderated import Moderation, categories_of
from shared.domain.replays import SENTENCES, Refusal
from shared.domain.stages import Stage, StageState
from shared.errors import Retryable
from shared.handlers import observe, places
from shared.handlers.correlate import observed
from shared.messages import MediaModerated, decode
from shared.repositories import assets


@dataclass(frozen=True)
class Deps:
    """What escalate needs of the world."""

    observe: observe.Deps


def prepare(message: MediaModerated, _: Deps) -> Work | None:
    """The piece of work of this object's generation."""
    return work_for(message, Stage.ESCALATE)


def handle(message: MediaModerated, deps: Deps, attempt: Attempt) -> Outcome:  # noqa: ARG001 - the asset knows best
    """Plans the observation of a verdict that its profile wants an incident for; nothing to do for the others.

    Raises `Retryable` while a replay has made the verdict provisional again.
    """
    asset, version = assets.get_with_version(deps.observe.documents, attempt.asset_id)
    moderation = asset.moderation
    if moderation is None or not moderation.final:
        raise Retryable("the verdict is not final")
    if asset.object_name == direct_name_of(asset.id):
        reason = Refusal.NO_PLACE
        return Outcome(state=StageState.SKIPPED, error_code=reason, error_message=SENTENCES[reason])
    if moderation.incident is None or Stage.ESCALATE in asset.observed_by:
        return Outcome()
    return observed(_observation(asset, moderation), asset, version, Stage.ESCALATE, deps.observe)


def _observation(asset: Asset, moderation: Moderation) -> Observation:
    verdict = moderation.verdict
    return Observation(
        kind=SignalKind.MODERATION,
        beacon_id=places.id_of(asset),
        confidence=verdict.confidence,
        description=f"Moderation flagged an upload: {', '.join(categories_of(verdict))}",
        device_id=f"{verdict.profile} {verdict.profile_version}",
        asset_id=asset.id,
        own_priority=moderation.incident,
    )


consumer: Consumer[MediaModerated, Deps] = Consumer(Stage.ESCALATE, partial(decode, MediaModerated), prepare, handle)
