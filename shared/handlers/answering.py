"""A guard answers an alert. Who accepts has the incident, in the same commit; the next one is told that it is taken."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from shared.delivery import MAX_CONFLICTS
from shared.domain import alert_answers, incident_changes
from shared.domain.alert_answers import AnswerRefusal
from shared.domain.alert_rounds import TAKEN_STATUSES, is_declined
from shared.domain.alerts import Alert, AlertCause, AlertState
from shared.domain.incident_changes import Change
from shared.domain.incidents import IncidentStatus
from shared.errors import AlreadyExists, Conflict, NotFound, Retryable, VersionConflict
from shared.handlers import incident_news
from shared.handlers.incident_records import Deps
from shared.messages import AlertDue, Message
from shared.outbox import outbox_of, publish_at_once, saved
from shared.ports import Caller, Documents, Write
from shared.repositories import alerts, incidents

log = logging.getLogger(__name__)

SENTENCES = {
    AnswerRefusal.NOT_ASKED: "This guard was not asked by this alert.",
    AnswerRefusal.ACCEPTED_BY_ANOTHER: "Another guard has accepted this alert.",
    AnswerRefusal.ALREADY_ACCEPTED: "This guard has accepted the alert; give the incident back to change that.",
    AnswerRefusal.OVER: "This alert is over: the incident was taken over, resolved, or alerted anew.",
}


@dataclass(frozen=True)
class GuardsAnswer:
    """What a guard says, and who sends it for them.

    In the incident's timeline the guard is who acts; who called, of which alert and for which guard are its details.
    """

    alert_id: str
    guard_id: str
    reason: str | None
    caller: Caller


class AnswerRefused(Conflict):
    """The answer can't be taken. `alert` is as it is, for the guard to look at."""

    def __init__(self, refusal: AnswerRefusal, alert: Alert) -> None:
        super().__init__(refusal.value, SENTENCES[refusal])
        self.alert = alert


def accept(answer: GuardsAnswer, deps: Deps) -> Alert:
    """The guard takes the incident: it is theirs from then on, unless somebody had it before its priority rose.

    The same acceptance again changes nothing. Raises `NotFound`, also for an alert of a place that is not the caller's
    to see, `AnswerRefused`, and `Retryable` (where the answer may have been taken).
    """
    for _ in range(MAX_CONFLICTS):
        alert, version = visible(answer.alert_id, answer.caller, deps.documents)
        now = deps.clock.now()
        accepted = _taken(alert_answers.accept(alert, answer.guard_id, answer.reason, now), alert)
        if accepted is alert:
            return alert
        writes, news = _assignment(alert, answer, deps)
        try:
            _store_and_publish(accepted, [alerts.update(accepted, version), *writes], news, deps)
        except (AlreadyExists, VersionConflict):
            continue  # another guard answered, or somebody acted on the incident
        log.info("alert %s: accepted by %s, sent by %s", alert.id, answer.guard_id, answer.caller.name)
        return accepted
    raise Retryable("the alert is contended")


def decline(answer: GuardsAnswer, deps: Deps) -> Alert:
    """The guard can't come. When nobody is left who might, the next round begins at once. Raises as `accept`."""
    for _ in range(MAX_CONFLICTS):
        alert, version = visible(answer.alert_id, answer.caller, deps.documents)
        declined = _taken(alert_answers.decline(alert, answer.guard_id, answer.reason, deps.clock.now()), alert)
        if declined is alert:
            return alert
        goes_on = declined.state is AlertState.ACTIVE and is_declined(declined)
        try:
            _store_and_publish(
                declined,
                [alerts.update(declined, version)],
                [AlertDue(alert_id=alert.id)] if goes_on else [],
                deps,
            )
        except (AlreadyExists, VersionConflict):
            continue
        log.info("alert %s: declined by %s, sent by %s", alert.id, answer.guard_id, answer.caller.name)
        return declined
    raise Retryable("the alert is contended")


def visible(alert_id: str, caller: Caller, documents: Documents) -> tuple[Alert, str]:
    """The alert with its version. Raises `NotFound`, also where it is not the caller's to see."""
    alert, version = alerts.get(documents, alert_id)
    if not caller.may_see(alert.beacon_id):
        raise NotFound("unknown_alert", "No such alert.")
    return alert, version


def _taken(answered: Alert | AnswerRefusal, present: Alert) -> Alert:
    if isinstance(answered, AnswerRefusal):
        raise AnswerRefused(answered, present)
    return answered


def _assignment(alert: Alert, answer: GuardsAnswer, deps: Deps) -> tuple[Sequence[Write], Sequence[Message]]:
    """What makes the incident the guard's; nothing where a rise finds that somebody has it already."""
    found = incidents.find(deps.documents, alert.incident_id)
    if found is None or found[0].status is IncidentStatus.RESOLVED:
        raise AnswerRefused(AnswerRefusal.OVER, alert)
    incident, version = found
    if incident.status in TAKEN_STATUSES and alert.cause is AlertCause.OPENED:
        raise AnswerRefused(AnswerRefusal.OVER, alert)
    ask = alert_answers.ask_of(alert, answer.guard_id)
    if incident.status in TAKEN_STATUSES or ask is None:
        return (), ()
    said = {"alert_id": alert.id, "guard_id": answer.guard_id, "sent_by": answer.caller.name}
    change = incident_changes.assign(
        incident, ask.guard_name, deps.clock.now(), actor=ask.guard_name, note=answer.reason, details=said
    )
    if not isinstance(change, Change):
        return (), ()
    return incidents.change_writes(change, version), (incident_news.changed(incident, change),)


def _store_and_publish(alert: Alert, writes: Sequence[Write], news: Sequence[Message], deps: Deps) -> None:
    now = deps.clock.now()
    key = f"alert-answer:{alert.id}:{alert.revision}"
    outbox = outbox_of(key, news, now)
    kept = [saved(key, outbox, now)] if outbox else []
    deps.documents.commit([*writes, *kept])
    if outbox:
        publish_at_once(deps.documents, deps.bus, key, outbox, now)
