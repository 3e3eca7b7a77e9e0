"""What guards answer when they are asked: who accepts has the incident, and only one does."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from enum import StrEnum

from shared.domain.alert_rounds import AlertReason
from shared.domain.alerts import Alert, AlertState, Answer, Ask


class AnswerRefusal(StrEnum):
    """Why an answer can't be taken."""

    NOT_ASKED = "not_asked"
    ACCEPTED_BY_ANOTHER = "accepted_by_another"
    ALREADY_ACCEPTED = "already_accepted"
    OVER = "over"


ANSWERABLE = frozenset({AlertState.ACTIVE, AlertState.EXHAUSTED})
"""The states in which somebody may still accept: also when all time is up, as long as nobody did."""


def accept(alert: Alert, guard_id: str, reason: str | None, now: datetime) -> Alert | AnswerRefusal:
    """The alert accepted by a guard whom it asked, early or late; the same alert if they had already."""
    ask = ask_of(alert, guard_id)
    if ask is None:
        return AnswerRefusal.NOT_ASKED
    if ask.answer is Answer.ACCEPTED:
        return alert
    if alert.state is AlertState.ACCEPTED:
        return AnswerRefusal.ACCEPTED_BY_ANOTHER
    if alert.state not in ANSWERABLE:
        return AnswerRefusal.OVER
    answered = _answered(alert, ask, Answer.ACCEPTED, reason, now)
    return replace(answered, state=AlertState.ACCEPTED, because=AlertReason.ACCEPTED.value, deadline=None, ended_at=now)


def decline(alert: Alert, guard_id: str, reason: str | None, now: datetime) -> Alert | AnswerRefusal:
    """The alert with a guard's no, which is written down whenever it comes; the same alert if it was already."""
    ask = ask_of(alert, guard_id)
    if ask is None:
        return AnswerRefusal.NOT_ASKED
    if ask.answer is Answer.ACCEPTED:
        return AnswerRefusal.ALREADY_ACCEPTED
    if ask.answer is Answer.DECLINED:
        return alert
    return _answered(alert, ask, Answer.DECLINED, reason, now)


def ask_of(alert: Alert, guard_id: str) -> Ask | None:
    """How the guard was asked, or None."""
    return next((ask for ask in alert.asks if ask.guard_id == guard_id), None)


def _answered(alert: Alert, ask: Ask, answer: Answer, reason: str | None, now: datetime) -> Alert:
    told = replace(ask, answer=answer, answered_at=now, reason=reason)
    asks = tuple(told if each is ask else each for each in alert.asks)
    return replace(alert, asks=asks, revision=alert.revision + 1)
