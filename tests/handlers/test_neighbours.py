"""Neighbouring places, by a profile that joins them: what both perceive becomes one incident."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest

from shared.domain import incident_changes
from shared.domain.incidents import Beacon, IncidentPolicy, Observation, Outcome, Priority, Reason, SignalKind
from shared.handlers import observe, signals
from shared.ports import Write
from shared.repositories import beacons, incidents
from tests.handlers.pipeline import ListBus, Pipeline

CHAIN = {"hall": ("gate",), "gate": ("hall", "yard"), "yard": ("gate",)}
"""The hall and the yard are neighbours of the gate, not of each other."""


@pytest.fixture
def deps(pipeline: Pipeline, bus: ListBus) -> signals.Deps:
    pipeline.policy = IncidentPolicy(joins_neighbours=True)
    for place, neighbours in CHAIN.items():
        beacons.put(pipeline.documents, Beacon(place, place.title(), active=True, neighbours=neighbours))
    return signals.Deps(pipeline.observe_deps(), bus)


def report(deps: signals.Deps, place: str, kind: SignalKind = SignalKind.SCREAM) -> signals.Report:
    return signals.report(Observation(kind, place, 0.9, "heard", "device-1"), deps)


def incident_of(reported: signals.Report) -> str:
    assert reported.plan.incident is not None
    return reported.plan.incident.id


def test_a_neighbour_s_signal_joins_and_keeps_its_own_place(deps: signals.Deps, bus: ListBus) -> None:
    opened = report(deps, "gate")
    joined = report(deps, "hall")
    assert (opened.plan.reason, joined.plan.reason) == (Reason.OPENED_FIRST, Reason.ATTACHED_TO_NEIGHBOUR)
    assert incident_of(joined) == incident_of(opened)
    assert joined.location == "Hall"
    assert incidents.get(deps.observe.documents, incident_of(opened)).beacon_location == "Gate"
    assert len(bus.of_topic("incident-opened")) == 1


def test_without_the_profile_every_place_has_its_own(pipeline: Pipeline, deps: signals.Deps) -> None:
    alone = replace(deps, observe=replace(deps.observe, policy=IncidentPolicy()))
    assert report(alone, "gate").plan.reason is Reason.OPENED_FIRST
    assert report(alone, "hall").plan.reason is Reason.OPENED_FIRST


def test_it_does_not_spread_to_the_neighbours_neighbours(deps: signals.Deps) -> None:
    hall = report(deps, "hall")
    assert incident_of(report(deps, "gate")) == incident_of(hall)
    yard = report(deps, "yard")
    assert yard.plan.reason is Reason.OPENED_FIRST
    # The gate stays with the incident it shares with the hall.
    assert incident_of(report(deps, "gate")) == incident_of(hall)
    assert incident_of(report(deps, "yard")) == incident_of(yard)


def test_of_two_neighbours_incidents_the_more_urgent_is_joined_then_the_later(
    pipeline: Pipeline, deps: signals.Deps
) -> None:
    alone = replace(deps, observe=replace(deps.observe, policy=IncidentPolicy()))
    hall = report(alone, "hall", SignalKind.VIOLENCE)
    pipeline.clock.advance(10)
    yard = report(alone, "yard", SignalKind.SCREAM)
    assert incident_of(report(deps, "gate")) == incident_of(hall)
    report(alone, "yard", SignalKind.VIOLENCE)
    assert incident_of(report(deps, "gate")) == incident_of(yard)


def test_a_neighbour_s_graver_signal_raises_the_incident(deps: signals.Deps, bus: ListBus) -> None:
    report(deps, "gate")
    raised = report(deps, "yard", SignalKind.VIOLENCE)
    assert raised.plan.incident is not None
    assert raised.plan.incident.priority is Priority.CRITICAL
    assert raised.plan.incident.beacon_id == "gate"
    assert len(bus.of_topic("incident-changed")) == 1


def test_after_its_window_or_its_end_a_neighbour_opens_the_next_and_links_to_it(
    pipeline: Pipeline, deps: signals.Deps
) -> None:
    first = report(deps, "gate")
    pipeline.clock.advance(300)
    second = report(deps, "hall").plan
    assert second.reason is Reason.OPENED_AFTER_WINDOW
    assert second.incident is not None
    assert second.incident.previous_incident_id == incident_of(first)
    present, version = incidents.find_many(deps.observe.documents, [second.incident.id])[second.incident.id]
    ended = incident_changes.resolve(present, Outcome.RESOLVED, "over", pipeline.clock.now(), actor="kim")
    assert isinstance(ended, incident_changes.Change)
    deps.observe.documents.commit(incidents.change_writes(ended, version))
    assert report(deps, "gate").plan.reason is Reason.OPENED_AFTER_RESOLUTION


def at_once(deps: signals.Deps, places: Sequence[str]) -> list[observe.Plan]:
    """Reports at all the places, in threads that have all decided before the first of them commits."""
    documents = deps.observe.documents
    everybody = Barrier(len(places))
    decided = threading.local()
    commit = documents.commit

    def commit_together(writes: Sequence[Write]) -> None:
        if not getattr(decided, "once", False):
            decided.once = True
            everybody.wait(timeout=30)
        commit(writes)

    documents.commit = commit_together  # type: ignore[method-assign]
    try:
        with ThreadPoolExecutor(len(places)) as pool:
            return list(pool.map(lambda place: report(deps, place).plan, places))
    finally:
        documents.commit = commit  # type: ignore[method-assign]


def test_neighbours_at_the_same_moment_make_one_incident(deps: signals.Deps, bus: ListBus) -> None:
    plans = at_once(deps, ["gate", "hall"] * 8)
    (incident,) = {plan.incident.id for plan in plans if plan.incident is not None}
    assert sum(not plan.reason.attaches for plan in plans) == 1
    assert incidents.signal_count(deps.observe.documents, incident) == len(plans)
    assert len(bus.of_topic("incident-opened")) == 1


def test_places_that_share_a_neighbour_open_one_each_at_the_same_moment(deps: signals.Deps, bus: ListBus) -> None:
    """The hall and the yard both want the gate: one gets it, and the other opens without it."""
    hall, yard = (plan.incident for plan in at_once(deps, ["hall", "yard"]))
    assert hall != yard
    assert report(deps, "gate").plan.incident in (hall, yard)
    assert len(bus.of_topic("incident-opened")) == 2
