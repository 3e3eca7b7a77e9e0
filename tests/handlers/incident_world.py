"""A hostile town for incidents: devices that send again, operators, guards, timers, instances with clocks of their own.

It is `tests/hostile.py` with people in it. Devices' requests and what operators and guards do are deliveries like any
other, so each may cut into another at every port, be repeated, or die halfway and come again. `Journal` sits below the
hostile store and sees every commit that succeeded: what it saw cannot be undone by a death after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from shared.domain.incidents import Beacon, Incident, IncidentPolicy, Observation, Priority, SignalKind
from shared.handlers import observe, signals
from shared.ids import TimeOrderedIds
from shared.outbox import publish_pending
from shared.ports import Create, Delivery, Document, Documents, Page, Query, Subscription, Write
from shared.repositories import beacons, incidents
from tests.fakes import ManualClock
from tests.hostile import HostileDocuments, HostileWorld

REPORTS = 60
ACTIONS = 25
JUMPS = 12
SWEEPS = 4
TOPICS: dict[str, list[str]] = {"incident-opened": [], "incident-changed": [], "alert-due": []}


@dataclass(frozen=True)
class Version:
    """An incident as one commit left it. `moment` orders commits, beginnings and replies."""

    moment: int
    incident: Incident


@dataclass
class Journal:
    """A `Documents` that writes down, in order, what was committed; and when requests began and were answered."""

    inner: Documents
    history: dict[str, list[Version]] = field(default_factory=dict)
    signals: dict[str, int] = field(default_factory=dict)
    resolved: dict[str, int] = field(default_factory=dict)
    _moment: int = 0
    _begun: list[int] = field(default_factory=list)

    def tick(self) -> int:
        """The next moment."""
        self._moment += 1
        return self._moment

    @contextmanager
    def request(self) -> Iterator[None]:
        """Something that somebody asked for: signals committed within it began when it did."""
        self._begun.append(self.tick())
        try:
            yield
        finally:
            self._begun.pop()

    def answered_resolution(self, incident_id: str) -> None:
        """An operator was told that the incident is resolved."""
        self.resolved.setdefault(incident_id, self.tick())

    def opened(self) -> list[Version]:
        """The incidents as they opened, in the order of their commits."""
        return sorted((versions[0] for versions in self.history.values()), key=lambda version: version.moment)

    def at(self, incident_id: str, moment: int) -> Incident:
        """The incident as it was just before a moment."""
        return [version for version in self.history[incident_id] if version.moment < moment][-1].incident

    def get(self, collection: str, id: str) -> Document | None:
        """See the port."""
        return self.inner.get(collection, id)

    def get_many(self, keys: Sequence[tuple[str, str]]) -> list[Document | None]:
        """See the port."""
        return self.inner.get_many(keys)

    def query(self, query: Query, *, limit: int = 100, cursor: str | None = None) -> Page:
        """See the port."""
        return self.inner.query(query, limit=limit, cursor=cursor)

    def count(self, query: Query) -> int:
        """See the port."""
        return self.inner.count(query)

    def watch(self, query: Query, on_change: Callable[[tuple[Document, ...]], Any]) -> Subscription:
        """See the port."""
        return self.inner.watch(query, on_change)

    def commit(self, writes: Sequence[Write]) -> None:
        """See the port; remembers the incidents and signals in it."""
        self.inner.commit(writes)
        moment = self.tick()
        for write in writes:
            if write.collection == incidents.INCIDENTS:
                self._keep(moment, incidents.get(self.inner, write.id))
            elif isinstance(write, Create) and write.collection == incidents.SIGNALS:
                self.signals[write.id] = self._begun[-1]

    def _keep(self, moment: int, incident: Incident) -> None:
        versions = self.history.setdefault(incident.id, [])
        assert incident.revision == len(versions) + 1
        if versions:
            before = versions[-1].incident
            assert incident.priority.rank >= before.priority.rank
            assert (incident.beacon_id, incident.opened_at) == (before.beacon_id, before.opened_at)
        versions.append(Version(moment, incident))


@dataclass
class SkewedClock:
    """The clock of one instance: the world's, a little ahead or behind."""

    world: ManualClock
    offset: timedelta

    def now(self) -> datetime:
        """See the port."""
        return self.world.now() + self.offset


@dataclass
class Report:
    """What one device sends, and what it was answered, each time it was answered."""

    observation: Observation
    images: tuple[bytes, ...]
    replies: list[tuple[Any, ...]] = field(default_factory=list)


class Town:
    """Places, devices, operators and guards, over one store; everything that happens is drawn from the seed."""

    places = ("gate", "yard", "hall", "street")
    neighbours: Mapping[str, Sequence[str]] = {"gate": ("yard",), "yard": ("gate", "hall"), "hall": ("yard",)}

    def __init__(self, seed: int, store: Documents, folder: Path, policy: IncidentPolicy) -> None:
        self.store = store
        self.policy = policy
        self.clock = ManualClock()
        self.world = HostileWorld(seed, self.clock, TOPICS, lease_seconds=5, losses=0)
        self.random = self.world.random
        self.journal = Journal(store)
        self.documents = HostileDocuments(self.journal, self.world)
        for place in self.places:
            beacons.put(store, Beacon(place, place.title(), True, tuple(self.neighbours.get(place, ()))))
        self.instances = [self._instance(seconds) for seconds in (-1.5, 0, 0.4)]
        self.reports = [self._draw_report(number) for number in range(REPORTS)]
        self.world.handlers = {
            "device": self._report,
            "operator": self._act,
            "clock": self._pass_time,
            "sweeper": self._sweep,
        }

    def live(self) -> None:
        """Everything happens, then nothing more, until nothing is left to be done."""
        for number in range(len(self.reports)):
            self.world.inject("device", Delivery(f"report-{number}", str(number).encode(), {}))
        for subscriber, count in (("operator", ACTIONS), ("clock", JUMPS), ("sweeper", SWEEPS)):
            for number in range(count):
                self.world.inject(subscriber, Delivery(f"{subscriber}-{number}", b"", {}))
        self.world.run()
        self.world.calm_down()
        for _ in range(10):
            self.clock.advance(3600)
            self._sweep(Delivery("last", b"", {}))
            self.world.run()

    def _instance(self, seconds: float) -> observe.Deps:
        clock = SkewedClock(self.clock, timedelta(seconds=seconds))
        return observe.Deps(self.documents, clock, TimeOrderedIds(clock, self.random), self.policy)

    def _draw_report(self, number: int) -> Report:
        draw = self.random
        observation = Observation(
            kind=draw.choice(list(SignalKind)),
            beacon_id=draw.choice(self.places),
            confidence=draw.choice([0.3, 0.74, 0.75, 0.8, 0.9, 1.0]),
            description=f"report {number}",
            device_id=draw.choice([None, "device-1", "device-2"]),
        )
        return Report(observation, ())

    def _report(self, delivery: Delivery) -> None:
        report = self.reports[int(delivery.data)]
        deps = signals.Deps(self.random.choice(self.instances), self.world)
        with self.journal.request():
            found = signals.report(report.observation, deps).plan
        report.replies.append((found.event.id, found.signal and found.signal.id, found.reason))

    def _act(self, delivery: Delivery) -> None:
        raise NotImplementedError

    def _pass_time(self, delivery: Delivery) -> None:
        self.clock.advance(self.random.choice([0.5, 5, 45, 120, 299, 300, 301]))

    def _sweep(self, delivery: Delivery) -> None:
        publish_pending(self.documents, self.world, self.clock.now())


def rises(versions: Sequence[Version]) -> list[Priority]:
    """The priorities an incident opened with and rose to, in order."""
    found: list[Priority] = []
    for version in versions:
        if not found or version.incident.priority is not found[-1]:
            found.append(version.incident.priority)
    return found


def neighbourhood(neighbours: Mapping[str, Sequence[str]], place: str) -> set[str]:
    """A place and its neighbours."""
    return {place, *neighbours.get(place, ())}


def read_all(documents: Documents, collection: str) -> list[dict[str, Any]]:
    """Every document of a collection."""
    return [dict(document.data) for document in documents.query(Query(collection), limit=10_000).documents]
