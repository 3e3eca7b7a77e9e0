"""Every stage says what its computing is estimated to have cost, over all its attempts and replays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, BinaryIO

import pytest

from shared.domain.analysis import cost_of
from shared.domain.costs import Machine, compute_cost
from shared.domain.stages import Stage, StageState
from shared.errors import Retryable
from shared.handlers import direct, replays
from shared.ports import DetectionRun
from tests.fakes import NOON
from tests.handlers.pipeline import LEASE, ListBus, Pipeline, delivery_of, ledger, run_through

MACHINE = Machine(cpu=2, memory=1024)


def costs(seconds: float) -> float:
    return compute_cost(seconds, MACHINE, NOON)


def takes(pipeline: Pipeline, seconds: float, error: Exception | None = None) -> None:
    """Makes the detector slow, and fail if `error` is given."""
    inner: Callable[..., DetectionRun] = type(pipeline.detector).detect.__get__(pipeline.detector)

    def slowly(stream: BinaryIO, **options: Any) -> DetectionRun:
        pipeline.clock.advance(seconds)
        if error is not None:
            raise error
        return inner(stream, **options)

    pipeline.detector.detect = slowly  # type: ignore[method-assign]


def test_every_stage_that_ran_is_charged_for_its_time(pipeline: Pipeline, bus: ListBus) -> None:
    pipeline.machine = MACHINE
    takes(pipeline, 0.5)
    asset_id, notification = pipeline.upload("fight")
    run_through(pipeline, bus, notification)
    asset = pipeline.asset(asset_id)
    assert ledger(asset, Stage.DETECT).cost_usd == pytest.approx(costs(0.5))
    for stage in (Stage.INGEST, Stage.CONTEXT, Stage.CORRELATE, Stage.ESCALATE):
        assert ledger(asset, stage).cost_usd == pytest.approx(costs(0.0))
    ran = [record for record in asset.stages.values() if record.attempts]
    assert {record.price_date for record in ran} == {"2026-11-21"}
    looked = ledger(asset, Stage.MODERATE).cost_usd
    assert looked > costs(0.0)
    assert cost_of(asset) == pytest.approx(costs(0.5) + 4 * costs(0.0) + looked, abs=1e-8)


def test_a_home_without_a_bill_costs_nothing(pipeline: Pipeline, bus: ListBus) -> None:
    takes(pipeline, 0.5)
    asset_id, notification = pipeline.upload("fight")
    run_through(pipeline, bus, notification)
    asset = pipeline.asset(asset_id)
    assert cost_of(asset) == ledger(asset, Stage.MODERATE).cost_usd  # what the witnesses charge


def test_the_time_of_failed_attempts_is_not_forgotten(pipeline: Pipeline, bus: ListBus) -> None:
    pipeline.machine = MACHINE
    asset_id, notification = pipeline.upload("fight")
    handlers = pipeline.handlers()
    handlers["ingest"](notification)
    message = delivery_of(bus.messages[0])
    takes(pipeline, 0.3, Retryable("the bucket is away"))
    with pytest.raises(Retryable):
        handlers["detect"](message)
    record = ledger(pipeline.asset(asset_id), Stage.DETECT)
    assert record.state is StageState.PENDING
    assert record.cost_usd == pytest.approx(costs(0.3))
    takes(pipeline, 0.4)
    handlers["detect"](replace(message, attempt=2))
    assert ledger(pipeline.asset(asset_id), Stage.DETECT).cost_usd == pytest.approx(costs(0.3) + costs(0.4), abs=1e-8)


def test_a_file_that_fails_for_good_has_cost_its_time(pipeline: Pipeline) -> None:
    pipeline.machine = MACHINE
    asset_id, notification = pipeline.upload("broken")
    pipeline.handlers()["ingest"](notification)
    record = ledger(pipeline.asset(asset_id), Stage.INGEST)
    assert record.state is StageState.FAILED
    assert record.cost_usd == pytest.approx(costs(0.0))


def test_a_worker_that_fell_silent_is_charged_up_to_the_end_of_its_lease(pipeline: Pipeline, bus: ListBus) -> None:
    pipeline.machine = MACHINE
    asset_id, notification = pipeline.upload("fight")
    handlers = pipeline.handlers()
    handlers["ingest"](notification)
    message = delivery_of(bus.messages[0])

    def dies(_: BinaryIO, **__: Any) -> DetectionRun:
        raise KeyboardInterrupt

    pipeline.detector.detect = dies  # type: ignore[assignment, method-assign]
    with pytest.raises(KeyboardInterrupt):
        handlers["detect"](message)
    pipeline.clock.advance(3600)
    takes(pipeline, 0.4)
    handlers["detect"](replace(message, attempt=2))
    silent = costs(LEASE.total_seconds())
    assert ledger(pipeline.asset(asset_id), Stage.DETECT).cost_usd == pytest.approx(silent + costs(0.4), abs=1e-8)


def test_a_replay_adds_to_what_the_stage_has_cost(pipeline: Pipeline, bus: ListBus) -> None:
    pipeline.machine = MACHINE
    takes(pipeline, 0.5)
    asset_id, notification = pipeline.upload("fight")
    run_through(pipeline, bus, notification)
    replays.request(replays.Request(asset_id, "detect", "Ada"), pipeline.replay_deps())
    pipeline.handlers()["detect"](delivery_of(bus.of_topic("media-uploaded")[-1]))
    assert ledger(pipeline.asset(asset_id), Stage.DETECT).cost_usd == pytest.approx(2 * costs(0.5), abs=1e-8)


def test_a_duplicate_costs_nothing_in_the_ledger(pipeline: Pipeline, bus: ListBus) -> None:
    pipeline.machine = MACHINE
    asset_id, notification = pipeline.upload("fight")
    run_through(pipeline, bus, notification)
    before = cost_of(pipeline.asset(asset_id))
    run_through(pipeline, bus, replace(notification, message_id="another"))
    assert cost_of(pipeline.asset(asset_id)) == before


def test_a_direct_analysis_is_charged_for_the_stages_it_ran(pipeline: Pipeline) -> None:
    pipeline.machine = MACHINE
    takes(pipeline, 0.5)
    info = pipeline.media.put("direct/one", b"fight", content_type="video/mp4")
    asset = direct.analyse(direct.Upload("one", info.generation, 0.5), pipeline.direct_deps())
    assert ledger(asset, Stage.DETECT).cost_usd == pytest.approx(costs(0.5))
    assert ledger(asset, Stage.INGEST).cost_usd == pytest.approx(costs(0.0))
    assert (ledger(asset, Stage.CONTEXT).cost_usd, ledger(asset, Stage.CONTEXT).price_date) == (0.0, None)
