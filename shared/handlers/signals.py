"""A device reports a signal and is answered at once: logged, attached, or an incident opened."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from shared import ids
from shared.delivery import MAX_CONFLICTS
from shared.domain.incidents import Beacon, Observation
from shared.domain.stages import WorkRecord, WorkState
from shared.errors import AlreadyExists, Permanent, Retryable, VersionConflict
from shared.handlers import observe
from shared.outbox import outbox_of, publish_outbox, publish_pending
from shared.ports import Bus, Documents, OutgoingMessage, Write
from shared.repositories import beacons, work

log = logging.getLogger(__name__)

PATIENCE = timedelta(seconds=30)
"""How long a saved outbox is left to the request that saved it."""

PENDING_AT_ONCE = 20


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
        planned = Report(observe.plan(observation, beacon.location, deps.observe), beacon.location)
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
    try:
        deps.observe.documents.commit([*writes, *_outbox_write(key, plan, outbox)])
    except Retryable as error:
        raise OutcomeUnknown("the store did not say whether the signal is stored") from error
    if not outbox:
        return
    try:
        publish_outbox(deps.observe.documents, deps.bus, key, outbox)
        publish_pending(deps.observe.documents, deps.bus, now, limit=PENDING_AT_ONCE)
    except Exception:
        # The signal is stored, so the device must be told so and not send it again. The next opening tries the outbox
        # again, as it does for a process that died here.
        log.exception("the incident's message waits in the outbox")


def _outbox_write(key: str, plan: observe.Plan, outbox: list[OutgoingMessage]) -> list[Write]:
    if not outbox:
        return []
    now = plan.event.created_at
    record = WorkRecord(WorkState.DONE, ids.new_uuid(), 1, now + PATIENCE, published=False)
    return [work.finished(key, record, outbox)]
