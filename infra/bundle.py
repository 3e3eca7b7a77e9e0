"""Builds one deterministic zip a function: `main.py`, `requirements.txt`, data files, what it imports of `shared/`.

A service's holds its `Procfile`, too.

`python -m infra.bundle [--out dist] [FUNCTION…]`. The same sources give the same bytes: entries are sorted, their times
and modes fixed. Which modules belong in is read from the import graph, never listed by hand.
"""

from __future__ import annotations

import argparse
import ast
import os
import zipfile
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import grimp

from infra import topology

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time a zip can hold."""

FILE_MODE = 0o100644 << 16


def build(function: str, out: Path) -> Path:
    """Writes `<out>/<function>.zip` and returns its path. Raises KeyError for a function the topology does not have.

    The file is whole at every moment, also for another process that reads or builds it meanwhile.
    """
    declared = topology.load().functions[function]
    folder = topology.ROOT / "functions" / function
    entries = {name: (folder / name).read_bytes() for name in own_files(declared)}
    for path in [*import_closure(folder / "main.py"), *data_files(declared)]:
        entries[path.relative_to(topology.ROOT).as_posix()] = path.read_bytes()
    out.mkdir(parents=True, exist_ok=True)
    target = out / f"{function}.zip"
    beside = out / f".{function}.{os.getpid()}"
    with zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(entries):
            info = zipfile.ZipInfo(name, EPOCH)
            info.external_attr = FILE_MODE
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, entries[name])
    return beside.replace(target)


def own_files(declared: topology.Function) -> tuple[str, ...]:
    """The names of what a bundle takes from its function's own folder."""
    return ("main.py", "requirements.txt", *(("Procfile",) if declared.platform == "service" else ()))


def start_command(platform: topology.Platform, python: str, port: int) -> list[str]:
    """What starts an unzipped bundle on loopback, in its folder; `python`: the interpreter's path."""
    if platform == "service":
        return [python, "main.py", "127.0.0.1", str(port)]
    return [python, "-m", "functions_framework", "--target=main", "--host=127.0.0.1", f"--port={port}"]


def data_files(declared: topology.Function) -> list[Path]:
    """The files that the topology names for a function; an entry that ends with `/` stands for all files below it."""
    paths: set[Path] = set()
    for name in declared.files:
        found = (topology.ROOT / name).rglob("*") if name.endswith("/") else [topology.ROOT / name]
        paths |= {path for path in found if not path.is_dir()}
    return sorted(paths)


def import_closure(main: Path) -> list[Path]:
    """The files of `shared` that `main` imports, directly or not, with the packages they lie in."""
    graph = _graph()
    modules: set[str] = set()
    for name in imported_names(main):
        if name in graph.modules:
            modules |= {name} | graph.find_upstream_modules(name)
    packages = {parent for module in modules for parent in _parents(module)}
    return sorted({_file_of(module) for module in modules | packages})


@cache
def _graph() -> Any:
    return grimp.build_graph("shared", cache_dir=None)


def imported_names(path: Path) -> Iterable[str]:
    """Dotted names a module imports; `from a import b` gives both `a` and `a.b`, whichever is a module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _parents(module: str) -> Iterable[str]:
    parts = module.split(".")
    return (".".join(parts[:length]) for length in range(1, len(parts)))


def _file_of(module: str) -> Path:
    base = topology.ROOT.joinpath(*module.split("."))
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m infra.bundle", description=__doc__)
    parser.add_argument("functions", nargs="*", help="all, if none is named")
    parser.add_argument("--out", type=Path, default=Path("dist"))
    chosen = parser.parse_args(arguments)
    for function in chosen.functions or sorted(topology.load().functions):
        target = build(function, chosen.out)
        print(f"{target}  {target.stat().st_size / 1024:.1f} KiB")


if __name__ == "__main__":
    main()
