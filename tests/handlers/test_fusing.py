"""Signals of several kinds at one place are one incident, which knows how sure they are together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.domain.incidents import Beacon, IncidentPolicy, Observation, Reason, SignalKind
from shared.handlers import fusing, signals
from shared.ports import Query
from shared.repositories import beacons, incidents
from tests.handlers.pipeline import ListBus, Pipeline


@pytest.fixture
def deps(pipeline: Pipeline, bus: ListBus) -> signals.Deps:
    beacons.put(pipeline.documents, Beacon("gate", "Front gate", active=True))
    return signals.Deps(pipeline.observe_deps(), bus)


def report(deps: signals.Deps, kind: SignalKind, confidence: float) -> signals.Report:
    return signals.report(Observation(kind, "gate", confidence, "seen", "device-1"), deps)


def test_four_kinds_join_one_incident_and_are_combined(deps: signals.Deps) -> None:
    told = {SignalKind.VIOLENCE: 0.9, SignalKind.SCREAM: 0.8, SignalKind.MODERATION: 0.5, SignalKind.BLACKLIST: 0.6}
    found = {report(deps, kind, confidence).plan.incident for kind, confidence in told.items()}
    (incident,) = found
    assert incident is not None
    for _ in range(6):
        report(deps, SignalKind.SCREAM, 0.8)
    fused = fusing.confidence_of(deps.observe.documents, incident.id)
    assert fused.confidence == pytest.approx(1 - 0.1 * 0.2 * 0.5 * 0.4)
    assert {part.kind: (part.confidence, part.signals) for part in fused.parts} == {
        SignalKind.VIOLENCE: (0.9, 1),
        SignalKind.SCREAM: (0.8, 7),
        SignalKind.MODERATION: (0.5, 1),
        SignalKind.BLACKLIST: (0.6, 1),
    }


def test_a_blacklist_hit_opens_an_incident_by_itself(deps: signals.Deps, bus: ListBus) -> None:
    plan = report(deps, SignalKind.BLACKLIST, 0.2).plan
    assert plan.reason is Reason.OPENED_FIRST
    assert len(bus.of_topic("incident-opened")) == 1


def test_a_kind_that_takes_no_part_is_logged(deps: signals.Deps, bus: ListBus) -> None:
    policy = IncidentPolicy(kinds=frozenset({SignalKind.VIOLENCE}))
    without = replace(deps, observe=replace(deps.observe, policy=policy))
    plan = report(without, SignalKind.SCREAM, 0.99).plan
    assert (plan.reason, plan.incident, bus.messages) == (Reason.KIND_TAKES_NO_PART, None, [])
    assert deps.observe.documents.count(Query(incidents.AI_EVENTS)) == 1
