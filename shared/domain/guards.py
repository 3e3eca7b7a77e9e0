"""Guards: people who are called when something happens at their places, and when they may be called.

Times of a guard are those of the clock on their wall, in their own time zone. So where summer time begins, a shift that
starts in the hour that is left out starts when that hour is over; where it ends, the hour that comes twice belongs to
the shift both times. A time zone that this machine does not know hides nobody: such a guard counts as on shift and not
in quiet hours, because a call too many does less harm than one too few.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from enum import StrEnum
from functools import lru_cache
from zoneinfo import ZoneInfo

from shared.domain.incidents import Priority


class Weekday(StrEnum):
    """The days of a week, in the order of `datetime.weekday`."""

    MONDAY = "mon"
    TUESDAY = "tue"
    WEDNESDAY = "wed"
    THURSDAY = "thu"
    FRIDAY = "fri"
    SATURDAY = "sat"
    SUNDAY = "sun"


@dataclass(frozen=True)
class Hours:
    """From `start` (inclusive) to `end` (exclusive) on the wall's clock, every day.

    An `end` that is not after the `start` is that of the next day: 22:00 to 06:00 passes midnight, equal ones are a
    whole day.
    """

    start: time
    end: time


@dataclass(frozen=True)
class Shift(Hours):
    """Hours that begin on these days."""

    days: tuple[Weekday, ...] = tuple(Weekday)


@dataclass(frozen=True)
class Guard:
    """Somebody who can be called.

    `places`: ids of the beacons they are named for; None: all. `shifts`: when they work; none: always. `quiet_hours`:
    when they are called for what is Critical alone. `tokens`: of their phones, at the push service. `rank`: who has a
    lower one is called earlier.
    """

    id: str
    name: str
    places: tuple[str, ...] | None = None
    shifts: tuple[Shift, ...] = ()
    quiet_hours: Hours | None = None
    time_zone: str = "UTC"
    tokens: tuple[str, ...] = ()
    active: bool = True
    rank: int = 100

    def is_named_for(self, beacon_id: str) -> bool:
        """Whether they are registered for this very place, and not for all."""
        return self.places is not None and beacon_id in self.places


class PassReason(StrEnum):
    """Why a guard of the place was not asked. NOT_REACHED: the alert ended, or waits, before it was their turn."""

    INACTIVE = "inactive"
    OFF_SHIFT = "off_shift"
    QUIET_HOURS = "quiet_hours"
    NOT_REACHED = "not_reached"


def unavailable(guard: Guard, priority: Priority, now: datetime) -> PassReason | None:
    """Why the guard can't be called now about something of this priority; None: they can."""
    if not guard.active:
        return PassReason.INACTIVE
    zone = zone_of(guard.time_zone)
    if zone is None:
        return None
    here = now.astimezone(zone)
    if guard.shifts and not any(_covers(shift, shift.days, here) for shift in guard.shifts):
        return PassReason.OFF_SHIFT
    quiet = guard.quiet_hours
    if priority is not Priority.CRITICAL and quiet is not None and _covers(quiet, tuple(Weekday), here):
        return PassReason.QUIET_HOURS
    return None


def _covers(hours: Hours, days: tuple[Weekday, ...], here: datetime) -> bool:
    clock = here.time()
    if hours.start < hours.end:
        return _day(here) in days and hours.start <= clock < hours.end
    began_today = _day(here) in days and clock >= hours.start
    began_yesterday = _day(here - timedelta(days=1)) in days and clock < hours.end
    return began_today or began_yesterday


def _day(here: datetime) -> Weekday:
    return list(Weekday)[here.weekday()]


@lru_cache(maxsize=1000)
def zone_of(name: str) -> tzinfo | None:
    """The time zone of this name (`Europe/Berlin`), or None if this machine knows none."""
    if name == "UTC":
        return UTC  # also where there is no database of time zones
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown; no name at all (`../x`); the name of a folder
        return None
