"""A hostile town for incidents: devices that send again, operators, guards, timers, instances with clocks of their own.

It is `tests/hostile.py` with people in it. Devices' requests and what operators and guards do are deliveries like any
other, so each may cut into another at every port, be repeated, or die halfway and come again. `Journal` sits below the
hostile store and sees every commit that succeeded: what it saw cannot be undone by a death after it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO

from shared.adapters.embedded.blob_folder import BlobFolder
from shared.adapters.embedded.blobs import FolderBlobs
from shared.domain.alerts import alert_id
from shared.domain.guards import Guard
from shared.domain.incident_steps import Acknowledge, Assign, Hold, Remark, Resolve, Start, Step
from shared.domain.incidents import (
    Beacon,
    Incident,
    IncidentPolicy,
    Observation,
    Outcome,
    Priority,
    SignalKind,
)
from shared.domain.submissions import Answer, RepetitionKey
from shared.errors import Permanent
from shared.handlers import (
    answering,
    incident_actions,
    incident_records,
    maintain,
    notify,
    observe,
    signals,
    submissions,
)
from shared.handlers.answering import GuardsAnswer
from shared.handlers.incident_actions import Order
from shared.handlers.submissions import Submission
from shared.ids import TimeOrderedIds
from shared.ports import (
    BlobInfo,
    Caller,
    CleanPicture,
    Create,
    Delivery,
    Document,
    Documents,
    OutgoingMessage,
    Page,
    Query,
    Role,
    Subscription,
    Write,
)
from shared.repositories import beacons, components, guards, incidents
from tests.fakes import ManualClock
from tests.hostile import HostileDocuments, HostileWorld

REPORTS = 60
ACTIONS = 25
ANSWERS = 15
JUMPS = 12
SWEEPS = 4
ENDING = 30
GUARDS = 9
TOPICS: dict[str, list[str]] = {
    "incident-opened": ["notify"],
    "incident-changed": ["notify"],
    "alert-due": ["notify"],
}
OPERATOR = Caller("Olga", Role.OPERATOR)
STEPS: Sequence[Step] = (
    Acknowledge(),
    Assign("Ada"),
    Assign(None),
    Start(),
    Start(),
    Resolve(Outcome.RESOLVED, "It is over."),
    Resolve(Outcome.FALSE_ALARM, "Nothing was there."),
    Remark("Seen on the camera."),
    Hold(True, "The police asked for it."),
    Hold(False, "No longer needed."),
)


@dataclass(frozen=True)
class Version:
    """An incident as one commit left it. `moment` orders commits, beginnings and replies."""

    moment: int
    incident: Incident


@dataclass
class Journal:
    """A `Documents` that writes down, in order, what was committed; and when requests began and were answered.

    `broken`: promises that a commit broke. It must not raise for them: the world would take that for one more failure.
    """

    inner: Documents
    history: dict[str, list[Version]] = field(default_factory=dict)
    signals: dict[str, int] = field(default_factory=dict)
    resolved: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
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
        before = versions[-1].incident if versions else None
        if incident.revision != len(versions) + 1:
            self.broken.append(f"revision {incident.revision} is change {len(versions) + 1}: {incident}")
        if before is not None and incident.priority.rank < before.priority.rank:
            self.broken.append(f"the priority fell from {before.priority}: {incident}")
        if before is not None and (incident.beacon_id, incident.opened_at) != (before.beacon_id, before.opened_at):
            self.broken.append(f"another incident took its place: {incident}")
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

    submission: Submission
    answers: list[Answer] = field(default_factory=list)

    @property
    def name(self) -> str:
        """No other report has it."""
        return self.submission.observation.description


class PlainPictures:
    """A `PictureCleaner` that takes what it is given for a picture."""

    def clean(self, data: bytes) -> CleanPicture:
        """The same bytes."""
        return CleanPicture(data, "image/jpeg", "jpg", 8, 8, hashlib.sha256(data).hexdigest())


class HostileBlobs(FolderBlobs):
    """A bucket in the hostile world: who writes may die before it or after."""

    world: HostileWorld

    def put(self, name: str, data: bytes | BinaryIO, **options: Any) -> BlobInfo:
        """See the port."""
        self.world.touch()
        info = super().put(name, data, **options)
        self.world.touch()
        return info

    def delete(self, name: str, **options: Any) -> None:
        """See the port."""
        self.world.touch()
        super().delete(name, **options)


@dataclass
class TownTimers:
    """Timers that say it when the clock has passed, or later; a name that was heard may be taken for a repetition."""

    world: HostileWorld
    waiting: list[tuple[datetime, OutgoingMessage]] = field(default_factory=list)
    names: set[str] = field(default_factory=set)

    def publish_at(self, when: datetime, message: OutgoingMessage, *, name: str) -> None:
        """See the port."""
        self.world.touch()
        if name not in self.names:
            self.names.add(name)
            self.waiting.append((when, message))
        self.world.touch()

    def ring(self) -> None:
        """Publishes what is due."""
        due = [each for each in self.waiting if each[0] <= self.world.clock.now()]
        for each in due:
            self.waiting.remove(each)
            self.world.publish(each[1])


class Town:
    """Places, devices, operators and guards, over one store; everything that happens is drawn from the seed."""

    places = ("gate", "yard", "hall", "street")
    neighbours: Mapping[str, Sequence[str]] = {"gate": ("yard",), "yard": ("gate", "hall"), "hall": ("yard",)}

    def __init__(self, seed: int, store: Documents, folder: BlobFolder, policy: IncidentPolicy) -> None:
        self.store = store
        self.policy = policy
        self.folder = folder
        self.clock = ManualClock(datetime.now(UTC) + timedelta(minutes=1))  # objects bear the machine's time
        self.world = HostileWorld(seed, self.clock, TOPICS, lease_seconds=5, losses=0, intrusions=0.25)
        self.random = self.world.random
        self.journal = Journal(store)
        self.documents = HostileDocuments(self.journal, self.world)
        self.bucket = FolderBlobs(folder, f"evidence-{seed}")
        self.evidence = HostileBlobs(folder, f"evidence-{seed}")
        self.evidence.world = self.world
        self.timers = TownTimers(self.world)
        self.cool_down = timedelta(seconds=120) if seed % 3 == 2 else None
        never = self.clock.now() + timedelta(days=30)
        components.report_maintenance(store, components.MaintenanceRun(self.clock.now(), housekept_at=never))
        for place in self.places:
            beacons.put(store, Beacon(place, place.title(), True, tuple(self.neighbours.get(place, ()))))
        for number in range(GUARDS):
            places = (self.random.choice(self.places),) if number % 2 else None
            store.commit([guards.write(Guard(f"guard-{number}", f"Guard {number}", places), None)])
        self.clocks = [SkewedClock(self.clock, timedelta(seconds=seconds)) for seconds in (-1.5, 0, 0.4)]
        self.instances = [
            observe.Deps(self.documents, clock, TimeOrderedIds(clock, self.random), policy) for clock in self.clocks
        ]
        self.reports = [self._draw_report(number) for number in range(REPORTS)]
        self.world.handlers = {
            "device": self._report,
            "operator": self._act,
            "guard": self._answer,
            "clock": self._pass_time,
            "sweeper": self._sweep,
            "notify": self._notify,
        }

    def live(self) -> None:
        """Everything happens, then nothing more, until nothing is left to be done."""
        for number in range(len(self.reports)):
            self.world.inject("device", Delivery(f"report-{number}", str(number).encode(), {}))
        for subscriber, count in (("operator", ACTIONS), ("guard", ANSWERS), ("clock", JUMPS), ("sweeper", SWEEPS)):
            for number in range(count):
                self.world.inject(subscriber, Delivery(f"{subscriber}-{number}", b"", {}))
        self.world.run()
        self.world.calm_down()
        self._end()
        # Only now: in here an hour may pass within one request, which no request outside can take.
        components.report_maintenance(self.store, components.MaintenanceRun(self.clock.now()))
        maintain.sweep(self._maintain_deps(self.store))

    def _end(self) -> None:
        """Time passes until nothing waits for it."""
        for number in range(ENDING):
            self.clock.advance(1000)
            self._sweep(Delivery(f"last-{number}", b"", {}))
            self.timers.ring()
            self.world.run()
            if not self.timers.waiting:
                return
        raise AssertionError("there was always another timer")

    def _draw_report(self, number: int) -> Report:
        draw = self.random
        observation = Observation(
            kind=draw.choice(list(SignalKind)),
            beacon_id=draw.choice(self.places),
            confidence=draw.choice([0.3, 0.74, 0.75, 0.8, 0.9, 1.0]),
            description=f"report {number}",
            device_id=draw.choice([None, "device-1", "device-2"]),
        )
        images = tuple(f"picture {number} {part}".encode() for part in range(draw.choice([0, 0, 1, 3])))
        return Report(Submission(observation, images, RepetitionKey("device", observation.kind, f"key {number}")))

    def _report(self, delivery: Delivery) -> None:
        report = self.reports[int(delivery.data)]
        deps = signals.Deps(self.random.choice(self.instances), self.world)
        with self.journal.request():
            answer = submissions.submit(report.submission, submissions.Deps(deps, self.evidence, PlainPictures()))
        report.answers.append(answer)

    def _act(self, _: Delivery) -> None:
        """An operator does something to some incident, having seen it as it is, or as it was a while ago."""
        if not self.journal.history:
            return
        incident_id = self.random.choice(list(self.journal.history))
        seen = self.random.choice(self.journal.history[incident_id]).incident.revision
        step = self.random.choice(STEPS)
        order = Order(step, OPERATOR, "Olga", self.random.choice([None, None, seen]))
        try:
            incident_actions.act(incident_id, order, incident_records.Deps(self.documents, self.world, self._clock()))
        except Permanent:
            return  # stale, or not to be done in this state
        if isinstance(step, Resolve):
            self.journal.answered_resolution(incident_id)

    def _answer(self, _: Delivery) -> None:
        """Some guard answers some alert, whether or not they were asked."""
        known = [alert_id(each, priority) for each, seen in self.journal.history.items() for priority in rises(seen)]
        if not known:
            return
        said = GuardsAnswer(self.random.choice(known), f"guard-{self.random.randrange(GUARDS)}", None, OPERATOR)
        answer = self.random.choice([answering.accept, answering.decline, answering.decline])
        with suppress(Permanent):
            answer(said, incident_records.Deps(self.documents, self.world, self._clock()))

    def _notify(self, delivery: Delivery) -> None:
        deps = notify.Deps(self.documents, self._clock(), self.timers, lambda _: self.world.touch(), self.cool_down)
        notify.handle(delivery, deps)

    def _pass_time(self, _: Delivery) -> None:
        self.clock.advance(self.random.choice([0.5, 5, 45, 120, 299, 300, 301]))
        self.timers.ring()

    def _sweep(self, _: Delivery) -> None:
        maintain.sweep(self._maintain_deps(self.documents))

    def _maintain_deps(self, documents: Documents) -> maintain.Deps:
        media = FolderBlobs(self.folder, "media")
        return maintain.Deps(documents, media, self.evidence, self.world, self.clock, "media", timedelta(seconds=5))

    def _clock(self) -> SkewedClock:
        return self.random.choice(self.clocks)


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
