"""Asks a context model about one video, as closely as the model and the day's budget allow, and keeps account of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from shared.delivery import Attempt
from shared.domain.assets import Asset
from shared.domain.budgets import EXPLANATIONS, OF_BUDGET, Choice, DepthReason, Offer, offer
from shared.domain.context import STILLS_PROMPT, Context, read_answer
from shared.domain.costs import (
    INPUT_TOKEN_LIMIT,
    NOT_BILLED,
    Cost,
    Tokens,
    answer_cost,
    estimated_tokens,
    question_cost,
)
from shared.domain.timeline import spread_moments
from shared.errors import AnalyserFailed, BudgetExhausted, NotFound, SightlineError
from shared.handlers.spending import Reservation, Spending
from shared.ports import Blobs, ContactSheets, ContextAnswer, ContextModel, ContextRequest, Depth
from shared.repositories import timelines

log = logging.getLogger(__name__)

TOO_LARGE = "too_large_for_model"
OF_VIDEO = (Depth.VIDEO, Depth.VIDEO_LOW)


@dataclass(frozen=True)
class Deps:
    """What describing needs of the world."""

    media: Blobs
    model: ContextModel
    sheets: ContactSheets
    spending: Spending


@dataclass(frozen=True)
class _Question:
    """One question at one depth, and what it is expected to take."""

    request: ContextRequest
    tokens: Tokens
    cost: Cost


def describe(asset: Asset, request: ContextRequest, deps: Deps, attempt: Attempt) -> Context:
    """The answer at the closest depth that is possible; `request` is about the video itself.

    Every question is charged to the attempt, also one that failed. Each turn of the loop answers, fails, or rules a
    depth out, so there are few. Raises `AnalyserFailed`, among them `BudgetExhausted`; `NotFound` when the object is
    gone, `MediaUnusable` when no stills can be drawn, and `Retryable`.
    """
    offered = _offer(request, deps)
    while True:
        choice = deps.spending.choose(offered)
        if choice.depth is None:
            raise _refusal(choice, deps)
        question = _question(asset, request, choice.depth, deps)
        held = deps.spending.reserve(question.cost.usd, asset.id)
        if held is None:
            offered = offered.without((choice.depth,), DepthReason.BUDGET_SHORT)
            continue
        try:
            answer = _ask(question, held, deps, attempt)
        except AnalyserFailed as error:
            if error.code != TOO_LARGE or choice.depth is Depth.STILLS:
                raise
            offered = offered.without(OF_VIDEO, DepthReason.TOO_LARGE)
            continue
        context = read_answer(answer.text)
        return replace(context, model=answer.model, depth=choice.depth.value, depth_reason=choice.reason.value)


def _offer(request: ContextRequest, deps: Deps) -> Offer:
    """What each depth would cost now."""
    prompts = {depth: _prompt(request, depth) for depth in Depth}
    tokens = {depth: estimated_tokens(depth, request.duration, prompt) for depth, prompt in prompts.items()}
    now = deps.spending.now()
    costs = {depth: question_cost(deps.model.name, each, now).usd for depth, each in tokens.items()}
    inputs: Mapping[Depth, int] = {depth: each.input for depth, each in tokens.items()}
    return offer(costs, inputs, INPUT_TOKEN_LIMIT, frozenset(deps.model.depths))


def _refusal(choice: Choice, deps: Deps) -> AnalyserFailed:
    if choice.reason in OF_BUDGET:
        return BudgetExhausted(deps.spending.analyser, deps.spending.budget_usd or 0.0)
    return AnalyserFailed(TOO_LARGE, EXPLANATIONS[choice.reason], tries=1)


def _question(asset: Asset, request: ContextRequest, depth: Depth, deps: Deps) -> _Question:
    prompt = _prompt(request, depth)
    stills = _draw_stills(asset, request, deps) if depth is Depth.STILLS else None
    tokens = estimated_tokens(depth, request.duration, prompt)
    cost = question_cost(deps.model.name, tokens, deps.spending.now())
    return _Question(replace(request, prompt=prompt, depth=depth, stills=stills), tokens, cost)


def _prompt(request: ContextRequest, depth: Depth) -> str:
    return f"{request.prompt}\n{STILLS_PROMPT}" if depth is Depth.STILLS else request.prompt


def _draw_stills(asset: Asset, request: ContextRequest, deps: Deps) -> bytes:
    """The sheet that is shown instead of the video; without a stored timeline its pictures are spread evenly."""
    try:
        stored = timelines.load(deps.media, asset.id, asset.detection.look if asset.detection else "")
        moments = spread_moments(request.duration, stored.probabilities, stored.segments)
    except NotFound:
        moments = spread_moments(request.duration)
    with deps.media.open(request.object_name, generation=request.generation) as stream:
        return deps.sheets.draw(stream, moments)


def _ask(question: _Question, held: Reservation, deps: Deps, attempt: Attempt) -> ContextAnswer:
    """Asks once. The estimate is charged before, so that it stays on the account of a worker that dies meanwhile."""
    attempt.charge(question.cost.usd, question.cost.note)
    try:
        answer = deps.model.describe(question.request, attempt.report)
    except SightlineError as error:
        billed = question.cost.usd if _may_be_billed(error) else 0.0
        _settle(held, billed, question, deps, attempt)
        raise
    cost = answer_cost(answer, question.tokens, deps.spending.now())
    attempt.charge(0.0, cost.note)
    _settle(held, cost.usd, question, deps, attempt)
    return answer


def _may_be_billed(error: SightlineError) -> bool:
    """A question that failed at the bucket was never asked."""
    return isinstance(error, AnalyserFailed) and error.code not in NOT_BILLED


def _settle(held: Reservation, usd: float, question: _Question, deps: Deps, attempt: Attempt) -> None:
    attempt.charge(usd - question.cost.usd, None)
    deps.spending.settle(held, usd)
