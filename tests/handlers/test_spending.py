"""A day's budget, shared: what is reserved never exceeds it, whoever reserves at once."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from shared.adapters.embedded.documents import SqliteDocuments
from shared.domain.budgets import Choice, DepthReason, Offer
from shared.errors import Retryable
from shared.handlers.spending import Reservation, Spending
from shared.ports import Depth, Query, Write
from shared.repositories import spending
from tests.fakes import NOON, ManualClock

TODAY = NOON.date()


@pytest.fixture
def clock() -> ManualClock:
    """Noon."""
    return ManualClock()


def spent(documents: SqliteDocuments) -> int:
    return spending.total(documents, "Gemini", TODAY)


def test_a_reservation_counts_until_what_it_came_to_takes_its_place(
    documents: SqliteDocuments, clock: ManualClock
) -> None:
    gemini = Spending(documents, clock, "Gemini", 1.0)
    held = gemini.reserve(0.25, "asset")
    assert held is not None
    assert spent(documents) == 250_000
    gemini.settle(held, 0.1)
    assert spent(documents) == 100_000


def test_a_bill_above_its_estimate_counts_in_full(documents: SqliteDocuments, clock: ManualClock) -> None:
    gemini = Spending(documents, clock, "Gemini", 1.0)
    held = gemini.reserve(0.9, "asset")
    assert held is not None
    gemini.settle(held, 1.5)
    assert spent(documents) == 1_500_000
    assert gemini.reserve(0.000001, "another") is None


def test_what_does_not_fit_is_given_back(documents: SqliteDocuments, clock: ManualClock) -> None:
    gemini = Spending(documents, clock, "Gemini", 1.0)
    assert gemini.reserve(0.6, "one") is not None
    assert gemini.reserve(0.6, "two") is None
    assert spent(documents) == 600_000
    assert gemini.reserve(0.4, "three") is not None


def test_parts_of_a_millionth_are_rounded_up(documents: SqliteDocuments, clock: ManualClock) -> None:
    assert [spending.micro(usd) for usd in (0.0, 0.0000001, 0.1, 0.1 + 0.2)] == [0, 1, 100_000, 300_000]


def test_each_utc_day_has_its_own_budget(documents: SqliteDocuments) -> None:
    clock = ManualClock(datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC))
    gemini = Spending(documents, clock, "Gemini", 1.0)
    held = gemini.reserve(1.0, "asset")
    assert held is not None
    assert gemini.reserve(0.1, "asset") is None
    clock.advance(1)
    assert gemini.reserve(1.0, "asset") is not None
    gemini.settle(held, 0.4)
    assert spent(documents) == 400_000, "what was reserved yesterday is settled yesterday"
    assert spending.total(documents, "Gemini", clock.now().date()) == 1_000_000


def test_each_analyser_has_its_own_budget(documents: SqliteDocuments, clock: ManualClock) -> None:
    assert Spending(documents, clock, "Vision", 1.0).reserve(1.0, "asset") is not None
    assert Spending(documents, clock, "Gemini", 1.0).reserve(1.0, "asset") is not None


def test_without_a_budget_nothing_is_counted(documents: SqliteDocuments, clock: ManualClock) -> None:
    gemini = Spending(documents, clock, "Gemini", None)
    held = gemini.reserve(1e6, "asset")
    assert held is not None
    gemini.settle(held, 5.0)
    assert documents.count(Query(spending.COLLECTION)) == 0
    assert gemini.choose(Offer({Depth.VIDEO: 1e6})) == Choice(Depth.VIDEO, DepthReason.NONE)


def test_what_others_spent_decides_how_closely_is_looked(documents: SqliteDocuments, clock: ManualClock) -> None:
    offered = Offer({Depth.VIDEO: 0.02, Depth.VIDEO_LOW: 0.01, Depth.STILLS: 0.005})
    mine, theirs = (Spending(documents, clock, "Gemini", 1.0) for _ in range(2))
    assert mine.choose(offered).depth is Depth.VIDEO
    assert theirs.reserve(0.7, "their asset") is not None
    assert mine.choose(offered).depth is Depth.VIDEO_LOW


def test_a_receipt_that_can_not_be_written_costs_no_answer(documents: SqliteDocuments, clock: ManualClock) -> None:
    gemini = Spending(documents, clock, "Gemini", 1.0)
    held = gemini.reserve(0.5, "asset")
    assert held is not None
    commit = documents.commit
    documents.commit = _away  # type: ignore[assignment, method-assign]
    gemini.settle(held, 0.1)
    documents.commit = commit  # type: ignore[method-assign]
    assert spent(documents) == 500_000, "the reservation stays counted: the safe side"


def _away(_: Sequence[Write]) -> None:
    raise Retryable("the store is away")


def test_the_day_is_spread_over_shards(documents: SqliteDocuments, clock: ManualClock) -> None:
    gemini = Spending(documents, clock, "Gemini", 100.0)
    for number in range(200):
        gemini.reserve(0.01, f"asset-{number}")
    assert documents.count(Query(spending.COLLECTION)) == spending.SHARDS
    assert spent(documents) == 2_000_000


@pytest.mark.parametrize("price", [0.07, 0.5, 0.3])
def test_reservations_that_stand_never_exceed_the_budget_however_many_are_made_at_once(
    price: float, documents: SqliteDocuments, clock: ManualClock
) -> None:
    """The sum of those accepted is within the budget at every moment, not just at the end; what is refused is back."""
    gemini = Spending(documents, clock, "Gemini", 1.0)
    together = threading.Barrier(16)

    def reserve(worker: int) -> list[Reservation]:
        together.wait()
        return [held for turn in range(5) if (held := gemini.reserve(price, f"{worker}-{turn}")) is not None]

    with ThreadPoolExecutor(16) as pool:
        accepted = [held for found in pool.map(reserve, range(16)) for held in found]
    assert sum(held.amount for held in accepted) <= 1_000_000
    assert spent(documents) == sum(held.amount for held in accepted)


def test_a_reservation_made_between_another_s_write_and_its_look_is_seen(
    documents: SqliteDocuments, clock: ManualClock
) -> None:
    """The order in which a look before the write would let both in."""
    gemini = Spending(documents, clock, "Gemini", 1.0)
    commit, others = documents.commit, []

    def meanwhile(writes: Sequence[Write]) -> None:
        documents.commit = commit  # type: ignore[method-assign]
        others.append(gemini.reserve(0.6, "other"))
        commit(writes)

    documents.commit = meanwhile  # type: ignore[method-assign]
    assert gemini.reserve(0.6, "mine") is None
    assert others[0] is not None
    assert spent(documents) == 600_000


def test_a_budget_that_is_used_up_is_logged(
    documents: SqliteDocuments, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    gemini = Spending(documents, clock, "Gemini", 1.0)
    assert gemini.reserve(0.9, "asset") is not None
    assert caplog.messages == []
    assert gemini.reserve(0.2, "another") is None
    assert gemini.choose(Offer({Depth.VIDEO: 2.0})).depth is None
    assert caplog.messages == ["the day's budget for Gemini is used up"] * 2
