"""What detection costs: `python -m bench detection [TABLE …] [--data FOLDER] [--seconds 60] [--runs 5]`.

Each table is a module: its `show_table` measures in processes of its own and prints. Without `--data` (or
SIGHTLINE_BENCH_DATA) the videos are made of drawn clips, which every table says.
"""

from __future__ import annotations

import argparse
import importlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

TABLES = ("speed", "memory", "first", "engines", "naive", "cost")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench detection", description="What detection costs.")
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=f"of {', '.join(TABLES)}; all without one")
    parser.add_argument("--data", type=Path, default=os.environ.get("SIGHTLINE_BENCH_DATA"), help="a folder of clips")
    parser.add_argument("--seconds", type=float, default=60, help="length of the videos for the timings")
    parser.add_argument("--runs", type=int, default=5, help="rounds, of which the medians are taken")
    options = parser.parse_args(arguments)
    if unknown := set(options.tables) - set(TABLES):
        parser.error(f"no such table: {', '.join(sorted(unknown))}")
    from bench.detection.clips import Clips  # so that the measured processes do not load what draws

    with tempfile.TemporaryDirectory(prefix="sightline-detection-") as folder:
        clips = Clips(Path(folder), options.data, options.seconds)
        modules = [importlib.import_module(f"bench.detection.{name}") for name in options.tables or TABLES]
        return max(int(module.show_table(clips, options.runs)) for module in modules)
