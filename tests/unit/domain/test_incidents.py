"""When a signal attaches and when it opens an incident: the table of SPEC §4."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.incidents import (
    IncidentPolicy,
    IncidentStatus,
    Observation,
    Priority,
    Reason,
    SignalKind,
    Slot,
    concerns_incident,
    decide,
    parse_confidence,
    raised_priority,
    reason_to_log,
)
from shared.errors import Permanent

OPENED = datetime(2026, 1, 16, 10, 0, tzinfo=UTC)
SLOT = Slot("gate", "incident-1", OPENED)
STANDARD = IncidentPolicy()
QUIET = IncidentPolicy(quiet=timedelta(seconds=60), max_age=timedelta(seconds=900))


def after(seconds: float) -> datetime:
    return OPENED + timedelta(seconds=seconds)


def seen(kind: SignalKind, confidence: float) -> Observation:
    return Observation(kind, "gate", confidence, "seen")


@pytest.mark.parametrize(
    ("kind", "confidence", "concerns"),
    [
        (SignalKind.VIOLENCE, 0.75, True),
        (SignalKind.VIOLENCE, 0.7499, False),
        (SignalKind.SCREAM, 0.80, True),
        (SignalKind.SCREAM, 0.79, False),
    ],
)
def test_each_kind_has_its_threshold(kind: SignalKind, confidence: float, concerns: bool) -> None:
    assert concerns_incident(seen(kind, confidence)) is concerns


@pytest.mark.parametrize(
    ("slot", "status", "last", "now", "policy", "reason"),
    [
        (None, None, None, after(0), STANDARD, Reason.OPENED_FIRST),
        (SLOT, IncidentStatus.CREATED, None, after(299.9), STANDARD, Reason.ATTACHED_WITHIN_WINDOW),
        (SLOT, IncidentStatus.CREATED, None, after(300), STANDARD, Reason.OPENED_AFTER_WINDOW),
        (SLOT, IncidentStatus.IN_PROGRESS, None, after(-5), STANDARD, Reason.ATTACHED_WITHIN_WINDOW),
        (SLOT, IncidentStatus.RESOLVED, None, after(10), STANDARD, Reason.OPENED_AFTER_RESOLUTION),
        (SLOT, None, None, after(10), STANDARD, Reason.OPENED_AFTER_LOSS),
        (SLOT, IncidentStatus.CREATED, None, after(-299), STANDARD, Reason.ATTACHED_WITHIN_WINDOW),
        (SLOT, IncidentStatus.CREATED, None, after(-300), STANDARD, Reason.OPENED_AFTER_CLOCK_TURNED_BACK),
        (SLOT, IncidentStatus.CREATED, after(-400), after(-400), QUIET, Reason.OPENED_AFTER_CLOCK_TURNED_BACK),
        (SLOT, IncidentStatus.CREATED, after(330), after(310), QUIET, Reason.ATTACHED_WHILE_SIGNALS_CONTINUE),
        (SLOT, IncidentStatus.CREATED, after(9000), after(310), QUIET, Reason.OPENED_AFTER_WINDOW),
        (SLOT, IncidentStatus.CREATED, after(290), after(349), QUIET, Reason.ATTACHED_WHILE_SIGNALS_CONTINUE),
        (SLOT, IncidentStatus.CREATED, after(290), after(350), QUIET, Reason.OPENED_AFTER_WINDOW),
        (SLOT, IncidentStatus.CREATED, None, after(310), QUIET, Reason.OPENED_AFTER_WINDOW),
        (SLOT, IncidentStatus.CREATED, after(899), after(900), QUIET, Reason.OPENED_AFTER_MAX_AGE),
    ],
)
def test_the_table_of_deduplication(
    slot: Slot | None,
    status: IncidentStatus | None,
    last: datetime | None,
    now: datetime,
    policy: IncidentPolicy,
    reason: Reason,
) -> None:
    assert decide(slot, status, last, now, policy) is reason


def test_the_maximum_age_caps_a_longer_window() -> None:
    short = IncidentPolicy(window=timedelta(seconds=300), max_age=timedelta(seconds=100))
    assert decide(SLOT, IncidentStatus.CREATED, None, after(100), short) is Reason.OPENED_AFTER_MAX_AGE


def test_a_quiet_time_and_a_window_beyond_the_maximum_age_end_with_it() -> None:
    long = IncidentPolicy(timedelta(seconds=900), quiet=timedelta(seconds=900), max_age=timedelta(seconds=100))
    assert decide(SLOT, IncidentStatus.CREATED, after(99), after(99), long) is Reason.ATTACHED_WITHIN_WINDOW
    assert decide(SLOT, IncidentStatus.CREATED, after(99), after(100), long) is Reason.OPENED_AFTER_MAX_AGE


def test_a_kind_that_takes_no_part_is_logged_however_sure_it_is() -> None:
    only_violence = IncidentPolicy(kinds=frozenset({SignalKind.VIOLENCE}))
    assert reason_to_log(seen(SignalKind.SCREAM, 1.0), only_violence) is Reason.KIND_TAKES_NO_PART
    assert reason_to_log(seen(SignalKind.VIOLENCE, 0.7), only_violence) is Reason.BELOW_THRESHOLD
    assert reason_to_log(seen(SignalKind.VIOLENCE, 0.75), only_violence) is None


def test_priority_rises_and_never_falls() -> None:
    assert raised_priority(Priority.HIGH, Priority.CRITICAL) is Priority.CRITICAL
    assert raised_priority(Priority.CRITICAL, Priority.HIGH) is None
    assert raised_priority(Priority.HIGH, Priority.HIGH) is None


NO_CONFIDENCE = [
    float("nan"),
    1.5,
    -0.1,
    "high",
    None,
    True,
    [0.9],
    "nan",
    float("inf"),
    10**400,
    "0_1",
    "٠.٩",
    "1e999",
]


@pytest.mark.parametrize("raw", NO_CONFIDENCE)
def test_what_is_no_confidence_is_refused_in_the_sources_words(raw: object) -> None:
    with pytest.raises(Permanent) as refused:
        parse_confidence(raw)
    assert refused.value.sentence == "Confidence score not between 0.0-1.0"


@pytest.mark.parametrize(("raw", "value"), [(0, 0.0), (1, 1.0), (0.75, 0.75), ("0.92", 0.92)])
def test_numbers_are_taken_as_text_too(raw: object, value: float) -> None:
    assert parse_confidence(raw) == value


@given(st.lists(st.floats(0, 2000), min_size=1, max_size=40))
def test_incidents_of_one_place_open_at_least_a_window_apart(seconds: list[float]) -> None:
    slot: Slot | None = None
    openings: list[datetime] = []
    for moment in sorted(seconds):
        now = after(moment)
        reason = decide(slot, IncidentStatus.CREATED if slot else None, None, now, STANDARD)
        if not reason.attaches:
            slot = Slot("gate", f"incident-{len(openings)}", now)
            openings.append(now)
    gaps = [(b - a).total_seconds() for a, b in pairwise(openings)]
    assert all(gap >= 300 for gap in gaps)
