"""The load on paper: a day loses no clip, a bill adds up, limits are compared rightly, and the documents quote it."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.load_on_paper import SIZES, day, demand, fleet, report
from infra import topology

AT = datetime(2026, 11, 21, tzinfo=UTC)
DECLARED = topology.load()
DEMANDS = demand.load()
SECONDS = day.seconds_of(DEMANDS, DECLARED)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=200), st.floats(0.5, 60))
def test_what_arrives_is_finished_or_waits(came: list[int], rate: float) -> None:
    arrived = np.array(came, dtype=np.float64)
    finished, waiting = fleet.work_off(arrived, rate)
    assert np.allclose(np.cumsum(arrived), np.cumsum(finished) + waiting)
    assert (finished <= rate + 1e-9).all()
    assert (waiting >= -1e-9).all()


@given(st.lists(st.integers(0, 50), min_size=1, max_size=200), st.floats(0.5, 60))
def test_nothing_waits_while_somebody_is_idle(came: list[int], rate: float) -> None:
    finished, waiting = fleet.work_off(np.array(came, dtype=np.float64), rate)
    idle = finished < rate - 1e-9
    assert np.allclose(waiting[idle], 0)


def test_a_day_brings_as_many_clips_as_its_cameras_record() -> None:
    cameras = fleet.Fleet(1_000)
    arrived = fleet.arrivals(cameras)
    assert arrived.sum() == pytest.approx(cameras.clips, rel=0.03)
    storm = arrived[20 * 3600 : 20 * 3600 + 60].sum()
    assert storm == pytest.approx(1_000 * cameras.storm + cameras.evening * 1_000 / 60, rel=0.35)


def test_a_small_fleet_waits_for_nothing_and_a_huge_one_does() -> None:
    small, huge = (fleet.simulate(fleet.Fleet(count), SECONDS, DECLARED) for count in (10, 1_000_000))
    assert small.delay < 1
    assert {line.function for line in huge.lines if line.waiting > 0} >= {"ingest"}


def test_every_function_that_an_upload_passes_is_called() -> None:
    called = DEMANDS["violent upload"].calls(DECLARED)
    passed = {"uploads", "ingest", "detect", "context", "correlate", "moderate", "escalate", "notify"}
    assert passed <= set(called)


def test_ten_times_the_cameras_ask_for_ten_times_the_documents() -> None:
    few, many = (day.totals(fleet.Fleet(count), DEMANDS, DECLARED) for count in (1_000, 10_000))
    sweeping = 24 * 60 * DEMANDS["minute of the sweeper"].written
    assert many.writes - sweeping == pytest.approx(10 * (few.writes - sweeping))


def test_the_last_row_of_the_bill_is_its_sum() -> None:
    each = report.sheet(1_000, AT)
    assert report.cost_rows([each])[-1][1] == f"{each.usd:,.2f}"
    assert all(line.usd > 0 for line in each.bill)


def test_the_limit_that_breaks_first_is_the_first_that_is_used_up_as_fleets_grow() -> None:
    first = next(strain for strain in report.sheet(1_000, AT).strains if strain.grows)
    after = report.sheet(int(first.breaks_at(1_000) * 2), AT).strains
    assert after[0].limit == first.limit
    assert after[0].share > 1


def test_the_costs_in_the_handbook_are_the_computed_ones() -> None:
    """`python -m bench load_on_paper --handbook` writes them there when a price or a count has changed."""
    sheets = [report.sheet(cameras, AT) for cameras in SIZES]
    assert report.with_costs(report.HANDBOOK.read_text(), sheets) == report.HANDBOOK.read_text()
