"""An alert is told moment by moment: who was called when, what they said, how it ended."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from shared.domain.alert_history import AlertStep, moments
from shared.domain.alerts import Alert, AlertCause, AlertState, Answer, Ask, alert_id
from shared.domain.incidents import Priority

OPENED = datetime(2026, 1, 16, 10, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return OPENED + timedelta(seconds=seconds)


def alert(priority: Priority = Priority.HIGH, cause: AlertCause = AlertCause.OPENED) -> Alert:
    return Alert(alert_id("i", priority), "i", "gate", "Front gate", priority, cause, 7, at(0))


def told(story: Alert) -> list[tuple[float, str, str, tuple[str, ...]]]:
    return [((m.at - OPENED).total_seconds(), m.step.value, m.because, m.guards) for m in moments(story)]


def test_two_rounds_and_an_acceptance() -> None:
    asks = (
        Ask("g1", "Ana", 1, at(1), Answer.DECLINED, at(20), "ill"),
        Ask("g2", "Ben", 1, at(1), Answer.NO_ANSWER, at(46)),
        Ask("g3", "Cem", 2, at(46), Answer.ACCEPTED, at(60)),
        Ask("g4", "Dan", 2, at(46)),
    )
    story = replace(alert(), asks=asks, state=AlertState.ACCEPTED, because="accepted", ended_at=at(60), round=2)
    assert told(story) == [
        (0, "raised", "opened", ()),
        (1, "asked", "opened", ("Ana", "Ben")),
        (20, "answered", "declined", ("Ana",)),
        (46, "answered", "no_answer", ("Ben",)),
        (46, "asked", "opened", ("Cem", "Dan")),
        (60, "answered", "accepted", ("Cem",)),
        (60, "ended", "accepted", ()),
    ]
    assert [moment.reason for moment in moments(story) if moment.reason] == ["ill", "accepted"]


def test_a_suppressed_one_is_told_too() -> None:
    story = replace(alert(), state=AlertState.SUPPRESSED, because="cool_down", ended_at=at(0))
    assert told(story) == [(0, "raised", "opened", ()), (0, "ended", "suppressed", ())]


def test_what_is_told_keeps_its_number_while_the_story_goes_on() -> None:
    before = replace(alert(), asks=(Ask("g1", "Ana", 1, at(1)),), round=1)
    after = replace(
        before,
        asks=(Ask("g1", "Ana", 1, at(1), Answer.NO_ANSWER, at(46)), Ask("g2", "Ben", 2, at(46))),
        state=AlertState.EXHAUSTED,
        ended_at=at(91),
    )
    assert set(moments(before)) <= set(moments(after))


def test_the_alerts_of_one_incident_share_no_number() -> None:
    ended = [replace(alert(priority), ended_at=at(0)) for priority in Priority]
    numbers = [moment.number for story in ended for moment in moments(story)]
    assert numbers == sorted(set(numbers))


def test_clocks_that_differ_do_not_disturb_the_order_of_time() -> None:
    story = replace(alert(), asks=(Ask("g1", "Ana", 1, at(-1), Answer.ACCEPTED, at(-2)),), round=1)
    assert [moment.step for moment in moments(story)] == [AlertStep.ANSWERED, AlertStep.ASKED, AlertStep.RAISED]
