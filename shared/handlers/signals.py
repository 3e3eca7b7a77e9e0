"""A device reports a signal and is answered at once: logged, attached, or an incident opened."""

from __future__ import annotations

from dataclasses import dataclass

from shared.delivery import MAX_CONFLICTS
from shared.domain.incidents import Observation
from shared.errors import AlreadyExists, Permanent, Retryable, VersionConflict
from shared.handlers import observe
from shared.outbox import outbox_of, publish_at_once, saved
from shared.ports import Bus
from shared.repositories import beacons


@dataclass(frozen=True)
class Deps:
    """What a report needs of the world."""

    observe: observe.Deps
    bus: Bus


@dataclass(frozen=True)
class Report:
    """What became of an observation, and where."""

    plan: observe.Plan
    location: str


def report(observation: Observation, deps: Deps) -> Report:
    """Stores the observation and its consequences in one commit, then publishes them.

    Raises `Permanent` for an unknown or inactive beacon, `Retryable` when the store is unavailable.
    """
    beacon = beacons.find(deps.observe.documents, observation.beacon_id)
    if beacon is None or not beacon.active:
        raise Permanent("beacon_unavailable", "Beacon not found or inactive")
    for _ in range(MAX_CONFLICTS):
        plan = observe.plan(observation, beacon.place, deps.observe)
        try:
            _store_and_publish(plan, deps)
        except (AlreadyExists, VersionConflict):
            continue  # another signal opened the incident, or raised it, in the meantime
        return Report(plan, beacon.location)
    raise Retryable("the beacon's incident is contended")


def _store_and_publish(plan: observe.Plan, deps: Deps) -> None:
    key = f"signal:{plan.event.id}"
    now = plan.event.created_at
    outbox = outbox_of(key, plan.messages, now)
    documents = deps.observe.documents
    documents.commit([*plan.writes, *([saved(key, outbox, now)] if outbox else [])])
    if outbox:
        publish_at_once(documents, deps.bus, key, outbox, now)
