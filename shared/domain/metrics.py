"""What requests took and how they ended, by route: counted by each instance, merged by whoever reads.

Windows are of a minute: an instance's counts of one, under the time at which the minute began. Snapshots are of five
minutes, under the time at which they ended. Sums are of whole microseconds, because those are exact in any order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from shared.domain import latencies

MINUTE = timedelta(minutes=1)
SLOT = timedelta(minutes=5)
KEPT = timedelta(days=7)
"""How long windows and snapshots are kept: 2,016 snapshots."""

RECENT = timedelta(minutes=5)
"""What `GET /metrics` tells of."""

HEARD = timedelta(seconds=30)
"""A session that was heard from within this time is active."""


@dataclass(frozen=True)
class RouteCounts:
    """What became of the requests of one route. `statuses`: how many ended with each HTTP status."""

    bins: latencies.Bins = field(default_factory=dict)
    statuses: Mapping[int, int] = field(default_factory=dict)
    microseconds: int = 0

    @property
    def count(self) -> int:
        """How many requests."""
        return sum(self.statuses.values())


Routes = Mapping[str, RouteCounts]
"""By the route's template, as in `/analysis/{asset_id}`."""


@dataclass(frozen=True)
class Window:
    """What one instance counted in one minute. `id` is no other's; `lost`: requests it could tell nobody of before."""

    id: str
    at: datetime
    routes: Routes
    lost: int = 0


@dataclass(frozen=True)
class Summary:
    """How many requests, how many of each status, and quantiles in ms (None without a request)."""

    count: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    statuses: Mapping[int, int]
    seconds: float


@dataclass(frozen=True)
class LiveSessions:
    """`active`: heard from in the last 30 s; `total`: in the last five minutes."""

    active: int = 0
    total: int = 0


@dataclass(frozen=True)
class Snapshot:
    """The five minutes that ended at `at`, over all instances."""

    at: datetime
    totals: Summary
    routes: Mapping[str, Summary]
    sessions: LiveSessions


def minute_of(moment: datetime) -> datetime:
    """When the minute began."""
    return moment.astimezone(UTC).replace(second=0, microsecond=0)


def slot_of(moment: datetime) -> datetime:
    """When the five minutes began."""
    minute = minute_of(moment)
    return minute - timedelta(minutes=minute.minute % 5)


def merged_counts(several: Iterable[RouteCounts]) -> RouteCounts:
    """The counts of several in one."""
    all_of_them = list(several)
    statuses: Counter[int] = Counter()
    for counts in all_of_them:
        statuses.update(counts.statuses)
    bins = latencies.merged(counts.bins for counts in all_of_them)
    return RouteCounts(bins, dict(statuses), sum(counts.microseconds for counts in all_of_them))


def merged_routes(several: Iterable[Routes]) -> dict[str, RouteCounts]:
    """The counts of each route over several instances or minutes."""
    by_route: dict[str, list[RouteCounts]] = {}
    for routes in several:
        for route, counts in routes.items():
            by_route.setdefault(route, []).append(counts)
    return {route: merged_counts(by_route[route]) for route in sorted(by_route)}


def summary(counts: RouteCounts) -> Summary:
    """What is told of them."""
    p50, p95, p99 = (_told(latencies.quantile(counts.bins, share)) for share in (0.5, 0.95, 0.99))
    statuses = dict(sorted(counts.statuses.items()))
    return Summary(counts.count, p50, p95, p99, statuses, counts.microseconds / 1e6)


def snapshot(at: datetime, routes: Routes, sessions: LiveSessions) -> Snapshot:
    """What is told of some routes, and of all requests together."""
    shown = {route: summary(counts) for route, counts in routes.items()}
    return Snapshot(at, summary(merged_counts(routes.values())), shown, sessions)


def _told(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds, 3)
