"""Stored metrics: each instance's minutes, who listens to it, and the snapshots over all instances.

A minute's document is one instance's own, so that none is hot. It is small: its counts are JSON, compressed. Every
document says when it has expired (`expires_at`); until it is removed it is not told of, because readers ask by time.
"""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from shared.domain.metrics import HEARD, KEPT, RECENT, LiveSessions, RouteCounts, Routes, Snapshot, Summary, Window
from shared.errors import AlreadyExists, VersionConflict
from shared.ports import Create, Delete, Document, Documents, Filter, Order, Query, Set, Update
from shared.repositories.paging import every

log = logging.getLogger(__name__)

WINDOWS = "metric_windows"
SNAPSHOTS = "metric_snapshots"
LISTENERS = "metric_listeners"
PAGE = 300

MOST_WINDOWS = 5000
"""Read at a time: five minutes of a thousand instances. What lies beyond is left out, and the log says so."""

UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, zlib.error)
"""What reading a document of another version of this program may raise."""

MOST_SNAPSHOTS = KEPT // timedelta(minutes=5)
"""2,016."""


@dataclass(frozen=True)
class Listeners:
    """Who listened to one instance, when it spoke last."""

    instance: str
    heard_at: datetime
    sessions: LiveSessions


# --------------------------------------------------------------------------- minutes


def save_windows(documents: Documents, windows: Sequence[Window], instance: str, now: datetime) -> None:
    """Stores an instance's minutes; safe to repeat. Raises what `Documents.commit` raises."""
    if windows:
        documents.commit([_saving(window, instance, now) for window in windows])


def windows_since(documents: Documents, since: datetime, before: datetime) -> list[Window]:
    """The minutes that began in [since, before). Raises `Retryable`."""
    return [window for _, window in _read(documents, _between("at", since, before))]


def minutes_written_since(documents: Documents, moment: datetime) -> set[datetime]:
    """When the minutes began that were written at or after a moment, however old they were."""
    query = Query(WINDOWS, (Filter("written_at", ">=", moment),), (Order("written_at"),))
    return {document.data["at"] for document in _bounded(documents, query)}


def _saving(window: Window, instance: str, now: datetime) -> Set:
    data = {
        "at": window.at,
        "written_at": now,
        "expires_at": max(window.at, now) + KEPT,
        "instance": instance,
        "lost": window.lost,
        "routes": _packed(window.routes),
    }
    return Set(WINDOWS, window.id, data)


def _between(field: str, since: datetime, before: datetime) -> Query:
    return Query(WINDOWS, (Filter(field, ">=", since), Filter(field, "<", before)), (Order(field),))


def _read(documents: Documents, query: Query) -> Iterator[tuple[Document, Window]]:
    for document in _bounded(documents, query):
        try:
            routes = _unpacked(document.data["routes"])
        except UNREADABLE:
            log.warning("the metrics %s can't be read", document.id)
            continue
        yield document, Window(document.id, document.data["at"], routes, document.data.get("lost", 0))


def _bounded(documents: Documents, query: Query) -> Iterator[Document]:
    found = every(documents, query, page=PAGE)
    yield from islice(found, MOST_WINDOWS)
    if next(found, None) is not None:
        log.warning("more than %d documents of metrics: the others are left out", MOST_WINDOWS)


def _packed(routes: Routes) -> bytes:
    plain = {
        route: {
            "bins": sorted(counts.bins.items()),
            "statuses": sorted(counts.statuses.items()),
            "microseconds": counts.microseconds,
        }
        for route, counts in routes.items()
    }
    return zlib.compress(json.dumps(plain, separators=(",", ":")).encode())


def _unpacked(packed: bytes) -> dict[str, RouteCounts]:
    plain: dict[str, Any] = json.loads(zlib.decompress(packed))
    return {
        route: RouteCounts(_counts(each["bins"]), _counts(each["statuses"]), int(each["microseconds"]))
        for route, each in plain.items()
    }


def _counts(pairs: Iterable[Sequence[int]]) -> dict[int, int]:
    return {int(key): int(number) for key, number in pairs}


# --------------------------------------------------------------------------- who listens


def save_listeners(documents: Documents, told: Listeners) -> None:
    """Says who listens to an instance. Raises what `Documents.commit` raises."""
    data = {
        "heard_at": told.heard_at,
        "expires_at": told.heard_at + KEPT,
        "active": told.sessions.active,
        "total": told.sessions.total,
    }
    documents.commit([Set(LISTENERS, told.instance, data)])


def live_sessions(documents: Documents, now: datetime, *, beside: str = "") -> LiveSessions:
    """Over all instances but `beside`, which knows its own better."""
    query = Query(LISTENERS, (Filter("heard_at", ">", now - RECENT),), (Order("heard_at"),))
    found = [document.data for document in _bounded(documents, query) if document.id != beside]
    active = sum(each["active"] for each in found if each["heard_at"] > now - HEARD)
    return LiveSessions(active, sum(each["total"] for each in found))


# --------------------------------------------------------------------------- snapshots


def find_snapshot(documents: Documents, at: datetime) -> tuple[Snapshot, str] | None:
    """The snapshot of the five minutes that ended then, with its version; None if there is none that can be read."""
    document = documents.get(SNAPSHOTS, _name(at))
    if document is None or (found := _snapshot_of(document)) is None:
        return None
    return found, document.version


def save_snapshot(documents: Documents, made: Snapshot, version: str | None) -> bool:
    """Stores a snapshot in the place of the one of this version (None: of none); False if another is there."""
    plain = {
        "totals": _plain(made.totals),
        "routes": {route: _plain(each) for route, each in made.routes.items()},
        "sessions": [made.sessions.active, made.sessions.total],
    }
    told = zlib.compress(json.dumps(plain, separators=(",", ":")).encode())
    data = {"at": made.at, "expires_at": made.at + KEPT, "told": told}
    place = _name(made.at)
    try:
        documents.commit(
            [Create(SNAPSHOTS, place, data) if version is None else Update(SNAPSHOTS, place, data, version)]
        )
    except (AlreadyExists, VersionConflict):
        return False
    return True


def snapshots_since(documents: Documents, since: datetime, until: datetime) -> list[Snapshot]:
    """Those of (since, until], the oldest first, at most 2,016 of them, the latest. Raises `Retryable`."""
    query = Query(SNAPSHOTS, (Filter("at", ">", since), Filter("at", "<=", until)), (Order("at", descending=True),))
    found = islice(every(documents, query, page=PAGE), MOST_SNAPSHOTS)
    return [readable for document in found if (readable := _snapshot_of(document)) is not None][::-1]


def _name(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()


def _plain(told: Summary) -> list[Any]:
    return [told.count, told.p50_ms, told.p95_ms, told.p99_ms, sorted(told.statuses.items()), told.seconds]


def _snapshot_of(document: Document) -> Snapshot | None:
    """None for one of another version of this program, as after a roll back."""
    try:
        plain = json.loads(zlib.decompress(document.data["told"]))
        routes = {route: _summary_of(each) for route, each in plain["routes"].items()}
        return Snapshot(document.data["at"], _summary_of(plain["totals"]), routes, LiveSessions(*plain["sessions"]))
    except UNREADABLE:
        log.warning("the snapshot %s can't be read", document.id)
        return None


def _summary_of(plain: Sequence[Any]) -> Summary:
    count, p50, p95, p99, statuses, seconds = plain
    return Summary(count, p50, p95, p99, _counts(statuses), seconds)


# --------------------------------------------------------------------------- what expired


def remove_expired(documents: Documents, before: datetime) -> int:
    """Removes what expired before a moment; how many. For homes that don't do it themselves, as Firestore does."""
    return sum(_remove(documents, collection, before) for collection in (WINDOWS, SNAPSHOTS, LISTENERS))


def _remove(documents: Documents, collection: str, before: datetime) -> int:
    query = Query(collection, (Filter("expires_at", "<", before),), (Order("expires_at"),))
    removed = 0
    while found := documents.query(query, limit=PAGE).documents:
        documents.commit([Delete(collection, document.id) for document in found])
        removed += len(found)
    return removed
