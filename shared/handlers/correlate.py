"""The third stage: what was detected in an upload joins the incident of its place, or opens one.

One upload makes one observation, with its highest segment's confidence. Its place is the asset's `source_id`, be there
a beacon of this id or not, active or not; without one, the upload is a place of its own. So no detection is ever lost
for want of a beacon, and the opening's timeline entry says what was known of the place.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from shared.delivery import Attempt, Consumer, Outcome, Work, work_for
from shared.domain.assets import Asset
from shared.domain.incidents import Observation, SignalKind
from shared.domain.stages import Stage
from shared.handlers import observe, places
from shared.messages import MediaDetected, decode
from shared.repositories import assets


@dataclass(frozen=True)
class Deps:
    """What correlate needs of the world."""

    observe: observe.Deps


def prepare(message: MediaDetected, _: Deps) -> Work | None:
    """The piece of work of this object's generation."""
    return work_for(message, Stage.CORRELATE)


def handle(message: MediaDetected, deps: Deps, attempt: Attempt) -> Outcome:
    """Plans the observation of an upload in which something was detected; nothing to do for the others.

    A detection is one observation: replayed, it stays with the incident it has, and otherwise two replays at once make
    one signal, because the later commit fails and is decided again.
    """
    if not message.segments:
        return Outcome()
    asset, version = assets.get_with_version(deps.observe.documents, attempt.asset_id)
    if message.replay is not None and Stage.CORRELATE in asset.observed_by:
        return Outcome()
    return observed(_observation(message, asset), asset, version, Stage.CORRELATE, deps.observe)


def observed(observation: Observation, asset: Asset, version: str, stage: Stage, deps: observe.Deps) -> Outcome:
    """The observation, made at the asset's place by `stage`; the asset, as it was read, keeps the incident it joins."""
    plan = observe.plan(observation, places.of_source(deps.documents, asset.source_id), deps)
    joined = () if plan.incident is None else (assets.joining(asset, plan.incident.id, stage, version),)
    return Outcome(writes=(*plan.writes, *joined), messages=plan.messages)


def _observation(message: MediaDetected, asset: Asset) -> Observation:
    first = message.segments[0]
    last = message.segments[-1]
    count = len(message.segments)
    found = Observation(
        kind=SignalKind.VIOLENCE,
        beacon_id=places.id_of(asset),
        confidence=message.confidence,
        description=f"Detected {first.type} from {first.start:.1f} s to {last.end:.1f} s of an upload",
        device_id=message.model,
        asset_id=asset.id,
    )
    return found if count == 1 else replace(found, description=f"{found.description}, in {count} segments")


consumer: Consumer[MediaDetected, Deps] = Consumer(Stage.CORRELATE, partial(decode, MediaDetected), prepare, handle)
