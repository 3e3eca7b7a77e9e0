"""The context stage asks as closely as the model and the budget allow, and keeps account of every question."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest

from shared.domain.context import STILLS_PROMPT
from shared.domain.costs import OUTPUT_TOKENS, Machine, compute_cost
from shared.domain.stages import Stage, StageRecord, StageState
from shared.errors import AnalyserFailed, NotFound, Retryable
from shared.handlers import replays
from shared.ports import ContextAnswer, ContextRequest, Delivery, Depth, Filter, Query
from shared.repositories import assets, spending, timelines, work
from tests.fakes import NOON
from tests.handlers.pipeline import LEASE, ListBus, Pipeline, delivery_of, ledger

JSON = '{"objects": ["knife"], "emotions": [], "scenes": ["yard"], "description": "A man.", "threat_level": 2}'
ANSWER = ContextAnswer(JSON, "gemini-2.5-flash", input_tokens=100_000, output_tokens=20_000)
ANSWER_USD = (100_000 * 0.30 + 64 * 0.70 + 20_000 * 2.50) / 1e6
"""With two seconds of sound at its own price."""


@dataclass
class ScriptedModel:
    """A `ContextModel` that answers, or fails, as it was told to, one after the other; the last one for ever."""

    script: Sequence[ContextAnswer | Exception | Callable[[], ContextAnswer]]
    name: str = "gemini-2.5-flash"
    depths: Sequence[Depth] = tuple(Depth)
    requests: list[ContextRequest] = field(default_factory=list)

    def describe(self, request: ContextRequest, report: Callable[[float], None]) -> ContextAnswer:
        """The next of the script."""
        said = self.script[min(len(self.requests), len(self.script) - 1)]
        self.requests.append(request)
        report(1.0)
        if isinstance(said, Exception):
            raise said
        return said if isinstance(said, ContextAnswer) else said()

    @property
    def asked(self) -> list[Depth]:
        """How closely it was asked to look."""
        return [request.depth for request in self.requests]


@pytest.fixture
def uploaded(pipeline: Pipeline, bus: ListBus) -> tuple[str, Delivery]:
    """A detected fight, and the message that asks for its context."""
    asset_id, notification = pipeline.upload("fight")
    handlers = pipeline.handlers()
    handlers["ingest"](notification)
    handlers["detect"](delivery_of(bus.of_topic("media-uploaded")[0]))
    return asset_id, delivery_of(bus.of_topic("media-detected")[0])


def lasting(pipeline: Pipeline, asset_id: str, seconds: float) -> None:
    """Makes the asset's video longer than what a test would draw."""
    facts = pipeline.asset(asset_id).facts
    assert facts is not None
    pipeline.documents.commit([assets.facts_update(asset_id, 1, replace(facts, duration=seconds))])


def context_record(pipeline: Pipeline, asset_id: str) -> StageRecord:
    return ledger(pipeline.asset(asset_id), Stage.CONTEXT)


def spent_today(pipeline: Pipeline) -> float:
    return spending.total(pipeline.documents, "Gemini", pipeline.clock.now().date()) / 1e6


def spend(pipeline: Pipeline, usd: float) -> None:
    addition = spending.addition("Gemini", pipeline.clock.now().date(), spending.micro(usd), "earlier")
    pipeline.documents.commit([addition])


def test_the_closest_look_is_asked_for_and_charged_by_what_the_model_counted(
    pipeline: Pipeline, uploaded: tuple[str, Delivery]
) -> None:
    asset_id, message = uploaded
    pipeline.model = model = ScriptedModel([ANSWER])
    pipeline.handlers()["context"](message)
    assert model.asked == [Depth.VIDEO]
    assert model.requests[0].stills is None
    record = context_record(pipeline, asset_id)
    assert record.state is StageState.DONE
    assert record.cost_usd == pytest.approx(ANSWER_USD)
    assert (record.price_date, record.cost_note) == ("2026-11-21", None)
    context = pipeline.asset(asset_id).context
    assert context is not None
    assert (context.depth, context.depth_reason) == ("video", "")


@pytest.mark.parametrize(
    ("share", "depth", "reason"),
    [(0.0, "video", ""), (0.7, "video_low", "budget_low"), (0.9, "stills", "budget_low")],
)
def test_the_more_is_spent_the_less_close_the_look(
    share: float, depth: str, reason: str, pipeline: Pipeline, uploaded: tuple[str, Delivery]
) -> None:
    asset_id, message = uploaded
    lasting(pipeline, asset_id, 120.0)
    pipeline.budget_usd = 1.0
    spend(pipeline, share)
    pipeline.model = model = ScriptedModel([ANSWER])
    pipeline.handlers()["context"](message)
    assert model.asked == [Depth(depth)]
    context = pipeline.asset(asset_id).context
    assert context is not None
    assert (context.depth, context.depth_reason) == (depth, reason)
    assert spent_today(pipeline) == pytest.approx(share + context_record(pipeline, asset_id).cost_usd, abs=2e-6)


def test_a_spent_budget_skips_the_stage_and_says_when_it_renews(
    pipeline: Pipeline, uploaded: tuple[str, Delivery]
) -> None:
    asset_id, message = uploaded
    pipeline.budget_usd = 1.0
    spend(pipeline, 0.9999)
    pipeline.model = model = ScriptedModel([ANSWER])
    pipeline.handlers()["context"](message)
    assert model.asked == []
    record = context_record(pipeline, asset_id)
    assert (record.state, record.error_code) == (StageState.SKIPPED, "budget_exhausted")
    assert record.error_message == "Today's budget for Gemini (1.00 USD) is spent; it renews at 00:00 UTC."
    assert record.cost_usd == 0.0
    assert spent_today(pipeline) == pytest.approx(0.9999)


def test_after_midnight_in_utc_the_budget_is_new(pipeline: Pipeline, uploaded: tuple[str, Delivery]) -> None:
    asset_id, message = uploaded
    pipeline.budget_usd = 1.0
    spend(pipeline, 1.0)
    pipeline.clock.advance((datetime(2026, 3, 2, tzinfo=UTC) - NOON).total_seconds())
    pipeline.model = model = ScriptedModel([ANSWER])
    pipeline.handlers()["context"](message)
    assert model.asked == [Depth.VIDEO]
    assert spent_today(pipeline) == pytest.approx(context_record(pipeline, asset_id).cost_usd, abs=2e-6)


def test_a_budget_that_another_instance_takes_meanwhile_is_not_exceeded(
    pipeline: Pipeline, uploaded: tuple[str, Delivery]
) -> None:
    """Between the choice and the reservation: what no longer fits is given back, and less is asked."""
    asset_id, message = uploaded
    lasting(pipeline, asset_id, 120.0)
    pipeline.budget_usd = 1.0
    pipeline.model = model = ScriptedModel([ANSWER])
    get_many, looks = pipeline.documents.get_many, list[str]()

    def meanwhile(keys: Sequence[tuple[str, str]]) -> object:
        found = get_many(keys)
        if not looks:
            looks.append("the first one")
            spend(pipeline, 0.99)
        return found

    pipeline.documents.get_many = meanwhile  # type: ignore[assignment, method-assign]
    pipeline.handlers()["context"](message)
    assert model.asked == [Depth.STILLS]
    context = pipeline.asset(asset_id).context
    assert context is not None
    assert context.depth_reason == "budget_short"


@pytest.mark.parametrize(
    ("seconds", "depth"),
    [(3_300.0, Depth.VIDEO), (3_400.0, Depth.VIDEO_LOW), (9_900.0, Depth.VIDEO_LOW), (10_100.0, Depth.STILLS)],
)
def test_a_long_video_is_looked_at_less_closely(
    seconds: float, depth: Depth, pipeline: Pipeline, uploaded: tuple[str, Delivery]
) -> None:
    asset_id, message = uploaded
    lasting(pipeline, asset_id, seconds)
    pipeline.model = model = ScriptedModel([ANSWER])
    pipeline.handlers()["context"](message)
    assert model.asked == [depth]
    context = pipeline.asset(asset_id).context
    assert context is not None
    assert context.depth_reason == ("" if depth is Depth.VIDEO else "too_long_for_model")


def test_a_video_the_service_finds_too_large_is_shown_as_stills(
    pipeline: Pipeline, uploaded: tuple[str, Delivery]
) -> None:
    asset_id, message = uploaded
    pipeline.budget_usd = 1.0
    pipeline.model = model = ScriptedModel([AnalyserFailed("too_large_for_model", "Over 2 GB.", tries=1), ANSWER])
    pipeline.handlers()["context"](message)
    assert model.asked == [Depth.VIDEO, Depth.STILLS]
    context = pipeline.asset(asset_id).context
    assert context is not None
    assert context.depth_reason == "too_large_for_model"
    assert spent_today(pipeline) == pytest.approx(context_record(pipeline, asset_id).cost_usd, abs=2e-6)


@pytest.mark.parametrize("depths", [(Depth.VIDEO,), (Depth.VIDEO, Depth.VIDEO_LOW)])
def test_too_large_for_a_model_that_takes_no_stills_is_a_failure(
    depths: Sequence[Depth], pipeline: Pipeline, uploaded: tuple[str, Delivery]
) -> None:
    asset_id, message = uploaded
    pipeline.model = ScriptedModel([AnalyserFailed("too_large_for_model", "Over 2 GB.", tries=1)], depths=depths)
    pipeline.handlers()["context"](message)
    record = context_record(pipeline, asset_id)
    assert (record.state, record.error_code) == (StageState.FAILED, "too_large_for_model")


def test_stills_that_are_too_large_are_a_failure_and_not_a_loop(
    pipeline: Pipeline, uploaded: tuple[str, Delivery]
) -> None:
    asset_id, message = uploaded
    pipeline.model = model = ScriptedModel([AnalyserFailed("too_large_for_model", "Over 2 GB.", tries=1)])
    pipeline.handlers()["context"](message)
    assert model.asked == [Depth.VIDEO, Depth.STILLS]
    assert context_record(pipeline, asset_id).error_code == "too_large_for_model"


def test_stills_show_the_strongest_moment_and_the_prompt_says_what_they_are(
    pipeline: Pipeline, uploaded: tuple[str, Delivery]
) -> None:
    _, message = uploaded
    pipeline.model = model = ScriptedModel([ANSWER], depths=(Depth.STILLS,))
    pipeline.handlers()["context"](message)
    request = model.requests[0]
    assert request.stills is not None
    assert request.stills.startswith(b"fight ")
    assert request.prompt.endswith(STILLS_PROMPT)


def test_stills_are_spread_evenly_where_no_timeline_is_stored(
    pipeline: Pipeline, uploaded: tuple[str, Delivery]
) -> None:
    asset_id, message = uploaded
    timelines.discard(pipeline.media, asset_id)
    pipeline.model = model = ScriptedModel([ANSWER], depths=(Depth.STILLS,))
    pipeline.handlers()["context"](message)
    stills = model.requests[0].stills
    assert stills is not None
    assert [round(float(each.rstrip(b":")), 2) for each in stills.split()[1:]] == [0.08, 0.75, 1.42, 1.92]


def test_stills_follow_the_look_that_the_detection_is_of(
    pipeline: Pipeline, bus: ListBus, uploaded: tuple[str, Delivery]
) -> None:
    asset_id, message = uploaded
    pipeline.model = model = ScriptedModel([ANSWER], depths=(Depth.STILLS,))
    replays.request(replays.Request(asset_id, "detect", "Ada"), pipeline.replay_deps())
    pipeline.handlers()["detect"](delivery_of(bus.of_topic("media-uploaded")[-1]))
    detection = pipeline.asset(asset_id).detection
    assert detection is not None
    assert detection.look
    pipeline.media.delete(timelines.timeline_name(asset_id))
    pipeline.handlers()["context"](message)
    stills = model.requests[0].stills
    assert stills is not None
    assert [round(float(each.rstrip(b":")), 2) for each in stills.split()[1:]] != [0.08, 0.75, 1.42, 1.92]


def test_nothing_is_reserved_for_stills_that_can_not_be_drawn(
    pipeline: Pipeline, uploaded: tuple[str, Delivery]
) -> None:
    _, message = uploaded
    pipeline.budget_usd = 1.0
    pipeline.model = model = ScriptedModel([ANSWER], depths=(Depth.STILLS,))
    pipeline.sheets.failing = OSError("the disk is full")
    with pytest.raises(OSError, match="disk"):
        pipeline.handlers()["context"](message)
    assert model.asked == []
    assert pipeline.documents.count(Query(spending.COLLECTION)) == 0


def test_the_costs_of_failed_attempts_add_up(pipeline: Pipeline, uploaded: tuple[str, Delivery]) -> None:
    """The first answer was nonsense that was billed, the second attempt found no quota, the third succeeded."""
    asset_id, message = uploaded
    pipeline.budget_usd = 5.0
    nonsense = replace(ANSWER, text="I saw {")
    quota = AnalyserFailed("quota_exceeded", "Not now.", tries=AnalyserFailed.PATIENT)
    pipeline.model = ScriptedModel([nonsense, quota, ANSWER])
    handle = pipeline.handlers()["context"]
    with pytest.raises(Retryable):
        handle(message)
    record = context_record(pipeline, asset_id)
    assert record.state is StageState.PENDING
    assert record.cost_usd == pytest.approx(ANSWER_USD)
    with pytest.raises(Retryable):
        handle(replace(message, attempt=2))
    handle(replace(message, attempt=3))
    record = context_record(pipeline, asset_id)
    assert (record.state, record.attempts) == (StageState.DONE, 3)
    assert record.cost_usd == pytest.approx(2 * ANSWER_USD)
    assert spent_today(pipeline) == pytest.approx(2 * ANSWER_USD, abs=4e-6)


@pytest.mark.parametrize(
    ("error", "billed"),
    [
        (AnalyserFailed("blocked", "The answer was blocked.", tries=1), True),
        (AnalyserFailed("too_slow", "It took too long.", tries=1), True),
        (AnalyserFailed("quota_exceeded", "Not now.", tries=1), False),
        (AnalyserFailed("unavailable", "Not now.", tries=1), False),
        (NotFound("gone", "The object is gone."), False),
    ],
)
def test_a_failure_costs_what_may_be_on_the_bill(
    error: Exception, billed: bool, pipeline: Pipeline, uploaded: tuple[str, Delivery]
) -> None:
    asset_id, message = uploaded
    pipeline.budget_usd = 5.0
    pipeline.model = ScriptedModel([error])
    pipeline.handlers()["context"](message)
    record = context_record(pipeline, asset_id)
    assert record.state is StageState.FAILED
    assert (record.cost_usd > OUTPUT_TOKENS * 2.5 / 1e6) is billed
    assert (record.cost_usd == 0.0) is not billed
    assert spent_today(pipeline) == pytest.approx(record.cost_usd, abs=2e-6)


def test_an_answer_without_counts_is_charged_as_estimated_and_that_is_said(
    pipeline: Pipeline, uploaded: tuple[str, Delivery]
) -> None:
    asset_id, message = uploaded
    pipeline.model = ScriptedModel([ContextAnswer(JSON, "gemini-2.5-flash")])
    pipeline.handlers()["context"](message)
    record = context_record(pipeline, asset_id)
    assert record.cost_usd > OUTPUT_TOKENS * 2.5 / 1e6
    assert record.cost_note == "The model did not say how many tokens it took; they were estimated."


def test_a_model_without_a_price_is_charged_as_the_dearest_and_that_is_said_once(
    pipeline: Pipeline, uploaded: tuple[str, Delivery]
) -> None:
    asset_id, message = uploaded
    pipeline.model = ScriptedModel([replace(ANSWER, model="gemini-9")], name="gemini-9")
    pipeline.handlers()["context"](message)
    record = context_record(pipeline, asset_id)
    assert record.cost_usd > ANSWER_USD
    assert record.cost_note == "No list price of gemini-9 is known; that of the dearest known model was taken."


def test_a_worker_that_died_while_it_asked_stays_on_both_accounts(
    pipeline: Pipeline, uploaded: tuple[str, Delivery]
) -> None:
    """The question may have been answered and billed, so neither account forgets it."""
    asset_id, message = uploaded
    pipeline.budget_usd, pipeline.machine = 5.0, Machine(1, 512)

    def killed() -> ContextAnswer:
        for _ in range(200):
            if charged_on_claim(pipeline) > 0:
                raise KeyboardInterrupt
            time.sleep(0.02)
        raise AssertionError("the claim was never told what the question costs")

    pipeline.model = ScriptedModel([killed])
    with pytest.raises(KeyboardInterrupt):
        pipeline.handlers()["context"](message)
    reserved = spent_today(pipeline)
    assert reserved > 0
    assert context_record(pipeline, asset_id).state is StageState.RUNNING
    pipeline.clock.advance(2.0)
    pipeline.model = ScriptedModel([ANSWER])
    pipeline.handlers()["context"](replace(message, attempt=2))
    assert spent_today(pipeline) == pytest.approx(reserved + ANSWER_USD, abs=2e-6)
    silent = compute_cost(LEASE.total_seconds(), pipeline.machine, NOON)
    request = compute_cost(0.0, pipeline.machine, NOON)
    assert context_record(pipeline, asset_id).cost_usd == pytest.approx(
        reserved + ANSWER_USD + silent + request, abs=2e-6
    )


def charged_on_claim(pipeline: Pipeline) -> float:
    running = Query(work.COLLECTION, (Filter("state", "==", "running"),))
    charged: float = pipeline.documents.query(running).documents[0].data["cost_usd"]
    return charged
