"""Runs the benchmarks one after the other: `python -m bench [NAME [OPTION…]]`; all of them without a name.

A benchmark is a module of this folder with a `main(arguments)`, which prints its table and may return an exit status.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

Benchmark = Callable[[Sequence[str]], int | None]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the status is 0 when every benchmark's is."""
    name, *options = (sys.argv[1:] if arguments is None else list(arguments)) or [""]
    found = benchmarks()
    if name and name not in found:
        print(f"usage: python -m bench [{' | '.join(found)}] [OPTION ...]", file=sys.stderr)
        return 2
    chosen = {name: found[name]} if name else found
    failed = [each for each, benchmark in chosen.items() if _run(each, benchmark, options)]
    return 1 if failed else 0


def benchmarks() -> dict[str, Benchmark]:
    """The modules beside this one that have a `main`, by name."""
    names = sorted(module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))
    modules = {name: importlib.import_module(f"bench.{name}") for name in names if not name.startswith("_")}
    return {name: module.main for name, module in modules.items() if hasattr(module, "main")}


def _run(name: str, benchmark: Benchmark, options: Sequence[str]) -> int:
    print(f"== {name}", flush=True)
    return benchmark(options) or 0


if __name__ == "__main__":
    sys.exit(main())
