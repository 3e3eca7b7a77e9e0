"""Guards are called round by round until somebody has the incident, whatever is lost, late or heard twice."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import time, timedelta

import pytest

from shared.domain import incident_changes
from shared.domain.alerts import AlertEvent, AlertState, Answer, Channel
from shared.domain.guards import Guard, Shift
from shared.domain.incidents import Incident, IncidentStatus, Outcome, SignalKind
from shared.errors import InProgress, Malformed, NotFound, Retryable
from shared.handlers import answering, maintain, notify
from shared.handlers.answering import AnswerRefused
from shared.messages import AlertDue, encode
from shared.ports import Caller, OutgoingMessage, Query, Role
from shared.repositories import alerts, incident_timelines, incidents
from tests.handlers.alerting import AlertWorld, asked
from tests.handlers.pipeline import ListBus, Pipeline, delivery_of


@pytest.fixture
def world(pipeline: Pipeline, bus: ListBus) -> AlertWorld:
    return AlertWorld(pipeline, bus)


def resolve(world: AlertWorld, incident: Incident) -> None:
    before, version = world.incident(incident.id)
    change = incident_changes.resolve(before, Outcome.RESOLVED, "over", world.clock.now(), actor="Ann")
    world.act(incident.id, change, before, version)


def acknowledge(world: AlertWorld, incident_id: str) -> None:
    before, version = world.incident(incident_id)
    world.act(incident_id, incident_changes.acknowledge(before, world.clock.now(), actor="Ann"), before, version)


class TestEscalation:
    @pytest.mark.parametrize(("kind", "fan_out"), [(SignalKind.VIOLENCE, 5), (SignalKind.SCREAM, 3)])
    def test_rounds_follow_each_other_every_45_seconds(self, world: AlertWorld, kind: SignalKind, fan_out: int) -> None:
        world.employ_many(2 * fan_out + 1)
        alert = world.open(kind)
        assert asked(alert, 1) == sorted(f"g{number}" for number in range(2 * fan_out + 1))[:fan_out]
        world.wait(44.9)
        assert world.alert(alert).round == 1
        world.wait(0.1)
        assert len(asked(world.alert(alert), 2)) == fan_out
        world.wait(45)
        assert len(asked(world.alert(alert), 3)) == 1
        world.wait(45)
        ended = world.alert(alert)
        assert (ended.state, ended.because) == (AlertState.EXHAUSTED, "nobody_left")
        assert {ask.answer for ask in ended.asks} == {Answer.NO_ANSWER}
        assert (ended.revision, ended.passed) == (4, ())
        assert world.timers.waiting == []

    def test_each_guard_asked_gets_a_push_and_each_webhook_hears_once(self, world: AlertWorld) -> None:
        world.employ_many(6)
        world.listen()
        alert = world.open()
        assert [each.target for each in world.deliveries_of(alert, Channel.PUSH)] == ["g0", "g1", "g2", "g3", "g4"]
        world.wait(90)
        pushes = world.deliveries_of(alert, Channel.PUSH)
        assert [(each.target, each.round) for each in pushes[5:]] == [("g5", 2)]
        assert [each.event for each in world.deliveries_of(alert, Channel.WEBHOOK)] == [
            AlertEvent.EXHAUSTED,
            AlertEvent.OPENED,
        ]
        assert set(world.delivered) == {alert.id}

    def test_when_all_decline_the_next_are_asked_at_once(self, world: AlertWorld) -> None:
        world.employ_many(6)
        alert = world.open()
        for guard_id in asked(alert, 1):
            world.decline(alert, guard_id)
        world.hear()
        assert asked(world.alert(alert), 2) == ["g5"]
        world.wait(44)  # the first round's timer may ring in vain meanwhile
        assert world.alert(alert).state is AlertState.ACTIVE
        world.wait(1)
        assert world.alert(alert).state is AlertState.EXHAUSTED

    def test_nobody_at_all_is_an_error_that_is_told_and_listed(
        self, world: AlertWorld, caplog: pytest.LogCaptureFixture
    ) -> None:
        world.listen(AlertEvent.EXHAUSTED)
        alert = world.open()
        assert (alert.state, alert.because) == (AlertState.EXHAUSTED, "no_guards")
        assert [each.event for each in world.deliveries_of(alert, Channel.WEBHOOK)] == [AlertEvent.EXHAUSTED]
        assert [record.levelno for record in caplog.records if alert.id in record.getMessage()] == [logging.ERROR]
        listed, _ = alerts.newest(world.documents, state=AlertState.EXHAUSTED, beacon_ids=None, limit=10, cursor=None)
        assert listed == [alert]

    def test_who_comes_on_shift_between_rounds_is_asked(self, world: AlertWorld) -> None:
        now = world.clock.now()
        late = Shift((now + timedelta(seconds=60)).time(), time(23))
        world.employ(Guard("early", "Early"), Guard("late", "Late", shifts=(late,)))
        alert = world.open(SignalKind.SCREAM)
        assert [(each.guard_id, each.because) for each in alert.passed] == [("late", "off_shift")]
        world.wait(45)
        assert world.alert(alert).state is AlertState.EXHAUSTED  # at 12:00:45 nobody was there
        world.clock.advance(3600)
        assert asked(world.open(), 1) == ["late", "early"]

    def test_who_was_called_longest_ago_is_called_first(self, world: AlertWorld) -> None:
        world.employ_many(8)
        first = world.open()
        world.clock.advance(3600)
        second = world.open()
        assert asked(second, 1)[:3] == ["g5", "g6", "g7"]
        assert asked(second, 1)[3:] == asked(first, 1)[:2]


class TestAnswers:
    def test_who_accepts_has_the_incident_in_the_same_moment(self, world: AlertWorld) -> None:
        world.employ_many(6)
        alert = world.open()
        world.clock.advance(44.999)
        accepted = world.accept(alert, "g1")
        incident = incidents.get(world.documents, alert.incident_id)
        assert (accepted.state, incident.status, incident.assignee) == (
            AlertState.ACCEPTED,
            IncidentStatus.ASSIGNED,
            "Guard 1",
        )
        entries, _ = incident_timelines.of_incident(world.documents, incident.id, limit=10)
        assert [(entry.number, entry.action, entry.actor) for entry in entries] == [
            (1, "opened", "sightline"),
            (2, "assigned", "Guard 1"),
        ]
        assert entries[1].details == {"alert_id": alert.id, "guard_id": "g1", "sent_by": "boss"}
        world.wait(1000)
        assert world.alert(alert) == accepted

    def test_the_second_is_told_that_it_is_taken(self, world: AlertWorld) -> None:
        world.employ_many(3)
        alert = world.open()
        accepted = world.accept(alert, "g1")
        with pytest.raises(AnswerRefused, match="accepted_by_another") as refused:
            world.accept(alert, "g2")
        assert refused.value.alert == accepted
        assert world.accept(alert, "g1") == accepted

    def test_of_many_at_once_one_has_it(self, world: AlertWorld) -> None:
        world.employ_many(5)
        alert = world.open()

        def attempt(number: int) -> bool:
            try:
                world.accept(alert, f"g{number}")
            except AnswerRefused:
                return False
            return True

        with ThreadPoolExecutor(5) as pool:
            assert sorted(pool.map(attempt, range(5))) == [False] * 4 + [True]
        stored = world.alert(alert)
        assert [ask.answer for ask in stored.asks].count(Answer.ACCEPTED) == 1
        assert incidents.get(world.documents, alert.incident_id).revision == 2

    def test_when_the_incident_is_resolved_a_yes_is_too_late_even_before_anybody_heard(self, world: AlertWorld) -> None:
        world.employ_many(2)
        alert = world.open()
        resolve(world, incidents.get(world.documents, alert.incident_id))
        with pytest.raises(AnswerRefused, match="over"):
            world.accept(alert, "g0")
        world.hear()
        assert (world.alert(alert).state, world.alert(alert).because) == (AlertState.ENDED, "incident_resolved")

    def test_an_alert_of_somebody_elses_place_is_not_there(self, world: AlertWorld) -> None:
        world.employ_many(1)
        alert = world.open()
        stranger = Caller("stranger", Role.OPERATOR, ("yard",))
        for answer in (answering.accept, answering.decline):
            with pytest.raises(NotFound):
                answer(answering.GuardsAnswer(alert.id, "g0", None, stranger), world.answers)


class TestIncident:
    def test_a_rise_has_an_alert_of_its_own_which_supersedes(self, world: AlertWorld) -> None:
        world.employ_many(6)
        world.listen()
        high = world.open(SignalKind.SCREAM)
        critical = world.open(SignalKind.VIOLENCE)
        assert critical.incident_id == high.incident_id
        assert (world.alert(high).state, world.alert(high).because) == (AlertState.SUPERSEDED, "priority_raised")
        assert asked(critical, 1) == ["g3", "g4", "g5", "g0", "g1"]
        assert [each.event for each in world.deliveries_of(critical, Channel.WEBHOOK)] == [AlertEvent.RAISED]

    def test_news_in_the_wrong_order_give_the_same(self, world: AlertWorld) -> None:
        world.employ_many(6)
        incident = world.signal(SignalKind.SCREAM)
        world.signal(SignalKind.VIOLENCE)
        world.bus.messages.reverse()
        world.hear()
        high, critical = world.alerts_of(incident)
        assert (high.state, high.asks) == (AlertState.SUPERSEDED, ())
        assert len(asked(critical, 1)) == 5

    def test_who_acknowledged_before_the_rise_does_not_keep_it_from_being_told(self, world: AlertWorld) -> None:
        world.employ_many(6)
        high = world.open(SignalKind.SCREAM)
        acknowledge(world, high.incident_id)
        world.hear()
        assert world.alert(high).because == "incident_acknowledged"
        critical = world.open(SignalKind.VIOLENCE)
        assert critical.state is AlertState.ACTIVE
        assert world.accept(critical, "g4").state is AlertState.ACCEPTED
        assert incidents.get(world.documents, high.incident_id).assignee == "Guard 4"

    def test_who_takes_it_over_after_the_rise_ends_the_alert(self, world: AlertWorld) -> None:
        world.employ_many(6)
        world.open(SignalKind.SCREAM)
        critical = world.open(SignalKind.VIOLENCE)
        acknowledge(world, critical.incident_id)
        world.hear()
        assert world.alert(critical).because == "incident_acknowledged"

    def test_a_rise_while_a_guard_has_it_calls_that_guard_first_and_leaves_it_theirs(self, world: AlertWorld) -> None:
        world.employ_many(8)
        world.accept(world.open(SignalKind.SCREAM), "g2")
        critical = world.open(SignalKind.VIOLENCE)
        assert asked(critical, 1)[0] == "g2"
        assert world.accept(critical, "g3").state is AlertState.ACCEPTED
        assert incidents.get(world.documents, critical.incident_id).assignee == "Guard 2"

    def test_an_opening_heard_after_the_end_calls_nobody(self, world: AlertWorld) -> None:
        world.employ_many(3)
        world.listen(AlertEvent.OPENED)
        incident = world.signal()
        resolve(world, incident)
        world.hear()
        (alert,) = world.alerts_of(incident)
        assert (alert.state, alert.because, alert.asks) == (AlertState.ENDED, "incident_resolved", ())
        assert len(world.deliveries_of(alert, Channel.WEBHOOK)) == 1


class TestCoolDown:
    @pytest.fixture
    def world(self, pipeline: Pipeline, bus: ListBus) -> AlertWorld:
        world = AlertWorld(pipeline, bus, cool_down=timedelta(minutes=10))
        world.employ_many(9)
        return world

    def again(self, world: AlertWorld, kind: SignalKind) -> AlertState:
        world.clock.advance(301)
        return world.open(kind).state

    def test_what_is_no_more_urgent_is_held_back_and_listed(self, world: AlertWorld) -> None:
        world.open(SignalKind.SCREAM)
        assert self.again(world, SignalKind.SCREAM) is AlertState.SUPPRESSED
        listed, _ = alerts.newest(
            world.documents, state=AlertState.SUPPRESSED, beacon_ids=("gate",), limit=10, cursor=None
        )
        assert [alert.because for alert in listed] == ["cool_down"]
        assert self.again(world, SignalKind.SCREAM) is AlertState.ACTIVE  # what was suppressed prolongs nothing

    def test_what_is_more_urgent_passes_and_cools_down_in_turn(self, world: AlertWorld) -> None:
        world.open(SignalKind.SCREAM)
        assert self.again(world, SignalKind.VIOLENCE) is AlertState.ACTIVE
        assert self.again(world, SignalKind.VIOLENCE) is AlertState.SUPPRESSED

    def test_of_two_at_once_one_is_held_back(self, world: AlertWorld) -> None:
        for _ in range(4):
            world.signal()
            world.clock.advance(301)
        messages = [world.bus.messages.pop() for _ in range(4)]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(world.handle, messages))
        listed, _ = alerts.newest(world.documents, state=None, beacon_ids=None, limit=10, cursor=None)
        assert sorted(alert.state for alert in listed) == ["active"] + ["suppressed"] * 3


class TestFaults:
    def test_the_same_news_again_changes_nothing(self, world: AlertWorld) -> None:
        world.employ_many(6)
        world.signal()
        (message,) = world.bus.messages
        for _ in range(3):
            world.handle(message)
        (stored,) = world.documents.query(Query(alerts.COLLECTION)).documents
        assert stored.data["revision"] == 1
        assert len(world.deliveries_of(alerts.alert_of(stored), Channel.PUSH)) == 5
        assert len(world.timers.waiting) == 1

    def test_who_died_before_the_timer_was_set_is_followed_by_the_next_delivery(self, world: AlertWorld) -> None:
        world.employ_many(6)
        world.signal()
        (message,) = world.bus.messages
        world.timers.failing = Retryable("away")
        with pytest.raises(Retryable):
            world.handle(message)
        world.timers.failing = None
        world.handle(message)
        (stored,) = world.documents.query(Query(alerts.COLLECTION)).documents
        assert len(asked(alerts.alert_of(stored), 1)) == 5
        world.wait(45)
        assert world.alert(alerts.alert_of(stored)).round == 2

    @pytest.mark.parametrize("failure", [Retryable("away"), PermissionError("not allowed")])
    def test_guards_are_called_while_no_timer_can_be_set(self, world: AlertWorld, failure: Exception) -> None:
        world.employ_many(6)
        world.signal(SignalKind.SCREAM)
        incident = world.signal(SignalKind.VIOLENCE)
        world.timers.failing = failure
        for message in world.bus.messages:
            with pytest.raises(type(failure)):
                world.handle(message)
        high, critical = world.alerts_of(incident)
        assert (high.state, critical.state) == (AlertState.SUPERSEDED, AlertState.ACTIVE)
        assert {high.id, critical.id} <= set(world.delivered)

    def test_one_alert_whose_deliveries_fail_holds_up_no_other(self, world: AlertWorld) -> None:
        world.employ_many(6)
        world.signal(SignalKind.SCREAM)
        world.signal(SignalKind.VIOLENCE)
        tried = []

        def deliver(alert_id: str) -> None:
            tried.append(alert_id.rpartition(":")[2])
            raise InProgress("another worker is at it")

        opening, rise = world.bus.messages
        world.handle(opening)
        with pytest.raises(InProgress):
            notify.handle(delivery_of(rise), replace(world.deps, deliver=deliver))
        assert tried == ["Critical", "High"]

    def test_a_restart_in_the_middle_goes_on_where_it_was(self, world: AlertWorld) -> None:
        world.employ_many(6)
        alert = world.open()
        restarted = AlertWorld(world.pipeline, world.bus)
        restarted.timers = world.timers
        restarted.deps = replace(restarted.deps, timers=world.timers)
        restarted.wait(90)
        assert restarted.alert(alert).state is AlertState.EXHAUSTED

    def test_a_timer_that_is_early_by_another_clock_is_set_anew(self, world: AlertWorld) -> None:
        world.employ_many(6)
        alert = world.open()
        world.clock.advance(44.5)
        _, message = world.timers.waiting.pop()
        world.handle(message)
        assert world.alert(alert).round == 1
        world.wait(0.5)
        assert world.alert(alert).round == 2

    def test_what_a_lost_timer_would_have_said_the_sweeper_says_a_minute_later(
        self, world: AlertWorld, pipeline: Pipeline
    ) -> None:
        world.employ_many(6)
        alert = world.open()
        world.timers.waiting.clear()
        world.clock.advance(104.9)
        assert "alerts_reminded" not in maintain.sweep(pipeline.maintain_deps())
        world.clock.advance(0.1)
        assert maintain.sweep(pipeline.maintain_deps())["alerts_reminded"] == 1
        world.hear()
        assert world.alert(alert).round == 2

    def test_of_two_that_look_at_once_one_begins_the_next_round(self, world: AlertWorld) -> None:
        world.employ_many(20)
        alert = world.open()
        world.clock.advance(45)
        due = encode(AlertDue(alert_id=alert.id), message_id="m", now=world.clock.now())
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(world.handle, [due] * 8))
        stored = world.alert(alert)
        assert (stored.round, len(stored.asks)) == (2, 10)
        assert len(world.deliveries_of(alert, Channel.PUSH)) == 10

    @pytest.mark.parametrize(
        ("kind", "data"),
        [
            ("", b"{}"),
            ("media-uploaded.v1", b"{}"),
            ("incident-opened.v1", b"[]"),
            ("incident-opened.v1", b'{"incident_id": "i"}'),
            (
                "incident-opened.v1",
                b'{"incident_id":"i","beacon_id":"b","beacon_location":"l","priority":"Enormous",'
                b'"opened_at":"2026-01-01T00:00:00Z","signal_id":1}',
            ),
        ],
    )
    def test_what_cannot_be_read_is_refused_for_good(self, world: AlertWorld, kind: str, data: bytes) -> None:
        with pytest.raises(Malformed):
            world.handle(OutgoingMessage("incident-opened", data, {"ce-type": kind}))

    def test_news_of_an_alert_that_is_not_there_are_refused_for_good(self, world: AlertWorld) -> None:
        with pytest.raises(NotFound):
            world.handle(encode(AlertDue(alert_id="x"), message_id="m", now=world.clock.now()))
