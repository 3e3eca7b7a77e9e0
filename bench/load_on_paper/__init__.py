"""Load on paper, 10 to 100,000 cameras: `python -m bench load_on_paper [--cameras N …] [--measure] [--handbook]`.

What each upload, signal and look asks of the stores was counted in the running system (`demand.json`; `--measure`
counts anew); a day of the fleet is simulated second by second; list prices and limits are beside it with their sources.
Nothing here was measured on Google Cloud.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime

SIZES = (10, 1_000, 100_000)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    from bench.load_on_paper import demand, report

    parser = argparse.ArgumentParser(prog="python -m bench load_on_paper", description="Fleets of cameras, on paper.")
    parser.add_argument("--cameras", type=int, nargs="+", default=list(SIZES), help="sizes of fleets")
    parser.add_argument("--measure", action="store_true", help="count anew what each happening asks for")
    parser.add_argument("--handbook", action="store_true", help="write the costs into docs/operations.md")
    options = parser.parse_args(arguments)
    if options.measure:
        demand.measure()
    now = datetime.now(UTC)
    report.show_all([report.sheet(count, now) for count in options.cameras], now)
    if options.handbook:
        sheets = [report.sheet(count, now) for count in SIZES]
        report.HANDBOOK.write_text(report.with_costs(report.HANDBOOK.read_text(), sheets))
    return 0
