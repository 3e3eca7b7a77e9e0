"""Whatever devices, operators, guards, clocks and the bus do to each other: the promises of SPEC §4 hold.

One open incident a place and window; no signal lost, none counted twice, none given to an incident that was resolved
before it was sent; priorities only rise; timelines without gaps; one alert an opening and rise; no picture without a
record and no record without its picture.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from infra import topology
from shared.adapters.embedded.documents import SqliteDocuments
from shared.domain.incident_changes import Action, TimelineEntry
from shared.domain.incidents import IncidentPolicy, IncidentStatus, Signal, concerns_incident
from shared.records import from_data, to_data
from shared.repositories import incident_timelines, incidents
from tests.handlers.incident_world import Journal, Town, neighbourhood, read_all, rises

SEEDS = 60
SEEDS_A_TEST = 10


@pytest.mark.parametrize("first", range(0, SEEDS, SEEDS_A_TEST))
def test_the_promises_hold_in_a_hostile_town(first: int, tmp_path: Path) -> None:
    for seed in range(first, first + SEEDS_A_TEST):
        store = SqliteDocuments(tmp_path / f"{seed}.sqlite3", topology.load().document_indexes())
        try:
            town = Town(seed, store, tmp_path / f"{seed}", _policy(seed))
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
    _check_one_open_incident(seed, town)
    _check_every_report(seed, town)
    _check_timelines(seed, town.journal)


def _check_one_open_incident(seed: int, town: Town) -> None:
    """An incident opens only where none absorbs: the earlier ones are resolved, or their time is over."""
    reach: Mapping[str, set[str]] = {
        place: neighbourhood(town.neighbours, place) if town.policy.joins_neighbours else {place}
        for place in town.places
    }
    seen = []
    for later in town.journal.opened():
        for earlier in seen:
            if earlier.incident.beacon_id not in reach[later.incident.beacon_id]:
                continue
            before = town.journal.at(earlier.incident.id, later.moment)
            over = later.incident.opened_at - earlier.incident.opened_at >= town.policy.window
            assert over or before.status is IncidentStatus.RESOLVED, (seed, later.incident, before)
        seen.append(later)


def _check_every_report(seed: int, town: Town) -> None:
    """Each is one AI event; it is one signal of one incident, or logged only; its replies are the same each time."""
    events = read_all(town.store, incidents.AI_EVENTS)
    signals = [from_data(Signal, data) for data in read_all(town.store, incidents.SIGNALS)]
    said = Counter(event["observation"]["description"] for event in events)
    assert said == {report.observation.description: 1 for report in town.reports}, seed
    expected = {r.observation.description for r in town.reports if concerns_incident(r.observation)}
    assert sorted(signal.observation.description for signal in signals) == sorted(expected), seed
    linked = {event["id"]: event["incident_id"] for event in events}
    for signal in signals:
        assert linked.pop(signal.ai_event_id) == signal.incident_id, seed
        began = town.journal.signals[str(signal.id)]
        resolved = town.journal.resolved.get(signal.incident_id)
        assert resolved is None or began < resolved, (seed, signal)
    assert set(linked.values()) <= {None}, seed
    for report in town.reports:
        assert len(set(report.replies)) == 1, (seed, report)


def _check_timelines(seed: int, journal: Journal) -> None:
    """Numbered from 1 without a gap, chained from the opening to the document as it is."""
    for incident_id, versions in journal.history.items():
        entries, _ = incident_timelines.of_incident(journal.inner, incident_id, limit=1000)
        assert [entry.number for entry in entries] == list(range(1, len(versions) + 1)), seed
        state = dict(entries[0].after)
        for entry in entries[1:]:
            _check_link(seed, state, entry)
        present = to_data(incidents.get(journal.inner, incident_id))
        assert {name: present[name] for name in state} == state, seed
        raised = [entry.after["priority"] for entry in entries if "priority" in entry.after]
        assert raised == [priority.value for priority in rises(versions)], seed
        assert entries[0].action is Action.OPENED, seed


def _check_link(seed: int, state: dict[str, object], entry: TimelineEntry) -> None:
    for name, value in entry.before.items():
        assert state.get(name) == value, (seed, entry)
    state.update(entry.after)
