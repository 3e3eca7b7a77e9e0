"""The tables of the load on paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bench.load_on_paper import bill as bills
from bench.load_on_paper import day as days
from bench.load_on_paper import demand, fleet, quotas
from bench.tables import lines, show
from infra import topology
from shared.domain.prices import table_date
from shared.policies import load_profile

PROFILE = "balanced"
HANDBOOK = topology.ROOT / "docs" / "operations.md"
BEGIN, END = "<!-- costs -->\n", "<!-- end of costs -->"


@dataclass(frozen=True)
class Sheet:
    """All about one fleet."""

    day: fleet.Day
    totals: days.Totals
    bill: tuple[bills.BillLine, ...]
    strains: tuple[quotas.Strain, ...]

    @property
    def usd(self) -> float:
        """The bill of a month."""
        return sum(line.usd for line in self.bill)


def sheet(cameras: int, at: datetime) -> Sheet:
    """Everything about a fleet of `cameras`, by the measured demands and the declared topology."""
    declared, demands, profile = topology.load(), demand.load(), load_profile(PROFILE)
    seconds = days.seconds_of(demands, declared)
    cameras_day = fleet.simulate(fleet.Fleet(cameras), seconds, declared)
    totals = days.totals(cameras_day.fleet, demands, declared)
    strains = quotas.strains(cameras_day, totals, demands, profile, declared)
    return Sheet(cameras_day, totals, bills.bill(totals, profile, declared, at), strains)


def show_all(sheets: Sequence[Sheet], at: datetime) -> None:
    """Prints every table."""
    _show_demands()
    _show_days(sheets)
    _show_bills(sheets, at)
    for each in sheets:
        _show_strains(each)


def cost_rows(sheets: Sequence[Sheet]) -> list[list[str]]:
    """The bill's lines, a column a fleet; the last row is the sum."""
    rows = [
        [line.what, *(f"{each.bill[number].usd:,.2f}" for each in sheets)] for number, line in enumerate(sheets[0].bill)
    ]
    return [*rows, ["together", *(f"{each.usd:,.2f}" for each in sheets)]]


def with_costs(text: str, sheets: Sequence[Sheet]) -> str:
    """The handbook's text with the bill's table between its marks. Raises ValueError where they are missing."""
    before, rest = text.split(BEGIN, 1)
    _, after = rest.split(END, 1)
    table = "\n".join(lines(_cost_headings(sheets), cost_rows(sheets)))
    return f"{before}{BEGIN}\n{table}\n\n{END}{after}"


def _cost_headings(sheets: Sequence[Sheet]) -> list[str]:
    return ["USD a month by list price", *(f"{each.day.fleet.cameras:,} cameras" for each in sheets)]


def _show_demands() -> None:
    rows = []
    for name, each in demand.load().items():
        hottest = max(each.hottest.values(), default=0)
        figures = (each.reads, each.written, hottest, sum(each.messages.values()), each.class_a, each.class_b)
        rows.append([name, *(str(figure) for figure in figures)])
    headings = ["what happens", "reads", "writes", "of one document", "messages", "class A", "class B"]
    show("What each thing asks for, counted in the running system", headings, rows)


def _show_days(sheets: Sequence[Sheet]) -> None:
    headings = ["of a day", *(f"{each.day.fleet.cameras:,} cameras" for each in sheets)]
    figures = {
        "clips": [each.day.fleet.clips for each in sheets],
        "clips in the busiest minute": [each.day.peak_minute for each in sheets],
        "requests": [each.totals.requests for each in sheets],
        "calls of functions": [sum(each.totals.calls.values()) for each in sheets],
        "documents read": [each.totals.reads for each in sheets],
        "documents written": [each.totals.writes for each in sheets],
        "messages": [each.totals.messages for each in sheets],
        "seconds that a clip waits at most": [each.day.delay for each in sheets],
    }
    rows = [[name, *(f"{value:,.0f}" for value in values)] for name, values in figures.items()]
    one = sheets[0].day.fleet
    note = (
        f"Of a camera: {one.clips_a_day:g} clips of {one.clip_seconds:g} s and {one.clip_megabytes:g} MB a day, "
        f"{one.violent:.1%} of them violent, {one.signals_a_day:g} signals; the busiest hour has {one.evening:g} times "
        f"the mean, and in one minute {one.storm:.0%} of all cameras record."
    )
    show("A day", headings, rows, [note])


def _show_bills(sheets: Sequence[Sheet], at: datetime) -> None:
    note = f"Prices of analysers and computing: version {table_date(at)}; of the rest: bench/load_on_paper/prices.py."
    show("The bill", _cost_headings(sheets), cost_rows(sheets), [note, "No free tier, no discount."])


def _show_strains(sheet: Sheet) -> None:
    cameras = sheet.day.fleet.cameras
    rows = [
        [
            strain.limit,
            f"{strain.asked:,.1f}",
            f"{strain.allowed:,.0f}",
            f"{strain.share:.1%}",
            f"{strain.breaks_at(cameras):,.0f}" if strain.grows else "-",
            strain.unit,
            strain.way_out,
        ]
        for strain in sheet.strains
    ]
    headings = ["limit", "asked", "allowed", "used", "all used by cameras", "unit", "what happens then"]
    sources = "; ".join(sorted({strain.source for strain in sheet.strains}))
    first = next((strain for strain in sheet.strains if strain.share > 1 and strain.grows), None)
    verdict = f"Breaks first: {first.limit}." if first else "Nothing breaks."
    show(f"Limits, {cameras:,} cameras", headings, rows, [verdict, f"Sources: {sources}."])
