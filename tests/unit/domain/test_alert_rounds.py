"""Whom an alert asks next, when it waits and why it is over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest

from shared.domain import alert_answers, alert_rounds
from shared.domain.alert_answers import AnswerRefusal
from shared.domain.alert_rounds import AlertReason, Decision, Situation, decide
from shared.domain.alerts import Alert, AlertCause, AlertEvent, AlertState, Answer, Passed, PlaceCall, alert_id
from shared.domain.guards import Guard, Hours, PassReason, Shift
from shared.domain.incidents import Incident, IncidentStatus, Priority

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DEADLINE = timedelta(seconds=45)
INCIDENT = Incident("i", "gate", "Front gate", IncidentStatus.CREATED, Priority.CRITICAL, NOW)


def alert(priority: Priority = Priority.CRITICAL, cause: AlertCause = AlertCause.OPENED, incident: str = "i") -> Alert:
    return Alert(alert_id(incident, priority), incident, "gate", "Front gate", priority, cause, 1, NOW)


def people(count: int) -> list[Guard]:
    return [Guard(f"g{number}", f"Guard {number}", ("gate",)) for number in range(count)]


def seen(guards: Sequence[Guard], incident: Incident | None = INCIDENT) -> Situation:
    return Situation(incident, guards, {})


def first(guards: Sequence[Guard], one: Alert | None = None) -> Decision:
    return decide(one or alert(), seen(guards), NOW, None)


def declined(one: Alert, *who: str) -> Alert:
    for guard_id in who:
        after = alert_answers.decline(one, guard_id, None, NOW)
        assert isinstance(after, Alert)
        one = after
    return one


@pytest.mark.parametrize(("priority", "asked"), [(Priority.CRITICAL, 5), (Priority.HIGH, 3), (Priority.MEDIUM, 2)])
def test_a_round_asks_five_three_or_two(priority: Priority, asked: int) -> None:
    decision = first(people(9), alert(priority))
    assert decision.reason is AlertReason.FIRST_ROUND
    assert [ask.guard_id for ask in decision.alert.asks] == [f"g{number}" for number in range(asked)]
    assert decision.alert.deadline == NOW + DEADLINE
    assert {each.because for each in decision.alert.passed} == {"not_reached"}


def test_until_the_deadline_it_waits_and_at_the_deadline_it_goes_on() -> None:
    begun = first(people(7)).alert
    early = decide(begun, seen(people(7)), NOW + DEADLINE - timedelta(microseconds=1), None)
    assert (early.reason, early.alert, early.changes) == (AlertReason.AWAITING_ANSWERS, begun, False)
    late = decide(begun, seen(people(7)), NOW + DEADLINE, None)
    assert late.reason is AlertReason.DEADLINE_PASSED
    assert [(ask.guard_id, ask.round) for ask in late.alert.asks[5:]] == [("g5", 2), ("g6", 2)]
    assert {ask.answer for ask in late.alert.asks[:5]} == {Answer.NO_ANSWER}
    assert (late.alert.revision, late.alert.deadline) == (2, NOW + 2 * DEADLINE)


def test_when_all_have_declined_the_next_round_begins_at_once() -> None:
    begun = first(people(3), alert(Priority.MEDIUM)).alert
    assert decide(declined(begun, "g0"), seen(people(3)), NOW, None).reason is AlertReason.AWAITING_ANSWERS
    decision = decide(declined(begun, "g0", "g1"), seen(people(3)), NOW, None)
    assert decision.reason is AlertReason.ALL_DECLINED
    assert [guard.id for guard in decision.asked] == ["g2"]


def test_the_order_is_place_then_rank_then_who_was_called_longest_ago() -> None:
    guards = [
        Guard("everywhere", "E", None, rank=1),
        Guard("called-today", "C", ("gate",), rank=2),
        Guard("called-never", "N", ("gate",), rank=2),
        Guard("called-yesterday", "Y", ("gate",), rank=2),
        Guard("boss", "B", ("gate", "yard"), rank=1),
    ]
    called = {"called-today": NOW, "called-yesterday": NOW - timedelta(days=1)}
    ordered = alert_rounds.in_order(alert(), replace(seen(guards), called=called), NOW)
    assert [guard.id for guard in ordered] == ["boss", "called-never", "called-yesterday", "called-today", "everywhere"]


def test_everybody_of_the_place_is_asked_or_passed_with_the_reason() -> None:
    off = Guard("off", "Off", None, (Shift(time(1), time(2)),))
    asleep = Guard("asleep", "Asleep", None, quiet_hours=Hours(time(11), time(13)))
    left = Guard("left", "Left", None, active=False)
    decision = first([off, asleep, left, *people(4)], alert(Priority.HIGH))
    assert decision.alert.passed == (
        Passed("asleep", PassReason.QUIET_HOURS),
        Passed("g3", PassReason.NOT_REACHED),
        Passed("left", PassReason.INACTIVE),
        Passed("off", PassReason.OFF_SHIFT),
    )


@pytest.mark.parametrize(
    ("guards", "reason"),
    [([], AlertReason.NO_GUARDS), ([Guard("left", "Left", active=False)], AlertReason.NOBODY_AVAILABLE)],
)
def test_without_anybody_it_is_exhausted_at_once(guards: list[Guard], reason: AlertReason) -> None:
    decision = first(guards)
    assert (decision.reason, decision.alert.state, decision.alert.because) == (reason, AlertState.EXHAUSTED, reason)
    assert decision.calls
    assert alert_rounds.webhook_events(None, decision.alert) == (AlertEvent.OPENED, AlertEvent.EXHAUSTED)


def test_after_the_last_guard_it_is_exhausted() -> None:
    begun = first(people(2)).alert
    decision = decide(begun, seen(people(2)), NOW + DEADLINE, None)
    assert (decision.reason, decision.alert.state) == (AlertReason.NOBODY_LEFT, AlertState.EXHAUSTED)
    assert alert_rounds.webhook_events(begun, decision.alert) == (AlertEvent.EXHAUSTED,)


@pytest.mark.parametrize(
    ("incident", "reason"),
    [
        (None, AlertReason.INCIDENT_GONE),
        (replace(INCIDENT, status=IncidentStatus.RESOLVED), AlertReason.INCIDENT_RESOLVED),
        (replace(INCIDENT, status=IncidentStatus.ASSIGNED), AlertReason.INCIDENT_ASSIGNED),
        (replace(INCIDENT, status=IncidentStatus.IN_PROGRESS), AlertReason.INCIDENT_IN_PROGRESS),
        (replace(INCIDENT, acknowledged_by="Ann"), AlertReason.INCIDENT_ACKNOWLEDGED),
    ],
)
def test_when_somebody_has_the_incident_the_alert_ends(incident: Incident | None, reason: AlertReason) -> None:
    for one in (alert(), first(people(9)).alert):
        decision = decide(one, seen(people(9), incident), NOW, None)
        assert (decision.reason, decision.alert.state, decision.asked) == (reason, AlertState.ENDED, ())
        assert not decision.calls


def test_who_took_it_over_before_it_rose_does_not_end_the_alert_of_the_rise() -> None:
    taken = replace(INCIDENT, status=IncidentStatus.ASSIGNED, assignee="Ann")
    rise = alert(cause=AlertCause.RAISED)
    assert decide(rise, replace(seen(people(2), taken), taken_over=False), NOW, None).asked
    resolved = replace(INCIDENT, status=IncidentStatus.RESOLVED)
    ended = decide(rise, replace(seen(people(2), resolved), taken_over=False), NOW, None)
    assert ended.reason is AlertReason.INCIDENT_RESOLVED


def test_a_rise_supersedes_and_may_ask_again_the_willing_first() -> None:
    lower = first(people(3), alert(Priority.HIGH)).alert
    accepted = alert_answers.accept(declined(lower, "g0"), "g2", None, NOW)
    assert isinstance(accepted, Alert)
    rise = alert(cause=AlertCause.RAISED)
    asked = decide(rise, replace(seen(people(5)), others=(accepted,), taken_over=False), NOW, None).asked
    assert [guard.id for guard in asked] == ["g2", "g1", "g3", "g4", "g0"]
    superseded = decide(lower, replace(seen(people(3)), others=(rise,)), NOW, None)
    assert (superseded.reason, superseded.alert.state) == (AlertReason.PRIORITY_RAISED, AlertState.SUPERSEDED)
    assert decide(rise, replace(seen(people(3)), others=(lower,)), NOW, None).asked


class TestCoolDown:
    COOL = timedelta(minutes=5)

    def after(self, seconds: float, priority: Priority, last: Priority = Priority.HIGH) -> Decision:
        call = PlaceCall("gate", "other:High", last, NOW - timedelta(seconds=seconds))
        return decide(alert(priority), replace(seen(people(3)), last_call=call), NOW, self.COOL)

    @pytest.mark.parametrize("priority", [Priority.HIGH, Priority.MEDIUM])
    @pytest.mark.parametrize("seconds", [-1, 0, 299.9])  # -1: by the clock of another machine
    def test_what_is_no_more_urgent_is_suppressed(self, priority: Priority, seconds: float) -> None:
        decision = self.after(seconds, priority)
        assert (decision.reason, decision.alert.state) == (AlertReason.COOL_DOWN, AlertState.SUPPRESSED)
        assert (decision.asked, decision.calls) == ((), False)
        assert {each.because for each in decision.alert.passed} == {"not_reached"}
        assert alert_rounds.webhook_events(None, decision.alert) == ()

    def test_what_is_more_urgent_passes(self) -> None:
        assert self.after(1, Priority.CRITICAL).asked

    def test_afterwards_everything_passes(self) -> None:
        assert self.after(300, Priority.MEDIUM).asked

    def test_an_alert_under_way_is_not_suppressed_by_the_call_it_made(self) -> None:
        begun = first(people(9)).alert
        call = PlaceCall("gate", begun.id, begun.priority, NOW)
        decision = decide(begun, replace(seen(people(9)), last_call=call), NOW + DEADLINE, self.COOL)
        assert decision.reason is AlertReason.DEADLINE_PASSED


class TestAnswers:
    def test_the_first_to_accept_has_it_and_the_second_is_told(self) -> None:
        begun = first(people(3)).alert
        accepted = alert_answers.accept(begun, "g1", "on my way", NOW)
        assert isinstance(accepted, Alert)
        assert (accepted.state, accepted.asks[1].answer, accepted.asks[1].reason) == (
            AlertState.ACCEPTED,
            Answer.ACCEPTED,
            "on my way",
        )
        assert alert_answers.accept(accepted, "g2", None, NOW) is AnswerRefusal.ACCEPTED_BY_ANOTHER
        assert alert_answers.accept(accepted, "g1", None, NOW) is accepted
        assert alert_answers.decline(accepted, "g1", None, NOW) is AnswerRefusal.ALREADY_ACCEPTED

    def test_who_was_not_asked_has_no_answer_to_give(self) -> None:
        begun = first(people(9)).alert
        assert alert_answers.accept(begun, "g8", None, NOW) is AnswerRefusal.NOT_ASKED
        assert alert_answers.decline(begun, "nobody", None, NOW) is AnswerRefusal.NOT_ASKED

    def test_a_late_yes_counts_while_nobody_has_accepted(self) -> None:
        begun = first(people(1)).alert
        exhausted = decide(begun, seen(people(1)), NOW + DEADLINE, None).alert
        accepted = alert_answers.accept(exhausted, "g0", None, NOW + 2 * DEADLINE)
        assert isinstance(accepted, Alert)
        assert accepted.state is AlertState.ACCEPTED

    @pytest.mark.parametrize("state", [AlertState.ENDED, AlertState.SUPERSEDED])
    def test_when_it_is_over_a_yes_comes_too_late_and_a_no_is_written_down(self, state: AlertState) -> None:
        over = replace(first(people(2)).alert, state=state)
        assert alert_answers.accept(over, "g0", None, NOW) is AnswerRefusal.OVER
        after = declined(over, "g0")
        assert (after.state, after.asks[0].answer, after.revision) == (state, Answer.DECLINED, over.revision + 1)

    def test_a_change_of_mind_counts(self) -> None:
        begun = declined(first(people(2)).alert, "g0")
        assert declined(begun, "g0") is begun
        accepted = alert_answers.accept(begun, "g0", None, NOW)
        assert isinstance(accepted, Alert)
        assert accepted.asks[0].answer is Answer.ACCEPTED
