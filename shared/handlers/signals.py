"""A device reports a signal and is answered at once: logged, attached, or an incident opened."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta

from shared import ids
from shared.delivery import MAX_CONFLICTS
from shared.domain.incidents import Observation
from shared.domain.stages import WorkRecord, WorkState
from shared.errors import AlreadyExists, Permanent, Retryable, VersionConflict
from shared.handlers import observe
from shared.outbox import outbox_of, publish_outbox, publish_pending
from shared.ports import Bus, OutgoingMessage, Write
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
    deps.observe.documents.commit([*plan.writes, *_outbox_write(key, plan, outbox)])
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
