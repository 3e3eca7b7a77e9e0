"""Sketches of latencies against the library whose bins they have, and merging in any order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from ddsketch import DDSketch, LogarithmicMapping
from hypothesis import given
from hypothesis import strategies as st

from shared.domain import latencies, metrics
from shared.domain.metrics import LiveSessions, RouteCounts

TIMES = st.lists(st.floats(min_value=0.02, max_value=3_000_000), min_size=1, max_size=200)
SHARES = st.sampled_from([0.0, 0.5, 0.95, 0.99, 1.0])
COUNTS = st.builds(
    RouteCounts,
    bins=st.dictionaries(st.integers(-200, 800), st.integers(1, 1000), max_size=5),
    statuses=st.dictionaries(st.sampled_from([200, 404, 500]), st.integers(1, 1000)),
    microseconds=st.integers(0, 10**12),
)
ROUTES = st.dictionaries(st.sampled_from(["/analysis", "/health", "(none)"]), COUNTS)


def sketch(times: list[float]) -> dict[int, int]:
    return latencies.merged({latencies.bin_of(time): 1} for time in times)


@given(TIMES, SHARES)
def test_quantiles_are_within_one_percent_of_the_exact_ones(times: list[float], share: float) -> None:
    exact = sorted(times)[int(share * (len(times) - 1))]
    assert latencies.quantile(sketch(times), share) == pytest.approx(exact, rel=latencies.ACCURACY * 1.0001)


@given(TIMES, SHARES)
def test_they_are_those_of_the_library(times: list[float], share: float) -> None:
    theirs = DDSketch(latencies.ACCURACY)
    for time in times:
        theirs.add(time)
    assert latencies.quantile(sketch(times), share) == pytest.approx(theirs.get_quantile_value(share))


@given(st.integers(-225, 760))
def test_bins_stand_for_what_the_library_says(number: int) -> None:
    assert latencies.milliseconds_of(number) == pytest.approx(LogarithmicMapping(latencies.ACCURACY).value(number))


@given(TIMES, TIMES)
def test_two_merged_sketches_are_the_sketch_of_all(ours: list[float], theirs: list[float]) -> None:
    assert latencies.merged([sketch(ours), sketch(theirs)]) == sketch(ours + theirs)


@pytest.mark.parametrize("odd", [0.0, -1.0, float("nan"), 1e-300, float("inf"), 1e300])
def test_impossible_times_stay_within_the_bins(odd: float) -> None:
    lowest, highest = latencies.bin_of(latencies.SHORTEST_MS), latencies.bin_of(latencies.LONGEST_MS)
    assert lowest <= latencies.bin_of(odd) <= highest
    assert highest - lowest < 1000


def test_nothing_has_no_quantile() -> None:
    assert latencies.quantile({}, 0.5) is None


@given(st.lists(ROUTES, max_size=5), st.randoms(use_true_random=False))
def test_the_order_of_merging_does_not_matter(several: list[dict[str, RouteCounts]], chance: object) -> None:
    shuffled = list(several)
    chance.shuffle(shuffled)  # type: ignore[attr-defined] # hypothesis gives a Random
    assert metrics.merged_routes(shuffled) == metrics.merged_routes(several)


@given(ROUTES, ROUTES, ROUTES)
def test_nor_does_what_is_merged_first(
    one: dict[str, RouteCounts], two: dict[str, RouteCounts], three: dict[str, RouteCounts]
) -> None:
    merged = metrics.merged_routes
    assert merged([merged([one, two]), three]) == merged([one, merged([two, three])])


@given(ROUTES)
def test_the_totals_are_those_of_all_routes(routes: dict[str, RouteCounts]) -> None:
    told = metrics.snapshot(datetime.now(UTC), routes, LiveSessions())
    assert told.totals.count == sum(each.count for each in told.routes.values())
    for status, number in told.totals.statuses.items():
        assert number == sum(each.statuses.get(status, 0) for each in told.routes.values())


@given(st.datetimes(timezones=st.just(UTC)))
def test_five_minutes_begin_at_times_that_five_divides(moment: datetime) -> None:
    begun = metrics.slot_of(moment)
    assert begun <= moment < begun + metrics.SLOT if begun < datetime.max.replace(tzinfo=UTC) - metrics.SLOT else True
    assert (begun.minute % 5, begun.second, begun.microsecond) == (0, 0, 0)


def test_minutes_are_those_of_utc() -> None:
    moment = datetime.fromisoformat("2026-03-01T12:34:56+05:45")
    assert metrics.minute_of(moment) == datetime(2026, 3, 1, 6, 49, tzinfo=UTC)
    assert metrics.KEPT == 2016 * metrics.SLOT
    assert timedelta(days=7) == metrics.KEPT
