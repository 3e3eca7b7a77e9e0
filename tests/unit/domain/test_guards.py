"""When guards may be called: shifts over midnight, time zones, the days on which the clock is put forward or back."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.guards import Guard, Hours, PassReason, Shift, Weekday, unavailable, zone_of
from shared.domain.incidents import Priority
from shared.records import from_data, to_data

NIGHTS = Shift(time(22), time(6), (Weekday.FRIDAY, Weekday.SATURDAY))
MORNINGS = Shift(time(6), time(14))


def guard(*shifts: Shift, quiet: Hours | None = None, zone: str = "Europe/Berlin", active: bool = True) -> Guard:
    return Guard("ann", "Ann", None, shifts, quiet, zone, active=active)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def on_shift(who: Guard, moment: str) -> bool:
    return unavailable(who, Priority.HIGH, at(moment)) is None


@pytest.mark.parametrize(
    ("utc", "expected"),
    [
        ("2026-02-27T20:59", False),  # Friday, 21:59 in Berlin
        ("2026-02-27T21:00", True),
        ("2026-02-28T04:59", True),  # Saturday, 05:59: Friday's shift goes on
        ("2026-02-28T05:00", False),
        ("2026-03-01T04:59", True),  # Sunday, 05:59: Saturday's
        ("2026-03-01T21:30", False),  # Sunday night is nobody's
        ("2026-02-27T04:00", False),  # Friday, 05:00: that would be Thursday's
    ],
)
def test_a_shift_over_midnight_belongs_to_the_day_on_which_it_begins(utc: str, expected: bool) -> None:
    assert on_shift(guard(NIGHTS), utc) is expected


@pytest.mark.parametrize(
    ("utc", "expected"),
    [
        ("2026-03-28T05:00", True),  # the day before summer time: 06:00 in Berlin
        ("2026-03-28T04:59", False),
        ("2026-03-29T04:00", True),  # from today 06:00 is an hour earlier
        ("2026-03-29T03:59", False),
        ("2026-10-25T04:59", False),  # winter time again
        ("2026-10-25T05:00", True),
    ],
)
def test_a_shift_follows_the_clock_on_the_wall(utc: str, expected: bool) -> None:
    assert on_shift(guard(MORNINGS), utc) is expected


def test_a_shift_from_within_the_hour_that_is_left_out_starts_after_it() -> None:
    early = guard(Shift(time(2, 30), time(4)))
    assert not on_shift(early, "2026-03-29T00:59")  # 01:59
    assert on_shift(early, "2026-03-29T01:00")  # 03:00, where 02:00 would have been


def test_the_hour_that_comes_twice_belongs_to_the_shift_both_times() -> None:
    late = guard(Shift(time(2), time(3)))
    assert [on_shift(late, f"2026-10-25T0{hour}:30") for hour in range(3)] == [True, True, False]


def test_equal_ends_are_a_whole_day_from_its_beginning() -> None:
    whole = guard(Shift(time(8), time(8), (Weekday.MONDAY,)), zone="UTC")
    assert [
        on_shift(whole, f"2026-03-0{day}T{hour}:00") for day, hour in [(2, "07"), (2, "08"), (3, "07"), (3, "08")]
    ] == [
        False,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("priority", "expected"),
    [(Priority.CRITICAL, None), (Priority.HIGH, PassReason.QUIET_HOURS), (Priority.MEDIUM, PassReason.QUIET_HOURS)],
)
def test_quiet_hours_are_broken_by_what_is_critical_alone(priority: Priority, expected: PassReason | None) -> None:
    sleeping = guard(quiet=Hours(time(23), time(7)), zone="UTC")
    assert unavailable(sleeping, priority, at("2026-03-01T02:00")) is expected
    assert unavailable(sleeping, priority, at("2026-03-01T07:00")) is None


def test_who_is_inactive_is_not_called_for_anything() -> None:
    assert unavailable(guard(active=False), Priority.CRITICAL, at("2026-03-01T12:00")) is PassReason.INACTIVE


@pytest.mark.parametrize(
    "name", ["Europe/Nowhere", "../../etc/passwd", "Europe", "", "/etc/localtime", "x" * 5000, "\x00"]
)
def test_a_time_zone_that_is_none_is_none_and_hides_nobody(name: str) -> None:
    assert zone_of(name) is None
    assert unavailable(guard(NIGHTS, zone=name), Priority.HIGH, at("2026-03-04T12:00")) is None


times = st.builds(time, st.integers(0, 23), st.integers(0, 59))
zones = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"])
moments = st.integers(0, 365 * 24 * 60).map(
    lambda minutes: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
)


@given(times, times, zones, moments)
def test_a_shift_and_the_one_from_its_end_to_its_start_cover_each_moment_once(
    start: time, end: time, zone: str, now: datetime
) -> None:
    """Together they are the whole week, and they never overlap but where both are a whole day."""
    working = unavailable(guard(Shift(start, end), zone=zone), Priority.HIGH, now) is None
    resting = unavailable(guard(Shift(end, start), zone=zone), Priority.HIGH, now) is None
    assert working != resting or (start == end and working)


def test_a_guard_is_stored_and_read_back_whole() -> None:
    whole = Guard("a", "Ann", ("gate",), (NIGHTS,), Hours(time(1), time(2)), "UTC", ("t",), active=False, rank=3)
    assert to_data(whole)["shifts"][0]["start"] == "22:00:00"
    assert from_data(Guard, to_data(whole)) == whole
