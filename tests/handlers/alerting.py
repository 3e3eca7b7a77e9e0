"""A place where incidents open and guards are called: real store, time that moves when it is told to."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.domain.alerts import Alert, AlertDelivery, AlertEvent, Channel
from shared.domain.guards import Guard
from shared.domain.incident_changes import Change, Refusal
from shared.domain.incidents import Beacon, Incident, Observation, SignalKind
from shared.domain.webhooks import Webhook
from shared.handlers import answering, guard_registry, incident_news, incident_records, notify, signals
from shared.messages import encode
from shared.ports import Caller, Documents, OutgoingMessage, Role
from shared.repositories import alerts, beacons, deliveries, incidents, webhooks
from tests.fakes import ManualClock
from tests.handlers.pipeline import ListBus, Pipeline, delivery_of

BOSS = Caller("boss", Role.ADMIN)


@dataclass
class ScriptedTimers:
    """A `Timers` that says what is due when it is asked. It can be told to fail."""

    waiting: list[tuple[datetime, OutgoingMessage]] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    failing: Exception | None = None

    def publish_at(self, when: datetime, message: OutgoingMessage, *, name: str) -> None:
        """Keeps the message; the same name again does nothing."""
        if self.failing is not None:
            raise self.failing
        if name not in self.names:
            self.names.add(name)
            self.waiting.append((when, message))

    def take(self, until: datetime) -> tuple[datetime, OutgoingMessage] | None:
        """The next message that is due until then; it is forgotten."""
        due = [each for each in self.waiting if each[0] <= until]
        if not due:
            return None
        first = min(due, key=lambda each: each[0])
        self.waiting.remove(first)
        return first


class AlertWorld:
    """Signals at the place `gate`, guards, and the messages between them."""

    def __init__(self, pipeline: Pipeline, bus: ListBus, cool_down: timedelta | None = None) -> None:
        self.pipeline = pipeline
        self.documents: Documents = pipeline.documents
        self.clock: ManualClock = pipeline.clock
        self.bus = bus
        self.timers = ScriptedTimers()
        self.delivered: list[str] = []
        self.deps = notify.Deps(self.documents, self.clock, self.timers, self.delivered.append, cool_down)
        self.answers = incident_records.Deps(self.documents, bus, self.clock)
        self.signals = signals.Deps(pipeline.observe_deps(), bus)
        beacons.put(self.documents, Beacon("gate", "Front gate", active=True))

    def employ(self, *who: Guard) -> None:
        """Registers guards."""
        for guard in who:
            guard_registry.put(guard, guard.tokens, self.documents)

    def employ_many(self, count: int) -> None:
        """`g0`, `g1`, … of the gate."""
        self.employ(*(Guard(f"g{number}", f"Guard {number}", ("gate",)) for number in range(count)))

    def listen(self, *events: AlertEvent) -> None:
        """Registers a webhook `hook`."""
        hook = Webhook("hook", "https://example.com", "secret", self.clock.now(), events or tuple(AlertEvent))
        self.documents.commit([webhooks.storing(hook, None)])

    def signal(self, kind: SignalKind = SignalKind.VIOLENCE) -> Incident:
        """A signal at the gate, of which nobody has heard yet."""
        plan = signals.report(Observation(kind, "gate", 0.95, "seen"), self.signals).plan
        assert plan.incident is not None
        return plan.incident

    def hear(self) -> None:
        """Everything that was published is heard, in order."""
        while self.bus.messages:
            self.handle(self.bus.messages.pop(0))

    def handle(self, message: OutgoingMessage) -> None:
        """One delivery."""
        notify.handle(delivery_of(message), self.deps)

    def open(self, kind: SignalKind = SignalKind.VIOLENCE) -> Alert:
        """A signal that opens an incident, and its alert."""
        incident = self.signal(kind)
        self.hear()
        return self.alerts_of(incident)[-1]

    def wait(self, seconds: float) -> None:
        """Time goes by; what is due is heard when it is."""
        until = self.clock.now() + timedelta(seconds=seconds)
        while (due := self.timers.take(until)) is not None:
            moment, message = due
            self.clock.advance(max(0.0, (moment - self.clock.now()).total_seconds()))
            self.handle(message)
            self.hear()
        self.clock.advance((until - self.clock.now()).total_seconds())

    def accept(self, alert: Alert, guard_id: str) -> Alert:
        """A guard accepts."""
        return answering.accept(answering.GuardsAnswer(alert.id, guard_id, None, BOSS), self.answers)

    def decline(self, alert: Alert, guard_id: str) -> Alert:
        """A guard declines."""
        return answering.decline(answering.GuardsAnswer(alert.id, guard_id, None, BOSS), self.answers)

    def act(self, incident_id: str, change: Change | Refusal, before: Incident, version: str) -> None:
        """Stores what somebody did to an incident and says so."""
        assert isinstance(change, Change), change
        self.documents.commit(incidents.change_writes(change, version))
        news = incident_news.changed(before, change)
        self.bus.publish(encode(news, message_id=f"{incident_id}:{change.entry.number}", now=self.clock.now()))

    def incident(self, incident_id: str) -> tuple[Incident, str]:
        """As it is stored now, with its version."""
        found = incidents.find(self.documents, incident_id)
        assert found is not None
        return found

    def alert(self, alert: Alert) -> Alert:
        """As it is stored now."""
        return alerts.get(self.documents, alert.id)[0]

    def alerts_of(self, incident: Incident) -> list[Alert]:
        """The least urgent first."""
        return [alert for alert, _ in alerts.of_incident(self.documents, incident.id)]

    def deliveries_of(self, alert: Alert, channel: Channel) -> list[AlertDelivery]:
        """What was planned, by target."""
        found = deliveries.of_alert(self.documents, alert.id)[0]
        return sorted((each for each in found if each.channel is channel), key=lambda each: each.id)


def asked(alert: Alert, round_number: int) -> list[str]:
    """Whom a round asked."""
    return [ask.guard_id for ask in alert.asks if ask.round == round_number]
