"""An alert as a story: what happened in it, moment by moment. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import groupby

from shared.domain.alerts import Alert, Ask
from shared.domain.incidents import Priority

ROUND = 1000
"""More than the guards of one round: numbers of what happens in a round begin with the round's."""

LAST = 1_000_000
"""Beyond the numbers of all rounds: the end; and so many lie between one alert and the more urgent one after it."""


class AlertStep(StrEnum):
    """What happened."""

    RAISED = "raised"
    ASKED = "asked"
    ANSWERED = "answered"
    ENDED = "ended"


@dataclass(frozen=True)
class AlertMoment:
    """One moment of an alert. `number` is larger for what comes later, in all alerts of one incident.

    RAISED: somebody is to be called, `because` of the incident's opening or rise. ASKED: these `guards`, by name.
    ANSWERED: the one guard, whose answer `because` is, with their `reason`. ENDED: in the state that `because` is,
    `reason` says why.
    """

    alert_id: str
    priority: Priority
    at: datetime
    number: int
    step: AlertStep
    because: str
    round: int = 0
    guards: tuple[str, ...] = ()
    reason: str | None = None


def moments(alert: Alert) -> list[AlertMoment]:
    """All that happened in the alert so far, in order of time."""
    return sorted((*_beginning(alert), *_rounds(alert), *_end(alert)), key=lambda moment: (moment.at, moment.number))


def _beginning(alert: Alert) -> Iterator[AlertMoment]:
    yield _moment(alert, alert.created_at, 0, AlertStep.RAISED, alert.cause)


def _rounds(alert: Alert) -> Iterator[AlertMoment]:
    for (number, at), asked in groupby(alert.asks, key=lambda ask: (ask.round, ask.asked_at)):
        asks = tuple(asked)
        names = tuple(ask.guard_name for ask in asks)
        yield _moment(alert, at, number * ROUND, AlertStep.ASKED, alert.cause, number, names)
        yield from _answers(alert, number, asks)


def _answers(alert: Alert, number: int, asks: tuple[Ask, ...]) -> Iterator[AlertMoment]:
    for place, ask in enumerate(asks, start=1):
        if ask.answer is not None and ask.answered_at is not None:
            order = number * ROUND + place
            names = (ask.guard_name,)
            yield _moment(alert, ask.answered_at, order, AlertStep.ANSWERED, ask.answer, number, names, ask.reason)


def _end(alert: Alert) -> Iterator[AlertMoment]:
    if alert.ended_at is not None:
        yield _moment(alert, alert.ended_at, LAST - 1, AlertStep.ENDED, alert.state, reason=alert.because)


def _moment(
    alert: Alert,
    at: datetime,
    number: int,
    step: AlertStep,
    because: str,
    round_number: int = 0,
    guards: tuple[str, ...] = (),
    reason: str | None = None,
) -> AlertMoment:
    """`number` within the alert becomes one within the incident: its alerts differ in priority, which only rises."""
    number += alert.priority.rank * LAST
    return AlertMoment(alert.id, alert.priority, at, number, step, str(because), round_number, guards, reason)
