"""Whatever devices, operators, guards, clocks and the bus do to each other: the promises of SPEC §4 hold.

One open incident a place and window; no signal lost, none counted twice, none given to an incident that was resolved
before it was sent; priorities only rise; timelines without gaps; one alert an opening and rise; no picture without a
record and no record without its picture.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from infra import topology
from shared.adapters.embedded.blob_folder import BlobFolder
from shared.adapters.embedded.documents import SqliteDocuments
from shared.domain.alerts import Alert, AlertState, Answer, alert_id
from shared.domain.evidence_images import EVIDENCE_PREFIX, EvidenceImage
from shared.domain.incident_changes import Action, TimelineEntry
from shared.domain.incidents import IncidentPolicy, IncidentStatus, Signal, concerns_incident
from shared.records import from_data, to_data
from shared.repositories import alerts, evidence_images, incident_timelines, incidents
from tests.handlers.incident_world import Journal, Town, Version, neighbourhood, read_all, rises

SEEDS = 30
SEEDS_A_TEST = 6


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[BlobFolder]:
    made = BlobFolder(tmp_path / "blobs")
    yield made
    made.close()


@pytest.mark.parametrize("first", range(0, SEEDS, SEEDS_A_TEST))
def test_the_promises_hold_in_a_hostile_town(first: int, folder: BlobFolder, tmp_path: Path) -> None:
    for seed in range(first, first + SEEDS_A_TEST):
        store = SqliteDocuments(tmp_path / f"{seed}.sqlite3", topology.load().document_indexes())
        try:
            town = Town(seed, store, folder, _policy(seed))
            town.live()
            _check(seed, town)
        finally:
            store.close()


def _policy(seed: int) -> IncidentPolicy:
    window = timedelta(seconds=300)
    if seed % 5 == 4:
        return IncidentPolicy(window, quiet=timedelta(seconds=120), max_age=timedelta(seconds=900))
    return IncidentPolicy(window, joins_neighbours=seed % 2 == 1)


def _check(seed: int, town: Town) -> None:
    assert town.journal.broken == [], seed
    _check_one_open_incident(seed, town)
    _check_every_report(seed, town)
    _check_timelines(seed, town.journal)
    _check_alerts(seed, town)
    _check_pictures(seed, town)


def _check_one_open_incident(seed: int, town: Town) -> None:
    """An incident opens only where none absorbs: the earlier ones are resolved, or their time is over.

    Or has not come yet: who read the time more than a window before it saw the place takes that for a clock put right.
    Of one place just the latest counts: it took the place of those before it.
    """
    reach: Mapping[str, set[str]] = {
        place: neighbourhood(town.neighbours, place) if town.policy.joins_neighbours else {place}
        for place in town.places
    }
    seen: dict[str, Version] = {}
    for later in town.journal.opened():
        for earlier in seen.values():
            if earlier.incident.beacon_id not in reach[later.incident.beacon_id]:
                continue
            before = town.journal.at(earlier.incident.id, later.moment)
            over = abs(later.incident.opened_at - earlier.incident.opened_at) >= town.policy.window
            assert over or before.status is IncidentStatus.RESOLVED, (seed, later.incident, before)
        seen[later.incident.beacon_id] = later


def _check_every_report(seed: int, town: Town) -> None:
    """Each is one AI event; it is one signal of one incident, or logged only; its replies are the same each time."""
    events = read_all(town.store, incidents.AI_EVENTS)
    signals = [from_data(Signal, data) for data in read_all(town.store, incidents.SIGNALS)]
    said = Counter(event["observation"]["description"] for event in events)
    assert said == {report.name: 1 for report in town.reports}, seed
    expected = [report.name for report in town.reports if concerns_incident(report.submission.observation)]
    assert sorted(signal.observation.description for signal in signals) == sorted(expected), seed
    linked = {event["id"]: event["incident_id"] for event in events}
    for signal in signals:
        assert linked.pop(signal.ai_event_id) == signal.incident_id, seed
        began = town.journal.signals[str(signal.id)]
        resolved = town.journal.resolved.get(signal.incident_id)
        assert resolved is None or began < resolved, (seed, signal)
    assert set(linked.values()) <= {None}, seed
    for report in town.reports:
        assert report.answers, (seed, report)
        assert report.answers.count(report.answers[0]) == len(report.answers), (seed, report)


def _check_timelines(seed: int, journal: Journal) -> None:
    """Numbered from 1 without a gap, chained from the opening to the document as it is."""
    for incident_id, versions in journal.history.items():
        entries, _ = incident_timelines.of_incident(journal.inner, incident_id, limit=1000)
        assert [entry.number for entry in entries] == list(range(1, len(versions) + 1)), seed
        state = to_data(versions[0].incident)
        assert state == {**state, **entries[0].after}, seed
        for entry in entries[1:]:
            _check_link(seed, state, entry)
        present = to_data(incidents.get(journal.inner, incident_id))
        uncounted = {"revision": present["revision"], "changed_at": present["changed_at"]}
        assert present == {**state, **uncounted}, seed
        raised = [entry.after["priority"] for entry in entries if "priority" in entry.after]
        assert raised == [priority.value for priority in rises(versions)], seed
        assert entries[0].action is Action.OPENED, seed


def _check_link(seed: int, state: dict[str, object], entry: TimelineEntry) -> None:
    for name, value in entry.before.items():
        assert state[name] == value, (seed, entry)
    state.update(entry.after)


def _check_alerts(seed: int, town: Town) -> None:
    """One for each opening and each rise, suppressed ones included, and in the end none that still waits."""
    expected = [
        alert_id(incident_id, priority)
        for incident_id, versions in town.journal.history.items()
        for priority in rises(versions)
    ]
    found = [from_data(Alert, data) for data in read_all(town.store, alerts.COLLECTION)]
    assert sorted(alert.id for alert in found) == sorted(expected), seed
    for alert in found:
        assert alert.state is not AlertState.ACTIVE, (seed, alert)
        asked = [ask.guard_id for ask in alert.asks]
        assert len(set(asked)) == len(asked), (seed, alert)
        accepted = [ask for ask in alert.asks if ask.answer is Answer.ACCEPTED]
        assert len(accepted) == (alert.state is AlertState.ACCEPTED), (seed, alert)


def _check_pictures(seed: int, town: Town) -> None:
    """Each picture sent is one record of its event and signal, and one object; there are no others."""
    records = [from_data(EvidenceImage, data) for data in read_all(town.store, evidence_images.COLLECTION)]
    names = {info.name for info in town.bucket.list(EVIDENCE_PREFIX)}
    assert names == {record.object_name for record in records}, seed
    assert len(names) == len(records) == sum(len(report.submission.images) for report in town.reports), seed
    by_event = {report.answers[0].ai_event_id: report for report in town.reports}
    for record in records:
        answer = by_event[record.ai_event_id].answers[0]
        joined = (answer.joined.incident_id, answer.joined.signal_id) if answer.joined else (None, None)
        assert (record.incident_id, record.signal_id) == joined, (seed, record)
        with town.bucket.open(record.object_name) as stream:
            assert stream.read() in by_event[record.ai_event_id].submission.images, (seed, record)
