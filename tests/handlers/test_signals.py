"""A device's report: logged, attached, or an incident opened; never lost, never two."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from shared.domain.incidents import (
    Beacon,
    IncidentPolicy,
    IncidentStatus,
    Observation,
    Priority,
    Reason,
    SignalKind,
)
from shared.errors import NotFound, Permanent, Retryable
from shared.handlers import observe, signals
from shared.outbox import PATIENCE, publish_pending
from shared.ports import Filter, Query, Update, Write
from shared.repositories import beacons, incidents
from tests.handlers.pipeline import ListBus, Pipeline


@pytest.fixture
def deps(pipeline: Pipeline, bus: ListBus) -> signals.Deps:
    beacons.put(pipeline.documents, Beacon("gate", "Front gate", active=True))
    return signals.Deps(pipeline.observe_deps(), bus)


def seen(kind: SignalKind = SignalKind.VIOLENCE, confidence: float = 0.9, beacon_id: str = "gate") -> Observation:
    return Observation(kind, beacon_id, confidence, "seen", "device-1")


def test_the_first_signal_opens_and_alerts(deps: signals.Deps, bus: ListBus) -> None:
    plan = signals.report(seen(), deps).plan
    assert plan.reason is Reason.OPENED_FIRST
    assert plan.incident is not None
    assert plan.incident.priority is Priority.CRITICAL
    assert len(bus.of_topic("incident-opened")) == 1


def test_the_next_one_attaches_without_an_alert(deps: signals.Deps, bus: ListBus) -> None:
    first = signals.report(seen(), deps).plan
    second = signals.report(seen(), deps).plan
    assert second.reason is Reason.ATTACHED_WITHIN_WINDOW
    assert first.incident is not None
    assert second.incident == first.incident
    assert incidents.signal_count(deps.observe.documents, first.incident.id) == 2
    assert len(bus.messages) == 1


def test_below_the_threshold_it_is_only_logged(deps: signals.Deps, bus: ListBus) -> None:
    plan = signals.report(seen(confidence=0.65), deps).plan
    assert plan.reason is Reason.BELOW_THRESHOLD
    assert deps.observe.documents.count(Query(incidents.AI_EVENTS)) == 1
    assert bus.messages == []


def test_a_graver_signal_raises_the_priority_once(deps: signals.Deps, bus: ListBus) -> None:
    opened = signals.report(seen(SignalKind.SCREAM), deps).plan
    raised = signals.report(seen(SignalKind.VIOLENCE), deps).plan
    again = signals.report(seen(SignalKind.VIOLENCE), deps).plan
    assert opened.incident is not None
    assert opened.incident.priority is Priority.HIGH
    assert raised.incident is not None
    assert raised.incident.priority is Priority.CRITICAL
    assert again.incident == raised.incident
    assert incidents.get(deps.observe.documents, opened.incident.id).priority is Priority.CRITICAL
    assert len(bus.of_topic("incident-changed")) == 1


def test_after_the_window_a_new_incident_links_to_the_old(pipeline: Pipeline, deps: signals.Deps) -> None:
    first = signals.report(seen(), deps).plan
    pipeline.clock.advance(300)
    second = signals.report(seen(), deps).plan
    assert second.reason is Reason.OPENED_AFTER_WINDOW
    assert first.incident is not None
    assert second.incident is not None
    assert second.incident.previous_incident_id == first.incident.id


def test_a_resolved_incident_absorbs_nothing(deps: signals.Deps) -> None:
    first = signals.report(seen(), deps).plan
    assert first.incident is not None
    resolved = {"status": IncidentStatus.RESOLVED.value}
    deps.observe.documents.commit([Update(incidents.INCIDENTS, first.incident.id, resolved)])
    second = signals.report(seen(), deps).plan
    assert second.reason is Reason.OPENED_AFTER_RESOLUTION


def test_a_quiet_time_keeps_the_incident_open_while_signals_come(pipeline: Pipeline, bus: ListBus) -> None:
    pipeline.policy = IncidentPolicy(quiet=timedelta(seconds=120), max_age=timedelta(seconds=600))
    beacons.put(pipeline.documents, Beacon("gate", "Front gate", active=True))
    deps = signals.Deps(pipeline.observe_deps(), bus)
    reasons = []
    for _ in range(7):
        reasons.append(signals.report(seen(), deps).plan.reason)
        pipeline.clock.advance(100)
    assert reasons == [
        Reason.OPENED_FIRST,
        Reason.ATTACHED_WITHIN_WINDOW,
        Reason.ATTACHED_WITHIN_WINDOW,
        Reason.ATTACHED_WHILE_SIGNALS_CONTINUE,
        Reason.ATTACHED_WHILE_SIGNALS_CONTINUE,
        Reason.ATTACHED_WHILE_SIGNALS_CONTINUE,
        Reason.OPENED_AFTER_MAX_AGE,
    ]


@pytest.mark.parametrize("beacon_id", ["nowhere", "closed"])
def test_an_unknown_or_inactive_beacon_is_refused(beacon_id: str, deps: signals.Deps) -> None:
    beacons.put(deps.observe.documents, Beacon("closed", "Old wing", active=False))
    with pytest.raises(Permanent) as refused:
        signals.report(seen(beacon_id=beacon_id), deps)
    assert refused.value.sentence == "Beacon not found or inactive"


@pytest.mark.parametrize("error", [Retryable("away"), NotFound("unknown_topic", "No topic."), PermissionError("403")])
def test_a_bus_that_fails_loses_no_alert_and_no_answer(
    error: Exception, pipeline: Pipeline, deps: signals.Deps, bus: ListBus
) -> None:
    bus.failing = error
    assert signals.report(seen(), deps).plan.reason is Reason.OPENED_FIRST
    bus.failing = None
    pipeline.clock.advance(PATIENCE.total_seconds())
    beacons.put(deps.observe.documents, Beacon("yard", "Yard", active=True))
    signals.report(seen(beacon_id="yard"), deps)
    assert len(bus.of_topic("incident-opened")) == 2


def test_one_outbox_that_cannot_be_published_does_not_hold_up_the_others(
    pipeline: Pipeline, deps: signals.Deps, bus: ListBus
) -> None:
    bus.failing = Retryable("away")
    beacons.put(deps.observe.documents, Beacon("yard", "Yard", active=True))
    for place in ("gate", "yard"):
        signals.report(seen(beacon_id=place), deps)
    waiting = deps.observe.documents.query(Query("work", (Filter("published", "==", False),))).documents
    broken = [{"topic": "gone", "data": b"", "attributes": 7}]
    deps.observe.documents.commit([Update("work", waiting[0].id, {"outbox": broken})])
    bus.failing = None
    pipeline.clock.advance(PATIENCE.total_seconds())
    assert publish_pending(deps.observe.documents, bus, pipeline.clock.now()) == 1
    assert len(bus.of_topic("incident-opened")) == 1


@pytest.mark.parametrize("earlier", [0, 1])
def test_many_at_once_make_one_incident_and_lose_nothing(
    earlier: int, pipeline: Pipeline, deps: signals.Deps, bus: ListBus
) -> None:
    """At a place that never had an incident, and at one whose last incident's window is over."""
    for _ in range(earlier):
        signals.report(seen(), deps)
        pipeline.clock.advance(300)
    plans = at_once(deps, lambda: signals.report(seen(), deps).plan)
    opened = [plan for plan in plans if not plan.reason.attaches]
    assert len(opened) == 1
    assert opened[0].incident is not None
    assert incidents.signal_count(deps.observe.documents, opened[0].incident.id) == RACERS
    assert len(bus.of_topic("incident-opened")) == 1 + earlier


def test_many_graver_signals_at_once_raise_the_priority_once(deps: signals.Deps, bus: ListBus) -> None:
    signals.report(seen(SignalKind.SCREAM), deps)
    at_once(deps, lambda: signals.report(seen(SignalKind.VIOLENCE), deps).plan)
    assert len(bus.of_topic("incident-changed")) == 1


RACERS = 16


def at_once(deps: signals.Deps, report: Callable[[], observe.Plan]) -> list[observe.Plan]:
    """Runs `report` in many threads, all of which have decided before the first of them commits."""
    documents = deps.observe.documents
    everybody = threading.Barrier(RACERS)
    decided = threading.local()
    commit = documents.commit

    def commit_together(writes: Sequence[Write]) -> None:
        if not getattr(decided, "once", False):
            decided.once = True
            everybody.wait(timeout=30)
        commit(writes)

    documents.commit = commit_together  # type: ignore[method-assign]
    try:
        with ThreadPoolExecutor(RACERS) as pool:
            return list(pool.map(lambda _: report(), range(RACERS)))
    finally:
        documents.commit = commit  # type: ignore[method-assign]
