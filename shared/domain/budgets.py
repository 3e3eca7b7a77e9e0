"""How closely a context model may look, given what the day's budget has left (SPEC §5: step down, then refuse).

Pure: what was spent and what each depth would cost go in, a depth with its reason or a refusal comes out. Nothing here
spends; `shared/handlers/spending.py` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from shared.ports import Depth


class DepthReason(StrEnum):
    """Why a depth was chosen: what spoke against the next closer one. `NONE` spoke against it if nothing did."""

    NONE = ""
    NOT_OFFERED = "not_offered"
    TOO_LONG = "too_long_for_model"
    TOO_LARGE = "too_large_for_model"
    BUDGET_LOW = "budget_low"
    BUDGET_SHORT = "budget_short"


EXPLANATIONS: Mapping[str, str] = {
    DepthReason.NONE: "",
    DepthReason.NOT_OFFERED: "The model can't look more closely.",
    DepthReason.TOO_LONG: "The video is too long for the model to look more closely.",
    DepthReason.TOO_LARGE: "The video is too large for the model to look more closely.",
    DepthReason.BUDGET_LOW: "Much of the day's budget was spent.",
    DepthReason.BUDGET_SHORT: "The day's budget did not suffice for a closer look.",
}

OF_BUDGET = frozenset({DepthReason.BUDGET_LOW, DepthReason.BUDGET_SHORT})

CAPS: tuple[tuple[float, Depth], ...] = ((0.9, Depth.STILLS), (0.7, Depth.VIDEO_LOW), (0.0, Depth.VIDEO))
"""From this share of the day's budget on, this depth at most; the highest share first."""

DEPTHS = tuple(Depth)
"""The closest first."""


@dataclass(frozen=True)
class Choice:
    """`depth` None is a refusal; its `reason` is the budget's if another day could have allowed any depth."""

    depth: Depth | None
    reason: DepthReason


@dataclass(frozen=True)
class Offer:
    """What could be asked: the estimated cost in USD of each depth that is possible, and why the others are not."""

    costs: Mapping[Depth, float]
    impossible: Mapping[Depth, DepthReason] = field(default_factory=dict)

    def without(self, depths: tuple[Depth, ...], reason: DepthReason) -> Offer:
        """The same, with `depths` impossible for `reason`."""
        costs = {depth: usd for depth, usd in self.costs.items() if depth not in depths}
        return Offer(costs, {**self.impossible, **dict.fromkeys(depths, reason)})


def offer(
    costs: Mapping[Depth, float], tokens: Mapping[Depth, int], input_limit: int, known: frozenset[Depth]
) -> Offer:
    """Which depths are possible for a model that knows `known` and reads at most `input_limit` tokens at once."""
    impossible: dict[Depth, DepthReason] = {}
    for depth in DEPTHS:
        if depth not in known:
            impossible[depth] = DepthReason.NOT_OFFERED
        elif tokens[depth] > input_limit:
            impossible[depth] = DepthReason.TOO_LONG
    return Offer({depth: costs[depth] for depth in DEPTHS if depth not in impossible}, impossible)


def choose_depth(offered: Offer, spent: float, budget: float | None) -> Choice:
    """The closest depth that the budget allows; `budget` None allows all. `spent` and `budget` in USD.

    A step down must save something: of a short clip the whole video costs less than a page of stills, and is then
    taken instead. The more is spent, the less close the look: never the other way round.
    """
    objections = dict(offered.impossible)
    worthwhile = _worthwhile(offered.costs)
    capped = _cap(worthwhile, spent, budget)
    for depth in worthwhile:
        if budget is not None and spent + offered.costs[depth] > budget:
            objections[depth] = DepthReason.BUDGET_SHORT
        elif depth in capped:
            objections[depth] = DepthReason.BUDGET_LOW
        else:
            return Choice(depth, _last_objection(objections, DEPTHS[: DEPTHS.index(depth)]))
    return Choice(None, _reason_of_refusal(objections))


def _worthwhile(costs: Mapping[Depth, float]) -> tuple[Depth, ...]:
    """The possible depths, the closest first, without those that cost no less than a closer one."""
    kept: list[Depth] = []
    for depth in DEPTHS:
        if depth in costs and (not kept or costs[depth] < costs[kept[-1]]):
            kept.append(depth)
    return tuple(kept)


def _cap(worthwhile: tuple[Depth, ...], spent: float, budget: float | None) -> frozenset[Depth]:
    """What is too close for what was spent; the cheapest of all never is."""
    if budget is None:
        return frozenset()
    share = spent / budget if budget > 0 else 1.0
    most = next((depth for least, depth in CAPS if share >= least), Depth.VIDEO)
    closer = DEPTHS[: DEPTHS.index(most)]
    return frozenset(depth for depth in worthwhile[:-1] if depth in closer)


def _reason_of_refusal(objections: Mapping[Depth, DepthReason]) -> DepthReason:
    found = [objections[depth] for depth in DEPTHS if depth in objections]
    if OF_BUDGET.intersection(found):
        return DepthReason.BUDGET_SHORT
    return next((reason for reason in found if reason is not DepthReason.NOT_OFFERED), DepthReason.NOT_OFFERED)


def _last_objection(objections: Mapping[Depth, DepthReason], closer: tuple[Depth, ...]) -> DepthReason:
    """What spoke against the least close of these; a depth that would have saved nothing has no objection."""
    found = [objections[depth] for depth in closer if depth in objections]
    return found[-1] if found else DepthReason.NONE
