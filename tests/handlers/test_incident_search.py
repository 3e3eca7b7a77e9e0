"""Incidents are found by any filters together, page by page, and counted by status."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra import topology
from shared.adapters.embedded.documents import SqliteDocuments
from shared.domain.incidents import Incident, IncidentStatus, Outcome, Priority
from shared.errors import Malformed
from shared.ports import Documents, Order
from shared.repositories import incident_search, incidents
from shared.repositories.incident_search import Search
from tests.fakes import NOON

PLACES = ("gate", "yard", "hall")


def kept(number: int) -> Incident:
    """One of a variety; several opened at the same moment."""
    status = list(IncidentStatus)[number % 4]
    over = status is IncidentStatus.RESOLVED
    return Incident(
        id=f"incident-{number:03}",
        beacon_id=PLACES[number % 3],
        beacon_location="somewhere",
        status=status,
        priority=list(Priority)[number // 4 % 3],
        opened_at=NOON + timedelta(seconds=number // 5),
        assignee="anna" if number % 7 else None,
        outcome=list(Outcome)[number // 3 % 3] if over else None,
        legal_hold=number % 5 == 0,
    )


KEPT = [kept(number) for number in range(60)]
NEWEST_FIRST = sorted(KEPT, key=lambda incident: (incident.opened_at, incident.id), reverse=True)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteDocuments]:
    path = tmp_path_factory.mktemp("search") / "documents.sqlite3"
    opened = SqliteDocuments(path, topology.load().document_indexes())
    opened.commit([incidents.creation(incident) for incident in KEPT])
    yield opened
    opened.close()


def paged(store: Documents, search: Search, limit: int = 7) -> list[Incident]:
    """Everything found, page by page."""
    found, cursor = incident_search.find(store, search, limit=limit, cursor=None)
    while cursor is not None:
        assert len(found) % limit == 0
        page, cursor = incident_search.find(store, search, limit=limit, cursor=cursor)
        found += page
    return found


def matches(incident: Incident, search: Search) -> bool:
    """What the search means, said once more."""
    return (
        (not search.statuses or incident.status in search.statuses)
        and (not search.priorities or incident.priority in search.priorities)
        and (not search.outcomes or incident.outcome in search.outcomes)
        and search.beacon_id in {None, incident.beacon_id}
        and search.assignee in {None, incident.assignee}
        and search.legal_hold in {None, incident.legal_hold}
        and (search.opened_after is None or incident.opened_at >= search.opened_after)
        and (search.opened_before is None or incident.opened_at < search.opened_before)
        and (search.places is None or incident.beacon_id in search.places)
    )


def some(values: type[IncidentStatus] | type[Priority] | type[Outcome]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(st.sampled_from(list(values)), unique=True).map(tuple)


MANY_PLACES = tuple(f"elsewhere {number}" for number in range(40)) + PLACES[:2]
MOMENTS = st.none() | st.integers(0, 13).map(lambda seconds: NOON + timedelta(seconds=seconds))
SEARCHES = st.builds(
    Search,
    statuses=some(IncidentStatus),
    priorities=some(Priority),
    outcomes=some(Outcome),
    beacon_id=st.none() | st.sampled_from([*PLACES, "nowhere"]),
    assignee=st.none() | st.sampled_from(["anna", "nobody"]),
    legal_hold=st.none() | st.booleans(),
    opened_after=MOMENTS,
    opened_before=MOMENTS,
    places=st.none() | st.sampled_from([(), PLACES[:1], PLACES, MANY_PLACES, PLACES[:1] * 3]),
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(search=SEARCHES, limit=st.integers(1, 20))
def test_any_search_finds_and_counts_just_what_it_means(store: SqliteDocuments, search: Search, limit: int) -> None:
    expected = [incident for incident in NEWEST_FIRST if matches(incident, search)]
    assert paged(store, search, limit) == expected
    counts = incident_search.count_by_status(store, search)
    assert {status: count for status, count in counts.items() if count} == Counter(each.status for each in expected)
    assert set(counts) == set(search.statuses or IncidentStatus)


def test_every_combination_of_filters_has_its_indexes(store: SqliteDocuments) -> None:
    """The store refuses a query that no declared index serves."""
    choices = product(
        [(), (IncidentStatus.CREATED,), (IncidentStatus.CREATED, IncidentStatus.ASSIGNED)],
        [(), (Priority.HIGH,)],
        [(), (Outcome.RESOLVED, Outcome.ESCALATED)],
        [None, "gate"],
        [None, "anna"],
        [None, True],
        [None, NOON],
        [None, ("gate",), MANY_PLACES],
    )
    for statuses, priorities, outcomes, beacon, assignee, hold, since, places in choices:
        search = Search(statuses, priorities, outcomes, beacon, assignee, hold, since, None, places)
        assert all(matches(incident, search) for incident in paged(store, search, limit=60))
        incident_search.count_by_status(store, search)


def test_each_filter_has_one_index_and_no_more() -> None:
    declared = [index.as_index().fields for index in topology.load().indexes if index.collection == "incidents"]
    newest = Order("opened_at", descending=True)
    filters = ["status", "priority", "outcome", "beacon_id", "assignee", "legal_hold"]
    assert [fields for fields in declared if fields[-1] == newest] == [(Order(name), newest) for name in filters]


def test_what_opens_while_somebody_pages_moves_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("moving") / "documents.sqlite3"
    store = SqliteDocuments(path, topology.load().document_indexes())
    store.commit([incidents.creation(incident) for incident in KEPT[:10]])
    first, cursor = incident_search.find(store, Search(), limit=5, cursor=None)
    store.commit([incidents.creation(incident) for incident in KEPT[10:20]])
    second, following = incident_search.find(store, Search(), limit=5, cursor=cursor)
    assert [*first, *second] == sorted(KEPT[:10], key=lambda each: (each.opened_at, each.id), reverse=True)
    assert following is None
    store.close()


@pytest.mark.parametrize(
    "cursor",
    ["", "abc", "ä", "W10", "bnVsbA", "e30", "WyIyMDI2LTAxLTAxVDAwOjAwOjAwIiwgImkiXQ", "W1tbW1tb" * 1000],
)
def test_a_foreign_cursor_is_refused(store: SqliteDocuments, cursor: str) -> None:
    with pytest.raises(Malformed):
        incident_search.find(store, Search(), limit=5, cursor=cursor)
