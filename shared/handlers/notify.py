"""Alerts: an incident that opened or became more urgent calls guards, round by round, until somebody has it (SPEC §4).

Everything that is heard leads to one of two steps, and both may be repeated, by anybody, in any order:

- *begin*: an opening or a rise that has no alert yet gets one, together with its first round, the deliveries of that
  round and what webhooks are told, in one commit;
- *advance*: an alert is looked at as it is now. Whatever `domain/alert_rounds.py` decides is one commit on the version
  that was read. Then the timer of the round is set and what is to be sent is sent (`delivering.attempt_due`).

Who dies in between is followed by the next delivery of the same message; a timer that is lost, by the sweeper.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared import ids
from shared.delivery import MAX_CONFLICTS
from shared.domain import alert_rounds
from shared.domain.alert_rounds import Decision, Situation
from shared.domain.alerts import Alert, AlertCause, AlertState, PlaceCall, alert_id
from shared.domain.incident_changes import Action
from shared.domain.incidents import Incident, Priority
from shared.domain.webhooks import TEST_PREFIX
from shared.errors import AlreadyExists, Malformed, Retryable, VersionConflict
from shared.messages import AlertDue, IncidentChanged, IncidentOpened, decode, encode
from shared.ports import Clock, Delivery, Documents, Timers, Write
from shared.repositories import alerts, deliveries, guards, incident_timelines, incidents, webhooks

log = logging.getLogger(__name__)

TAKING_OVER = frozenset({Action.ACKNOWLEDGED, Action.ASSIGNED, Action.STARTED})
"""What somebody does who sees to an incident."""

ENTRIES_LOOKED_AT = 500
"""Of an incident's timeline, those after a rise; more than that within minutes is nothing people write."""

SKEW = timedelta(seconds=5)
"""How much a timer may come early by another machine's clock. It is then set anew, under a name of its own."""


@dataclass(frozen=True)
class Deps:
    """What alerting needs of the world.

    `deliver` tries what is due of an alert's deliveries (`delivering.attempt_due`). `cool_down`: for how long after a
    call about a place others that are no more urgent are suppressed; None: never.
    """

    documents: Documents
    clock: Clock
    timers: Timers
    deliver: Callable[[str], object]
    cool_down: timedelta | None = None


def handle(delivery: Delivery, deps: Deps) -> None:
    """Handles a message of any of the topics. Raises `Permanent` for one that can't be read or speaks of nothing."""
    kind = delivery.attributes.get("ce-type", "")
    reader = READERS.get(kind)
    if reader is None:
        raise Malformed("unexpected_type", f"Alerts know no messages of type {kind[:100]!r}.")
    reader(delivery, deps)


def incident_opened(message: IncidentOpened, deps: Deps) -> None:
    """An incident opened: its first alert."""
    new = Alert(
        id=alert_id(message.incident_id, _priority(message.priority)),
        incident_id=message.incident_id,
        beacon_id=message.beacon_id,
        beacon_location=message.beacon_location,
        priority=_priority(message.priority),
        cause=AlertCause.OPENED,
        signal_id=message.signal_id,
        created_at=deps.clock.now(),
    )
    _begin(new, deps)
    _advance_all(message.incident_id, deps)


def incident_changed(message: IncidentChanged, deps: Deps) -> None:
    """A rise has an alert of its own; whatever else happened may end those that are under way."""
    if message.change == Action.PRIORITY_RAISED:
        _begin(_of_rise(message, deps), deps)
    _advance_all(message.incident_id, deps)


def alert_due(message: AlertDue, deps: Deps) -> None:
    """It is time to look at an alert. Raises `NotFound`."""
    if message.alert_id.startswith(TEST_PREFIX):  # of a webhook, which belongs to no alert
        deps.deliver(message.alert_id)
        return
    _advance([message.alert_id], deps)


def _of_rise(message: IncidentChanged, deps: Deps) -> Alert:
    incident = incidents.get(deps.documents, message.incident_id)
    priority = _priority(message.priority)
    return Alert(
        id=alert_id(incident.id, priority),
        incident_id=incident.id,
        beacon_id=incident.beacon_id,
        beacon_location=incident.beacon_location,
        priority=priority,
        cause=AlertCause.RAISED,
        signal_id=message.signal_id,
        created_at=deps.clock.now(),
        incident_revision=max(message.revision, 1),
    )


def _begin(new: Alert, deps: Deps) -> None:
    """Stores the alert with its first round, unless this opening or rise has one."""
    for _ in range(MAX_CONFLICTS):
        if alerts.find(deps.documents, new.id) is not None:
            return
        try:
            _step(new, None, deps)
        except (AlreadyExists, VersionConflict):
            continue  # somebody else began it, or another one of this place
        return
    raise Retryable("the alerts of the place are contended")


def _advance_all(incident_id: str, deps: Deps) -> None:
    """Looks at all alerts of an incident, the most urgent first."""
    _advance([alert.id for alert, _ in reversed(alerts.of_incident(deps.documents, incident_id))], deps)


def _advance(alert_ids: Sequence[str], deps: Deps) -> None:
    """Takes alerts as far as they go now, then sends what is to be sent: a delivery that hangs holds up no decision.

    Each step is tried whatever becomes of the others, so that guards are called while no timer can be set; what failed
    is raised afterwards.
    """
    with ExitStack() as steps:  # which runs them in the reverse order
        for which in reversed(alert_ids):
            steps.callback(deps.deliver, which)
        for which in reversed(alert_ids):
            steps.callback(_look_at, which, deps)


def _look_at(which: str, deps: Deps) -> None:
    _set_timer(_advanced(which, deps), deps)


def _advanced(which: str, deps: Deps) -> Alert:
    for _ in range(MAX_CONFLICTS):
        alert, version = alerts.get(deps.documents, which)
        try:
            return _step(alert, version, deps).alert
        except VersionConflict:
            continue  # a guard answered, or another worker was quicker
    raise Retryable("the alert is contended")


def _step(alert: Alert, version: str | None, deps: Deps) -> Decision:
    """Decides upon an alert as it was read (`version` None: a new one) and stores what follows, all or nothing."""
    now = deps.clock.now()
    if alert.state is not AlertState.ACTIVE:
        return Decision(alert_rounds.AlertReason.ALREADY_OVER, alert)
    last = alerts.last_call_of(deps.documents, alert.beacon_id) if version is None else None
    seen = _situation(alert, last[0] if last else None, deps)
    decision = alert_rounds.decide(alert, seen, now, deps.cool_down)
    if not decision.changes:
        return decision
    writes = [_alert_write(decision.alert, version), *_consequences(alert, version, decision, now, deps)]
    if version is None and decision.calls:
        call = PlaceCall(alert.beacon_id, alert.id, alert.priority, now)
        writes.append(alerts.call_write(call, last[1] if last else None))
    deps.documents.commit(writes)
    _tell(decision)
    return decision


def _situation(alert: Alert, last: PlaceCall | None, deps: Deps) -> Situation:
    found = incidents.find(deps.documents, alert.incident_id)
    incident = found[0] if found else None
    registered = guards.of_place(deps.documents, alert.beacon_id)
    return Situation(
        incident=incident,
        guards=registered,
        called=guards.last_calls(deps.documents, registered),
        others=[other for other, _ in alerts.of_incident(deps.documents, alert.incident_id) if other.id != alert.id],
        last_call=last,
        taken_over=incident is not None and _taken_over_since(alert, incident, deps),
    )


def _taken_over_since(alert: Alert, incident: Incident, deps: Deps) -> bool:
    """Whether somebody took the incident over knowing what the alert tells. Before it opened nobody could."""
    if alert_rounds.is_taken(incident) is None or alert.incident_revision == 1:
        return True
    first = max(alert.incident_revision, incident.revision - ENTRIES_LOOKED_AT)
    entries = incident_timelines.between(deps.documents, incident.id, first, incident.revision)
    return any(entry.action in TAKING_OVER for entry in entries)


def _alert_write(alert: Alert, version: str | None) -> Write:
    return alerts.creation(alert) if version is None else alerts.update(alert, version)


def _consequences(
    before: Alert, version: str | None, decision: Decision, now: datetime, deps: Deps
) -> tuple[Write, ...]:
    """What is planned with the alert's change: a push to everybody asked, and what webhooks are told."""
    after = decision.alert
    planned = [*alert_rounds.round_deliveries(decision, now)]
    for event in alert_rounds.webhook_events(None if version is None else before, after):
        told = [webhook.id for webhook in webhooks.interested(deps.documents, event, after.beacon_id)]
        planned += alert_rounds.webhook_deliveries(after, event, told, now)
    creations = [deliveries.creation(delivery) for delivery in planned]
    return (*creations, *guards.call_writes(decision.asked, now))


def _set_timer(alert: Alert, deps: Deps) -> None:
    """Asks to be told when the round is over. Asking again under the same name does nothing."""
    if alert.state is not AlertState.ACTIVE or alert.deadline is None:
        return
    now = deps.clock.now()
    early = alert.deadline - now < SKEW
    name = f"{alert.id}:{alert.round}" + (":again" if early else "")
    message = encode(AlertDue(alert_id=alert.id), message_id=ids.derived_uuid(name), now=now)
    deps.timers.publish_at(alert.deadline, message, name=name)


def _tell(decision: Decision) -> None:
    alert = decision.alert
    if alert.state is AlertState.EXHAUSTED:
        log.error("alert %s: %s; nobody has taken the incident", alert.id, decision.reason)
        return
    asked = ", ".join(guard.id for guard in decision.asked)
    log.info("alert %s: %s, now %s%s", alert.id, decision.reason, alert.state, f", asks {asked}" if asked else "")


def _priority(text: str) -> Priority:
    try:
        return Priority(text)
    except ValueError:
        raise Malformed("invalid_fields", f"There is no priority {text[:100]!r}.") from None


READERS: Mapping[str, Callable[[Delivery, Deps], None]] = {
    IncidentOpened.TYPE: lambda delivery, deps: incident_opened(decode(IncidentOpened, delivery), deps),
    IncidentChanged.TYPE: lambda delivery, deps: incident_changed(decode(IncidentChanged, delivery), deps),
    AlertDue.TYPE: lambda delivery, deps: alert_due(decode(AlertDue, delivery), deps),
}
"""What each type of message leads to."""
