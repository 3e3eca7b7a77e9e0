"""An analyser's daily budget, shared by all instances: reserve before asking, settle afterwards.

A reservation is added to the day's sum first and the sum is read after that; if it is over the budget, the reservation
is given back. Whoever reads last among those whose reservations stand has seen all of these, so that **the standing
reservations of a day never exceed its budget**, however many instances reserve at once. Two that meet at the edge may
both give way: the safe side. What can exceed the budget is a bill above its estimate.

A worker that dies between reserving and settling leaves its reservation counted, because its question may have been
answered and billed. The same goes for a reservation that could not be given back. It weighs on that day alone.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, date, datetime

from shared.domain.budgets import OF_BUDGET, Choice, Offer, choose_depth
from shared.errors import SightlineError
from shared.ports import Clock, Documents
from shared.repositories import spending

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reservation:
    """`amount` millionths of a dollar that count on `day`."""

    day: date
    amount: int
    spread_by: str


@dataclass(frozen=True)
class Spending:
    """The money of one analyser. `budget_usd` is for each UTC day; None: there is no limit and nothing is counted."""

    documents: Documents
    clock: Clock
    analyser: str
    budget_usd: float | None = None

    def now(self) -> datetime:
        """The time whose prices hold."""
        return self.clock.now()

    def choose(self, offered: Offer) -> Choice:
        """How closely the analyser may look, after what was spent today. Raises `Retryable`."""
        if self.budget_usd is None:
            return choose_depth(offered, 0.0, None)
        spent = spending.total(self.documents, self.analyser, self._today()) / 1e6
        choice = choose_depth(offered, spent, self.budget_usd)
        if choice.depth is None and choice.reason in OF_BUDGET:
            self._log_used_up()
        return choice

    def reserve(self, usd: float, spread_by: str) -> Reservation | None:
        """Sets `usd` aside, or nothing (None) if the budget does not suffice. Raises `Retryable`."""
        held = Reservation(self._today(), spending.micro(usd), spread_by)
        if self.budget_usd is None:
            return held
        self._add(held, held.amount)
        if spending.total(self.documents, self.analyser, held.day) <= self.budget_usd * 1e6:
            return held
        self.settle(held, 0.0)
        self._log_used_up()
        return None

    def settle(self, held: Reservation, usd: float) -> None:
        """Puts what it came to in the place of what was reserved, on the day on which it was reserved.

        Never raises for a store that is away: an answer that is paid for must not be lost over its receipt. The
        reservation stays counted then.
        """
        difference = spending.micro(usd) - held.amount
        if self.budget_usd is None or difference == 0:
            return
        try:
            self._add(held, difference)
        except SightlineError as error:
            log.warning("a reservation could not be settled and stays counted: %s", type(error).__name__)

    def _log_used_up(self) -> None:
        log.warning("the day's budget for %s is used up", self.analyser)

    def _add(self, held: Reservation, amount: int) -> None:
        self.documents.commit([spending.addition(self.analyser, held.day, amount, held.spread_by)])

    def _today(self) -> date:
        return self.clock.now().astimezone(UTC).date()
