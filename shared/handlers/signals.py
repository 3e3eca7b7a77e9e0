"""A device reports a signal and is answered at once: logged, attached, or an incident opened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shared.delivery import MAX_CONFLICTS
from shared.domain.incidents import Beacon, Observation
from shared.errors import AlreadyExists, Permanent, Retryable, VersionConflict
from shared.handlers import observe
from shared.outbox import outbox_of, publish_at_once, saved
from shared.ports import Bus, Documents, Write
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


class OutcomeUnknown(Retryable):
    """The store did not say whether the commit took place."""


Companions = Callable[[Report], Sequence[Write]]
"""What shall be stored in the same commit, made anew for every plan; what it raises ends the report, unstored."""


def nothing_more(_: Report) -> Sequence[Write]:
    """The companions of a report that has none."""
    return ()


def report(observation: Observation, deps: Deps, alongside: Companions = nothing_more) -> Report:
    """Stores the observation and its consequences in one commit, then publishes them.

    Raises `Permanent` for an unknown or inactive beacon, `OutcomeUnknown`, and `Retryable` when the store is
    unavailable and nothing was stored.
    """
    beacon = place_of(observation, deps.observe.documents)
    for _ in range(MAX_CONFLICTS):
        planned = Report(observe.plan(observation, beacon.place, deps.observe), beacon.location)
        writes = [*planned.plan.writes, *alongside(planned)]
        try:
            _store_and_publish(planned.plan, writes, deps)
        except (AlreadyExists, VersionConflict):
            continue  # another signal opened the incident, or raised it, in the meantime
        return planned
    raise Retryable("the beacon's incident is contended")


def place_of(observation: Observation, documents: Documents) -> Beacon:
    """The beacon of an observation. Raises `Permanent` if it is unknown or inactive."""
    beacon = beacons.find(documents, observation.beacon_id)
    if beacon is None or not beacon.active:
        raise Permanent("beacon_unavailable", "Beacon not found or inactive")
    return beacon


def _store_and_publish(plan: observe.Plan, writes: Sequence[Write], deps: Deps) -> None:
    key = f"signal:{plan.event.id}"
    now = plan.event.created_at
    outbox = outbox_of(key, plan.messages, now)
    documents = deps.observe.documents
    try:
        documents.commit([*writes, *([saved(key, outbox, now)] if outbox else [])])
    except Retryable as error:
        raise OutcomeUnknown("the store did not say whether the signal is stored") from error
    if outbox:
        publish_at_once(documents, deps.bus, key, outbox, now)
