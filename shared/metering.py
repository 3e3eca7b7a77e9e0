"""What one attempt at a piece of work has cost so far, for the ledger. An estimate by list price (shared/domain)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from shared.domain.costs import Machine, compute_cost
from shared.domain.prices import table_date
from shared.domain.stages import StageRecord, WorkRecord
from shared.ports import Clock


class Meter:
    """Runs from `began` on: what earlier attempts cost, what analysers charge, and the time of `machine`.

    One thread charges while the lease's thread reads.
    """

    def __init__(self, clock: Clock, machine: Machine | None, began: datetime, before: float) -> None:
        self._clock = clock
        self._machine = machine
        self._began = began
        self._charged = before
        self._notes: list[str] = []

    def charge(self, usd: float, note: str | None = None) -> None:
        """Adds what an analyser costs; below 0 takes back what was charged too much. `note`: what was assumed."""
        self._charged += usd
        if note is not None and note not in self._notes:
            self._notes.append(note)

    def charged(self) -> float:
        """USD without the computing time of this attempt."""
        return round(max(self._charged, 0.0), 9)

    def total(self) -> float:
        """USD up to now."""
        seconds = (self._clock.now() - self._began).total_seconds()
        return round(self.charged() + compute_cost(seconds, self._machine, self._began), 9)

    def bill(self, record: StageRecord) -> StageRecord:
        """The record with what it has cost by now."""
        notes = " ".join(self._notes) or None
        version = table_date(self._began).isoformat()
        return replace(record, cost_usd=self.total(), cost_note=notes, price_date=version)


def billed(record: StageRecord, machine: Machine | None) -> StageRecord:
    """A record of something done in one go, with the cost of the time from its start to its end."""
    if record.started is None or record.ended is None or record.attempts == 0:
        return record
    seconds = (record.ended - record.started).total_seconds()
    cost = compute_cost(seconds, machine, record.started)
    return replace(record, cost_usd=round(cost, 9), price_date=table_date(record.started).isoformat())


def cost_of_earlier(held: WorkRecord, machine: Machine | None) -> float:
    """What the attempts before cost in USD. Of one that fell silent: the time up to the end of its lease, at most."""
    if not held.is_running or held.began is None:
        return held.cost_usd
    seconds = (held.lease_until - held.began).total_seconds()
    return held.cost_usd + compute_cost(seconds, machine, held.began)
