"""How an alert goes on: whom to ask next, when to wait, and when it is over. Pure: nothing is sent or stored here.

    opened or raised        round over         round over              nobody is left
    ───●── ask 5, 3 or 2 ──────●── ask the next ──●── … ───────────────────●── EXHAUSTED
       └─ 45 s for an answer ──┘   (at once where all have declined)

Somebody accepts, takes the incident over or resolves it: the alert is over. A rise in priority has an alert of its own,
which supersedes the earlier one and may ask everybody again: who declined before comes last then, and who accepted
before first, for it is their incident. After a call about a place, others that are no more urgent can be suppressed for
a while (cool-down); a suppressed alert calls nobody, and starts no cool-down of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from shared.domain.alerts import (
    Alert,
    AlertCause,
    AlertDelivery,
    AlertEvent,
    AlertState,
    Answer,
    Ask,
    Channel,
    Passed,
    PlaceCall,
    delivery_id,
)
from shared.domain.guards import Guard, PassReason, unavailable
from shared.domain.incidents import Incident, IncidentStatus, Priority

RESPONSE_TIME = timedelta(seconds=45)
FAN_OUT: Mapping[Priority, int] = {Priority.CRITICAL: 5, Priority.HIGH: 3, Priority.MEDIUM: 2}
"""How many guards a round asks (SPEC §4)."""

EVENT_OF: Mapping[AlertCause, AlertEvent] = {
    AlertCause.OPENED: AlertEvent.OPENED,
    AlertCause.RAISED: AlertEvent.RAISED,
}
"""What guards and webhooks are told when an alert begins."""


class AlertReason(StrEnum):
    """Why an alert waits, asks, or is over."""

    ALREADY_OVER = "already_over"
    AWAITING_ANSWERS = "awaiting_answers"
    FIRST_ROUND = "first_round"
    ALL_DECLINED = "all_declined"
    DEADLINE_PASSED = "deadline_passed"
    ACCEPTED = "accepted"
    PRIORITY_RAISED = "priority_raised"
    COOL_DOWN = "cool_down"
    INCIDENT_GONE = "incident_gone"
    INCIDENT_RESOLVED = "incident_resolved"
    INCIDENT_ACKNOWLEDGED = "incident_acknowledged"
    INCIDENT_ASSIGNED = "incident_assigned"
    INCIDENT_IN_PROGRESS = "incident_in_progress"
    NO_GUARDS = "no_guards"
    NOBODY_AVAILABLE = "nobody_available"
    NOBODY_LEFT = "nobody_left"


STATES: Mapping[AlertReason, AlertState] = {
    AlertReason.ACCEPTED: AlertState.ACCEPTED,
    AlertReason.PRIORITY_RAISED: AlertState.SUPERSEDED,
    AlertReason.COOL_DOWN: AlertState.SUPPRESSED,
    AlertReason.INCIDENT_GONE: AlertState.ENDED,
    AlertReason.INCIDENT_RESOLVED: AlertState.ENDED,
    AlertReason.INCIDENT_ACKNOWLEDGED: AlertState.ENDED,
    AlertReason.INCIDENT_ASSIGNED: AlertState.ENDED,
    AlertReason.INCIDENT_IN_PROGRESS: AlertState.ENDED,
    AlertReason.NO_GUARDS: AlertState.EXHAUSTED,
    AlertReason.NOBODY_AVAILABLE: AlertState.EXHAUSTED,
    AlertReason.NOBODY_LEFT: AlertState.EXHAUSTED,
}
"""The final state that each reason leads to."""

TAKEN_STATUSES: Mapping[IncidentStatus, AlertReason] = {
    IncidentStatus.ASSIGNED: AlertReason.INCIDENT_ASSIGNED,
    IncidentStatus.IN_PROGRESS: AlertReason.INCIDENT_IN_PROGRESS,
}


@dataclass(frozen=True)
class Situation:
    """What is known when an alert is looked at.

    `guards`: all of the place, whether or not they can be called now; `called`: when each was last. `others`: the
    incident's other alerts. `last_call`: the place's. `taken_over`: whether anybody acknowledged the incident or took
    it on since its priority is what the alert tells of.
    """

    incident: Incident | None
    guards: Sequence[Guard]
    called: Mapping[str, datetime]
    others: Sequence[Alert] = ()
    last_call: PlaceCall | None = None
    taken_over: bool = True


@dataclass(frozen=True)
class Decision:
    """What happens to an alert: `alert` is as it is afterwards, `asked` whom this round asks."""

    reason: AlertReason
    alert: Alert
    asked: tuple[Guard, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether there is anything to store."""
        return self.reason not in {AlertReason.ALREADY_OVER, AlertReason.AWAITING_ANSWERS}

    @property
    def calls(self) -> bool:
        """Whether somebody is called, or would have been if anybody were there: that begins a cool-down."""
        return bool(self.asked) or (self.alert.state is AlertState.EXHAUSTED and self.alert.round == 0)


def decide(alert: Alert, seen: Situation, now: datetime, cool_down: timedelta | None) -> Decision:
    """What to do with an alert now. A new one has round 0. Deciding again changes nothing until something happens."""
    if alert.state is not AlertState.ACTIVE:
        return Decision(AlertReason.ALREADY_OVER, alert)
    end = _end_of(alert, seen, now, cool_down)
    if end is not None:
        return _over(alert, end, seen, now)
    due = _why_next(alert, now)
    if due is None:
        return Decision(AlertReason.AWAITING_ANSWERS, alert)
    ready = in_order(alert, seen, now)[: FAN_OUT[alert.priority]]
    if not ready:
        return _over(_unanswered(alert, now), _why_nobody(alert, seen), seen, now)
    return _ask(_unanswered(alert, now), ready, due, seen, now)


def in_order(alert: Alert, seen: Situation, now: datetime) -> list[Guard]:
    """Who can be called now and was not asked yet, in the order in which they are.

    Who accepted an earlier alert of the incident first, who declined one last; then those named for the very place;
    then by rank; then who was called longest ago, or never; then by id.
    """
    asked = {ask.guard_id for ask in alert.asks}
    earlier = {ask.guard_id: ask.answer for other in seen.others for ask in other.asks}
    standing = {Answer.ACCEPTED: 0, Answer.DECLINED: 2}

    def key(guard: Guard) -> tuple[int, bool, int, float, str]:
        called = seen.called.get(guard.id)
        answer = earlier.get(guard.id)
        return (
            1 if answer is None else standing.get(answer, 1),
            not guard.is_named_for(alert.beacon_id),
            guard.rank,
            0.0 if called is None else called.timestamp(),
            guard.id,
        )

    free = [one for one in seen.guards if one.id not in asked and unavailable(one, alert.priority, now) is None]
    return sorted(free, key=key)


def is_taken(incident: Incident) -> AlertReason | None:
    """Why nobody further need be called about an incident that is open: somebody has it."""
    if incident.status in TAKEN_STATUSES:
        return TAKEN_STATUSES[incident.status]
    return None if incident.acknowledged_by is None else AlertReason.INCIDENT_ACKNOWLEDGED


def is_moot(alert: Alert, incident: Incident | None) -> bool:
    """Whether nobody need hear of the alert any more, who was to be called and could not be reached so far.

    As long as nobody has the incident, somebody may still accept when all rounds are over (`alert_answers.accept`).
    """
    if alert.state is AlertState.ACTIVE:
        return False
    if alert.state is not AlertState.EXHAUSTED or incident is None:
        return True
    over = incident.status is IncidentStatus.RESOLVED or is_taken(incident) is not None
    return over or incident.priority is not alert.priority


def is_declined(alert: Alert) -> bool:
    """Whether everybody whom the present round asks has said no, so that nothing is left to wait for."""
    asks = [ask for ask in alert.asks if ask.round == alert.round]
    return bool(asks) and all(ask.answer is Answer.DECLINED for ask in asks)


def round_deliveries(decision: Decision, now: datetime) -> tuple[AlertDelivery, ...]:
    """One push to everybody whom this round asks."""
    alert = decision.alert
    event = EVENT_OF[alert.cause]
    return tuple(_delivery(alert, event, Channel.PUSH, guard.id, alert.round, now) for guard in decision.asked)


def webhook_deliveries(alert: Alert, event: AlertEvent, webhooks: Sequence[str], now: datetime) -> list[AlertDelivery]:
    """One message of the event to each of the webhooks, which an alert has once."""
    return [_delivery(alert, event, Channel.WEBHOOK, webhook, 0, now) for webhook in webhooks]


def webhook_events(before: Alert | None, after: Alert) -> tuple[AlertEvent, ...]:
    """What webhooks are told of a change: that an alert began (`before` None; not if suppressed), that it exhausted."""
    began = before is None and after.state is not AlertState.SUPPRESSED
    exhausted = after.state is AlertState.EXHAUSTED and (before is None or before.state is AlertState.ACTIVE)
    begun = (EVENT_OF[after.cause],) if began else ()
    return (*begun, AlertEvent.EXHAUSTED) if exhausted else begun


def _end_of(alert: Alert, seen: Situation, now: datetime, cool_down: timedelta | None) -> AlertReason | None:
    if any(other.priority.rank > alert.priority.rank for other in seen.others):
        return AlertReason.PRIORITY_RAISED
    if seen.incident is None:
        return AlertReason.INCIDENT_GONE
    if seen.incident.status is IncidentStatus.RESOLVED:
        return AlertReason.INCIDENT_RESOLVED
    taken = is_taken(seen.incident) if seen.taken_over else None
    if taken is not None:
        return taken
    cooling = alert.round == 0 and _is_cooling(alert, seen.last_call, now, cool_down)
    return AlertReason.COOL_DOWN if cooling else None


def _is_cooling(alert: Alert, last: PlaceCall | None, now: datetime, cool_down: timedelta | None) -> bool:
    if cool_down is None or last is None or last.alert_id == alert.id:
        return False
    return now - last.called_at < cool_down and alert.priority.rank <= last.priority.rank


def _why_next(alert: Alert, now: datetime) -> AlertReason | None:
    """Why it is time for the next round; None: it is not."""
    if alert.deadline is None:
        return AlertReason.FIRST_ROUND
    if is_declined(alert):
        return AlertReason.ALL_DECLINED
    return AlertReason.DEADLINE_PASSED if now >= alert.deadline else None


def _why_nobody(alert: Alert, seen: Situation) -> AlertReason:
    if alert.asks:
        return AlertReason.NOBODY_LEFT
    return AlertReason.NOBODY_AVAILABLE if seen.guards else AlertReason.NO_GUARDS


def _unanswered(alert: Alert, now: datetime) -> Alert:
    """The alert with a round that is over: who said nothing has said nothing."""
    asks = tuple(
        replace(ask, answer=Answer.NO_ANSWER, answered_at=now) if ask.answer is None else ask for ask in alert.asks
    )
    return replace(alert, asks=asks)


def _ask(alert: Alert, ready: Sequence[Guard], reason: AlertReason, seen: Situation, now: datetime) -> Decision:
    number = alert.round + 1
    asks = (*alert.asks, *(Ask(guard.id, guard.name, number, now) for guard in ready))
    asking = replace(alert, round=number, deadline=now + RESPONSE_TIME, asks=asks)
    return Decision(reason, _stored(alert, _with_passed(asking, seen, now)), tuple(ready))


def _over(alert: Alert, reason: AlertReason, seen: Situation, now: datetime) -> Decision:
    ended = replace(alert, state=STATES[reason], because=reason.value, deadline=None, ended_at=now)
    return Decision(reason, _stored(alert, _with_passed(ended, seen, now)))


def _stored(before: Alert, after: Alert) -> Alert:
    """A new alert is stored with revision 1; each change after that counts."""
    return after if before.round == 0 else replace(after, revision=before.revision + 1)


def _with_passed(alert: Alert, seen: Situation, now: datetime) -> Alert:
    asked = {ask.guard_id for ask in alert.asks}
    passed = [
        Passed(guard.id, (unavailable(guard, alert.priority, now) or PassReason.NOT_REACHED).value)
        for guard in sorted(seen.guards, key=lambda each: each.id)
        if guard.id not in asked
    ]
    return replace(alert, passed=tuple(passed))


def _delivery(
    alert: Alert, event: AlertEvent, channel: Channel, target: str, round_number: int, now: datetime
) -> AlertDelivery:
    return AlertDelivery(
        id=delivery_id(alert.id, event, channel, target, round_number),
        alert_id=alert.id,
        incident_id=alert.incident_id,
        event=event,
        channel=channel,
        target=target,
        created_at=now,
        due=now,
        round=round_number,
    )
