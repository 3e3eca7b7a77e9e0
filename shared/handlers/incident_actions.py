"""A person acts on an incident: one step, stored with its timeline entry and its news in one commit, or refused.

Whoever names the revision they saw is refused when the incident is no longer at it; whoever names none is believed to
mean the incident as it is, and the step is tried again on each change that comes in between.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass

from shared.delivery import MAX_CONFLICTS
from shared.domain import incident_steps
from shared.domain.incident_changes import Action, Change, Refusal, sentence_of
from shared.domain.incident_steps import Step
from shared.domain.incidents import Incident, Outcome
from shared.errors import (
    AlreadyExists,
    Conflict,
    InvalidKey,
    Malformed,
    NotFound,
    Permanent,
    Retryable,
    VersionConflict,
)
from shared.handlers import incident_labels, incident_records
from shared.handlers.incident_records import Deps, Planned
from shared.ports import Caller, Documents, Write
from shared.repositories import incidents

log = logging.getLogger(__name__)

AT_ONCE = 8
"""How many incidents of one bulk order are dealt with at a time."""


@dataclass(frozen=True)
class Order:
    """Who wants which step. `actor` is the name in the timeline; `revision` the one they saw, None: as it is now."""

    step: Step
    caller: Caller
    actor: str
    revision: int | None = None


class ActionRefused(Conflict):
    """The step can't be taken. `incident` is as it is, for the caller to look at."""

    def __init__(self, code: str, sentence: str, incident: Incident) -> None:
        super().__init__(code, sentence)
        self.incident = incident


@dataclass(frozen=True)
class Result:
    """What became of one incident of a bulk order: `incident` as it is now where it is known, `error` why not."""

    incident_id: str
    incident: Incident | None = None
    error: Permanent | Retryable | None = None


def act(incident_id: str, order: Order, deps: Deps) -> Incident:
    """Takes the step and publishes its news; gives the incident as it is then.

    Raises `Malformed` for texts that can't be kept, `NotFound` also for an incident that is not the caller's to see,
    `ActionRefused`, and `Retryable` (where the step may have been taken).
    """
    incident_steps.check(order.step)
    for _ in range(MAX_CONFLICTS):
        incident, version = visible(incident_id, order.caller, deps.documents)
        change = _decided(incident, order, deps)
        try:
            incident_records.store([Planned(incident, version, change)], _labels(change, deps), deps)
        except (AlreadyExists, VersionConflict):
            continue  # somebody else changed it in the meantime
        return change.incident
    raise Retryable("the incident is contended")


def act_on_each(incident_ids: Sequence[str], order: Order, deps: Deps) -> list[Result]:
    """The same step for each incident on its own, in the order named; one's failure is its own.

    Raises `Malformed` as `act`, before anything is done.
    """
    incident_steps.check(order.step)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        contexts = [(incident_id, copy_context()) for incident_id in dict.fromkeys(incident_ids)]
        running = [pool.submit(context.run, _result, incident_id, order, deps) for incident_id, context in contexts]
        return [future.result() for future in running]


def visible(incident_id: str, caller: Caller, documents: Documents) -> tuple[Incident, str]:
    """The incident with its version. Raises `NotFound`, also where it is not the caller's to see."""
    try:
        found = incidents.find(documents, incident_id)
    except InvalidKey:
        found = None  # no store could hold it, so nothing can be there
    if found is None or not caller.may_see(found[0].beacon_id):
        raise NotFound("unknown_incident", "No such incident.")
    return found


def _decided(incident: Incident, order: Order, deps: Deps) -> Change:
    if order.revision is not None and order.revision != incident.revision:
        sentence = f"The incident is at revision {incident.revision} by now, not {order.revision}: look at it again."
        raise ActionRefused("stale", sentence, incident)
    decided = incident_steps.take(order.step, incident, deps.clock.now(), actor=order.actor)
    if isinstance(decided, Change):
        return decided
    sentence = sentence_of(decided, incident)
    if decided is Refusal.NOTE_NEEDED:
        raise Malformed(decided.value, sentence)
    raise ActionRefused(decided.value, sentence, incident)


def _labels(change: Change, deps: Deps) -> Sequence[Write]:
    if change.entry.action is Action.RESOLVED and change.incident.outcome is Outcome.FALSE_ALARM:
        return incident_labels.of_false_alarm(change, deps.documents)
    return ()


def _result(incident_id: str, order: Order, deps: Deps) -> Result:
    try:
        return Result(incident_id, incident=act(incident_id, order, deps))
    except ActionRefused as error:
        return Result(incident_id, error.incident, error)
    except (Permanent, Retryable) as error:
        log.warning("%s of a bulk order: %s", incident_id, error)
        return Result(incident_id, error=error)
