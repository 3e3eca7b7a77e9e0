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
from datetime import datetime

from shared import ids
from shared.delivery import MAX_CONFLICTS
from shared.domain import incident_steps
from shared.domain.incident_changes import Action, Change, Refusal, sentence_of
from shared.domain.incident_steps import Step, TakenStep
from shared.domain.incidents import Incident, Outcome
from shared.domain.submissions import KEPT
from shared.errors import (
    AlreadyExists,
    Conflict,
    Malformed,
    Permanent,
    Retryable,
    VersionConflict,
)
from shared.handlers import incident_labels, incident_records
from shared.handlers.incident_records import Deps, Planned
from shared.handlers.visibility import visible_incident
from shared.ports import Caller, Write
from shared.repositories import idempotency, incidents

log = logging.getLogger(__name__)

AT_ONCE = 8
"""How many incidents of one bulk order are dealt with at a time."""


@dataclass(frozen=True)
class Order:
    """Who wants which step. `actor` is the name in the timeline; `revision` the one they saw, None: as it is now.

    The same `idempotency_key` of the same actor for the same incident means the same order, for a day.
    """

    step: Step
    caller: Caller
    actor: str
    revision: int | None = None
    idempotency_key: str | None = None


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
    """Takes the step and publishes its news, unless this order did so before; gives the incident as it is then.

    Raises `Malformed` for texts that can't be kept, `NotFound` also for an incident that is not the caller's to see,
    `ActionRefused`, `Conflict` where the key was used for another step, and `Retryable` (the step may have been taken).
    """
    incident_steps.check(order.step)
    for _ in range(MAX_CONFLICTS):
        incident, version = visible_incident(incident_id, order.caller, deps.documents)
        key = _Key.of(incident, order, deps)
        if key is not None and key.is_used:
            return incidents.get(deps.documents, incident_id)
        change = _decided(incident, order, deps)
        extra = [*_labels(change, deps), *([] if key is None else [key.write(change)])]
        try:
            incident_records.store([Planned(incident, version, change)], extra, deps)
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


@dataclass(frozen=True)
class _Key:
    """The order's own name, looked up after the incident was read: a step that is missing there is not in the other."""

    id: str
    content: str
    held: TakenStep | None
    held_version: str | None
    now: datetime

    @classmethod
    def of(cls, incident: Incident, order: Order, deps: Deps) -> _Key | None:
        """None where the client gave none. Raises `Conflict` for one that was used for another step."""
        if order.idempotency_key is None:
            return None
        record_id = ids.derived_uuid("incident-step", incident.id, order.actor, order.idempotency_key)
        held, version = idempotency.find_step(deps.documents, record_id) or (None, None)
        key = cls(record_id, incident_steps.content_of(order.step), held, version, deps.clock.now())
        if key.is_used and held is not None and held.content != key.content:
            raise Conflict("key_reused", "This Idempotency-Key was used for another step.")
        return key

    @property
    def is_used(self) -> bool:
        """Whether the step was taken under it, and not longer ago than that is remembered."""
        return self.held is not None and self.now < self.held.expires_at

    def write(self, change: Change) -> Write:
        """The write that remembers the step, in the step's own commit."""
        taken = TakenStep(self.id, self.content, change.incident.id, self.now, self.now + KEPT)
        return idempotency.writing(taken, self.held_version)


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
        return Result(incident_id, error=error)
    except Exception:
        log.exception("one incident of a bulk order failed")  # the others shall not
        return Result(incident_id, error=Retryable("failed for a reason that the log has"))
