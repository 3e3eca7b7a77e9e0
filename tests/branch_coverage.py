"""`python -m tests.branch_coverage PERCENT FOLDER…`: fails when too few branches of a folder were taken by the tests.

`coverage report --fail-under` mixes lines and branches, and many covered lines hide missing branches.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def branches(files: Mapping[str, Any], folder: str) -> tuple[int, int]:
    """(taken, all) branches of the files below `folder`."""
    sums = [entry["summary"] for name, entry in files.items() if Path(name).is_relative_to(folder)]
    return sum(s["covered_branches"] for s in sums), sum(s["num_branches"] for s in sums)


def main(arguments: Sequence[str]) -> int:
    """Prints a line a folder; 1 if one of them falls short or was not measured at all."""
    least, folders = float(arguments[0]), arguments[1:]
    report = subprocess.run(
        [sys.executable, "-m", "coverage", "json", "-q", "-o", "-"], check=True, capture_output=True, text=True
    )
    files = json.loads(report.stdout)["files"]
    short = False
    for folder in folders:
        taken, total = branches(files, folder)
        percent = 100 * taken / total if total else 0.0
        short = short or percent < least
        print(f"{folder}: {taken} of {total} branches taken, {percent:.1f} % (at least {least:.0f} %)")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
