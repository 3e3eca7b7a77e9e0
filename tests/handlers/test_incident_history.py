"""All that happened to an incident is merged by time, and given out in pages that miss and repeat nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra import topology
from shared.adapters.embedded.documents import SqliteDocuments
from shared.domain.alerts import Alert, AlertCause, Answer, Ask, alert_id
from shared.domain.evidence_images import EvidenceImage
from shared.domain.incident_changes import Action, TimelineEntry
from shared.domain.incidents import Observation, Priority, Signal, SignalKind
from shared.errors import Malformed
from shared.handlers import incident_history
from shared.handlers.incident_history import Item, Source
from shared.ports import Documents, Write
from shared.repositories import alerts, evidence_images, incident_timelines, incidents
from tests.fakes import NOON


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteDocuments]:
    opened = SqliteDocuments(tmp_path / "documents.sqlite3", topology.load().document_indexes())
    yield opened
    opened.close()


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def signal(number: int, seconds: float, incident_id: str = "i") -> Write:
    seen = Observation(SignalKind.VIOLENCE, "gate", 0.9, "seen")
    return incidents.signal_creation(Signal(number, number, incident_id, seen, at(seconds)))


def picture(number: int, seconds: float) -> Write:
    stored = EvidenceImage(
        id=number,
        object_name=f"incidents/2026/03/01/{number}.jpg",
        content_type="image/jpeg",
        size=1,
        sha256="",
        received_sha256="",
        width=1,
        height=1,
        description="",
        beacon_id="gate",
        ai_event_id=1,
        uploaded_at=at(seconds),
        incident_id="i",
    )
    return evidence_images.creation(stored)


def entry(number: int, seconds: float) -> Write:
    return incident_timelines.creation(TimelineEntry("i", "gate", number, at(seconds), "olga", Action.NOTED))


def names(items: list[Item]) -> list[tuple[str, int]]:
    return [(Source(item.position.source).name, item.position.key) for item in items]


def whole(store: Documents, limit: int) -> list[Item]:
    items, cursor = incident_history.page_of(store, "i", limit=limit, cursor=None)
    while cursor is not None:
        assert len(items) % limit == 0
        more, cursor = incident_history.page_of(store, "i", limit=limit, cursor=cursor)
        items += more
    return items


def test_everything_comes_by_time_and_the_cause_first(store: SqliteDocuments) -> None:
    store.commit([entry(1, 0), signal(11, 0), picture(21, 0), entry(2, 5), signal(12, 3), signal(99, 1, "other")])
    assert names(whole(store, 100)) == [("SIGNAL", 11), ("IMAGE", 21), ("CHANGE", 1), ("SIGNAL", 12), ("CHANGE", 2)]


def test_who_was_called_is_among_it(store: SqliteDocuments) -> None:
    ask = Ask("g1", "Ana", 1, at(2), Answer.ACCEPTED, at(9))
    alert = Alert(alert_id("i", Priority.HIGH), "i", "gate", "Gate", Priority.HIGH, AlertCause.OPENED, 11, at(1))
    store.commit([entry(1, 0), entry(2, 9), alerts.creation(replace(alert, asks=(ask,), round=1))])
    assert [(name, (item.position.at - NOON).seconds) for item in whole(store, 2) for name, _ in names([item])] == [
        ("CHANGE", 0),
        ("ALERT", 1),
        ("ALERT", 2),
        ("CHANGE", 9),
        ("ALERT", 9),
    ]


def test_what_happened_at_one_moment_is_split_between_pages_too(store: SqliteDocuments) -> None:
    store.commit([*(signal(100 + number, 0) for number in range(25)), *(entry(1 + number, 0) for number in range(10))])
    assert whole(store, 4) == whole(store, 1000)
    assert len(whole(store, 4)) == 35


def test_what_comes_late_moves_no_later_page(store: SqliteDocuments) -> None:
    store.commit([signal(10 + number, 10 * number) for number in range(4)])
    first, cursor = incident_history.page_of(store, "i", limit=2, cursor=None)
    store.commit([signal(5, 5), signal(25, 25)])
    second, _ = incident_history.page_of(store, "i", limit=10, cursor=cursor)
    assert names([*first, *second]) == [("SIGNAL", number) for number in (10, 11, 12, 25, 13)]


TIMES = st.lists(st.integers(0, 6), max_size=12)


@settings(max_examples=40, deadline=None)
@given(TIMES, TIMES, TIMES.map(sorted), st.integers(1, 9))
def test_pages_miss_and_repeat_nothing(signals: list[int], pictures: list[int], entries: list[int], limit: int) -> None:
    with TemporaryDirectory() as folder:
        store = SqliteDocuments(Path(folder) / "documents.sqlite3", topology.load().document_indexes())
        store.commit([signal(100 + number, seconds) for number, seconds in enumerate(signals)])
        store.commit([picture(200 + number, seconds) for number, seconds in enumerate(pictures)])
        store.commit([entry(1 + number, seconds) for number, seconds in enumerate(entries)])
        items = whole(store, limit)
        store.close()
    assert len(items) == len(signals) + len(pictures) + len(entries)
    assert [item.position for item in items] == sorted({item.position for item in items})


@pytest.mark.parametrize("cursor", ["", "abc", "e30", "W10", "WyIyMDI2LTAxLTAxVDAwOjAwOjAwKzAwOjAwIiwgdHJ1ZSwgMV0"])
def test_a_foreign_cursor_is_refused(store: SqliteDocuments, cursor: str) -> None:
    with pytest.raises(Malformed):
        incident_history.page_of(store, "i", limit=5, cursor=cursor)
