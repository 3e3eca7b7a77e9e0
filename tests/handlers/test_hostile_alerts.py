"""Alerts in a hostile world: news come twice, late and in any order, workers die, timers are lost, guards answer late.

Whatever happens, in the end every opening and every rise has exactly one alert, nobody was asked twice by one, at most
one guard has it, nobody of the place was left out silently, every ask has its push, and nothing is left under way.
"""

from __future__ import annotations

import random
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from functools import partial
from typing import Any

import pytest

from shared.domain import incident_changes
from shared.domain.alerts import Alert, AlertState, Answer, Channel
from shared.domain.guards import Guard, Hours, Shift
from shared.domain.incident_changes import Action, Change, Refusal, TimelineEntry
from shared.domain.incidents import Incident, IncidentStatus, Observation, Outcome, SignalKind
from shared.errors import AlreadyExists, VersionConflict
from shared.handlers import answering, incident_records, maintain, notify, observe, signals
from shared.handlers.answering import AnswerRefused, GuardsAnswer
from shared.ids import TimeOrderedIds
from shared.outbox import publish_pending
from shared.ports import OutgoingMessage, Query
from shared.records import from_data
from shared.repositories import alerts, deliveries, incident_timelines, incidents
from tests.handlers.alerting import BOSS, AlertWorld, ScriptedTimers
from tests.handlers.pipeline import ListBus, Pipeline, delivery_of
from tests.hostile import HostileDocuments, HostileWorld

TOPICS = {"incident-opened": ["notify"], "incident-changed": ["notify"], "alert-due": ["notify"]}
GUARDS = (
    *(Guard(f"g{number}", f"Guard {number}", ("gate",)) for number in range(6)),
    Guard("roamer", "Roamer", None, rank=1),
    Guard("sleeper", "Sleeper", quiet_hours=Hours(time(0), time(23, 59))),
    Guard("nights", "Nights", shifts=(Shift(time(22), time(6)),)),
    Guard("left", "Left", active=False),
)


@dataclass
class Timers(ScriptedTimers):
    """Timers that forget some of what they are asked."""

    fate: random.Random | None = None

    def publish_at(self, when: datetime, message: OutgoingMessage, *, name: str) -> None:
        """Keeps the message, or not."""
        if self.fate is None or self.fate.random() > 0.15:
            super().publish_at(when, message, name=name)


class Scene:
    """One run."""

    def __init__(self, pipeline: Pipeline, seed: int) -> None:
        self.fate = random.Random(seed)
        self.pipeline = pipeline
        self.clock = pipeline.clock
        self.world = HostileWorld(seed, self.clock, TOPICS, lease_seconds=1, losses=0)
        self.timers = Timers(fate=self.fate)
        AlertWorld(pipeline, ListBus()).employ(*GUARDS)
        store = HostileDocuments(pipeline.documents, self.world)
        cool_down = self.fate.choice([None, timedelta(minutes=10)])
        deps = notify.Deps(store, self.clock, self.timers, lambda _: None, cool_down)
        self.world.handlers["notify"] = partial(notify.handle, deps=deps)
        self.answers = incident_records.Deps(store, self.world, self.clock)
        looking = observe.Deps(store, self.clock, TimeOrderedIds(self.clock), pipeline.policy)
        self.signals = signals.Deps(looking, self.world)

    def step(self) -> None:
        """Anything may happen next."""
        self.fate.choice([self.signal, self.time_passes, self.time_passes, self.guard_answers, self.act, self.hear])()

    def signal(self) -> None:
        """Someone fights or screams at the gate."""
        kind = self.fate.choice([SignalKind.VIOLENCE, SignalKind.SCREAM, SignalKind.SCREAM])
        signals.report(Observation(kind, "gate", 0.9, "seen"), self.signals)

    def time_passes(self) -> None:
        """A moment, a round, or longer than an incident absorbs signals; what is due rings, perhaps early."""
        self.clock.advance(self.fate.choice([0.1, 10, 45, 45, 320]))
        self.ring(self.clock.now() + timedelta(seconds=self.fate.choice([0, 0, 2])))

    def ring(self, until: datetime) -> None:
        """Timers whose time has come."""
        while (due := self.timers.take(until)) is not None:
            self.world.inject("notify", delivery_of(due[1], f"t{self.fate.random()}"))

    def hear(self) -> None:
        """Some of what waits is delivered."""
        for _ in range(self.fate.randrange(6)):
            if self.world._pending:
                self.world._deliver_one()

    def guard_answers(self) -> None:
        """A guard says something about some alert."""
        known = self.alerts()
        if known:
            answer = self.fate.choice([answering.accept, answering.decline, answering.decline])
            said = GuardsAnswer(self.fate.choice(known).id, self.fate.choice(GUARDS).id, None, BOSS)
            with suppress(AnswerRefused):
                answer(said, self.answers)

    def act(self) -> None:
        """An operator does something to some incident."""
        found = self.pipeline.documents.query(Query(incidents.INCIDENTS)).documents
        if not found or self.fate.random() < 0.5:
            return
        held = incidents.find(self.pipeline.documents, self.fate.choice(found).id)
        assert held is not None
        incident, version = held
        doing = self.fate.choice([self.acknowledge, self.assign, self.give_back, self.resolve])
        change = doing(incident)
        if isinstance(change, Change):
            planned = incident_records.Planned(incident, version, change)
            with suppress(VersionConflict, AlreadyExists):
                incident_records.store([planned], [], self.answers)

    def acknowledge(self, incident: Incident) -> Change | Refusal:
        return incident_changes.acknowledge(incident, self.clock.now(), actor="Ann")

    def assign(self, incident: Incident) -> Change | Refusal:
        return incident_changes.assign(incident, "Bo", self.clock.now(), actor="Ann")

    def give_back(self, incident: Incident) -> Change | Refusal:
        return incident_changes.assign(incident, None, self.clock.now(), actor="Ann")

    def resolve(self, incident: Incident) -> Change | Refusal:
        return incident_changes.resolve(incident, Outcome.RESOLVED, "over", self.clock.now(), actor="Ann")

    def settle(self) -> None:
        """Fate calms down, and everything that can still come, comes."""
        self.world.calm_down()
        for _ in range(30):
            self.world.run()
            publish_pending(self.pipeline.documents, self.world, self.clock.now())
            deps = replace(self.pipeline.maintain_deps(), bus=self.world)
            maintain.sweep(deps)
            self.clock.advance(46)
            self.ring(self.clock.now())
        self.world.run()

    def alerts(self) -> list[Alert]:
        return [alerts.alert_of(each) for each in self.all_of(alerts.COLLECTION)]

    def timeline(self) -> list[TimelineEntry]:
        return [from_data(TimelineEntry, each.data) for each in self.all_of(incident_timelines.COLLECTION)]

    def all_of(self, collection: str) -> Any:
        return self.pipeline.documents.query(Query(collection), limit=10_000).documents


@pytest.mark.parametrize("seed", range(40))
def test_nobody_is_forgotten_and_nobody_called_twice(pipeline: Pipeline, seed: int) -> None:
    scene = Scene(pipeline, seed)
    scene.signal()
    for _ in range(40):
        scene.step()
    scene.settle()
    found = scene.alerts()
    due = Counter(
        f"{entry.incident_id}:{entry.after['priority']}"
        for entry in scene.timeline()
        if entry.action in {Action.OPENED, Action.PRIORITY_RAISED}
    )
    assert Counter(alert.id for alert in found) == due
    assert [alert.id for alert in found if alert.state is AlertState.ACTIVE] == []
    for alert in found:
        check(alert)
        graver = [
            one for one in found if one.incident_id == alert.incident_id and one.priority.rank > alert.priority.rank
        ]
        assert graver or alert.state is not AlertState.SUPERSEDED
    pushes = [push_of(each) for each in scene.all_of(deliveries.COLLECTION)]
    assert sorted(pushes) == sorted((alert.id, ask.guard_id, ask.round) for alert in found for ask in alert.asks)
    for alert in found:
        if alert.state is AlertState.ACCEPTED:
            incident = incidents.get(pipeline.documents, alert.incident_id)
            assert incident.revision > 1
            assert incident.status is not IncidentStatus.CREATED or was_given_back(scene, incident.id)


def check(alert: Alert) -> None:
    asked = [ask.guard_id for ask in alert.asks]
    assert len(asked) == len(set(asked)), "asked twice"
    assert [ask.answer for ask in alert.asks].count(Answer.ACCEPTED) == (alert.state is AlertState.ACCEPTED)
    assert sorted([*asked, *(each.guard_id for each in alert.passed)]) == sorted(guard.id for guard in GUARDS)
    assert alert.because is not None
    assert alert.ended_at is not None
    assert alert.deadline is None


def was_given_back(scene: Scene, incident_id: str) -> bool:
    mine = [entry for entry in scene.timeline() if entry.incident_id == incident_id]
    return any(entry.action is Action.UNASSIGNED for entry in mine)


def push_of(document: Any) -> tuple[str, str, int]:
    delivery = deliveries.delivery_of(document)
    assert delivery.channel is Channel.PUSH
    return delivery.alert_id, delivery.target, delivery.round
