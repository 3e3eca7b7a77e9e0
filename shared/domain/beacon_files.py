"""Beacons as a CSV file: `id,location,active,neighbours`, the neighbours' ids separated by `;`.

What `written` writes, `read` reads back as the same beacons. In an id among neighbours, `;` and the backslash are
preceded by a backslash.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.domain.incidents import Beacon
from shared.domain.neighbourhoods import Problem, Stated, problems_of

COLUMNS = ("id", "location", "active", "neighbours")
REQUIRED = frozenset({"id", "location"})
MAX_ROWS = 10_000

_TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False, "": None}
_NEIGHBOUR = re.compile(r"(?:[^;\\]|\\.)+", re.DOTALL)


@dataclass(frozen=True)
class BeaconFile:
    """What a file says, and what is wrong with it, line by line (counted from 1). Without problems it says it all."""

    stated: tuple[Stated, ...]
    problems: tuple[Problem, ...]


class _Rows(Iterator[list[str]], Protocol):
    """A reader of the csv module, whose class has no public name."""

    @property
    def line_num(self) -> int: ...


def written(beacons: Iterable[Beacon]) -> Iterator[str]:
    """The lines of a file that says all of these beacons."""
    yield _line(COLUMNS)
    for beacon in beacons:
        neighbours = ";".join(re.sub(r"([;\\])", r"\\\1", neighbour) for neighbour in beacon.neighbours)
        yield _line((beacon.id, beacon.location, str(beacon.active).lower(), neighbours))


def read(data: bytes) -> BeaconFile:
    """Reads UTF-8 with or without a byte order mark, separated by commas or semicolons as its first line is."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        return _refused(line, "The file is not UTF-8.")
    first = text.partition("\n")[0]
    delimiter = ";" if first.count(";") > first.count(",") else ","
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    header = [name.strip().lower() for name in _next(rows)]
    wrong = _wrong_header(header)
    return _refused(1, wrong) if wrong else _read_rows(rows, header)


def _read_rows(rows: _Rows, header: Sequence[str]) -> BeaconFile:
    stated: list[Stated] = []
    problems: list[Problem] = []
    lines: dict[str, int] = {}
    while True:
        line = rows.line_num + 1
        try:
            row = next(rows, None)
        except csv.Error:
            problems.append(Problem(line, "The quotes of a cell are not closed, or it is too long."))
            break  # where the next row begins is not known
        if row is None:
            break
        if not any(cell.strip() for cell in row):
            continue
        if len(stated) == MAX_ROWS:
            problems.append(Problem(line, f"A file has at most {MAX_ROWS} beacons."))
            break
        one, wrong = _stated(row, header, line)
        if one.id in lines:
            wrong.append(Problem(line, f"The id is that of line {lines[one.id]}, too."))
        lines.setdefault(one.id, line)
        stated.append(one)
        problems.extend(wrong)
    return BeaconFile(tuple(stated), tuple(problems))


def _stated(row: Sequence[str], header: Sequence[str], line: int) -> tuple[Stated, list[Problem]]:
    cells = dict(zip(header, row, strict=False))
    said = cells.get("active", "").strip().lower()
    neighbours = cells.get("neighbours")
    one = Stated(
        id=cells.get("id", ""),
        location=cells.get("location", ""),
        active=_TRUTH.get(said),
        neighbours=None if neighbours is None else _neighbours(neighbours),
        line=line,
    )
    problems = problems_of(one)
    if said not in _TRUTH:
        problems.append(Problem(line, "active must be true or false."))
    if len(row) > len(header):
        problems.append(Problem(line, f"There are {len(row)} cells and {len(header)} columns."))
    return one, problems


def _neighbours(cell: str) -> tuple[str, ...]:
    return tuple(re.sub(r"\\(.)", r"\1", part).strip() for part in _NEIGHBOUR.findall(cell) if part.strip())


def _wrong_header(header: Sequence[str]) -> str | None:
    unknown = [name for name in header if name not in COLUMNS]
    if unknown or len(set(header)) < len(header) or not set(header) >= REQUIRED:
        return "The first line must name the columns id and location, and may name active and neighbours."
    return None


def _next(rows: _Rows) -> list[str]:
    try:
        return next(rows, [])
    except csv.Error:
        return []


def _refused(line: int, sentence: str) -> BeaconFile:
    return BeaconFile((), (Problem(line, sentence),))


def _line(cells: Sequence[str]) -> str:
    text = io.StringIO()
    # All cells are quoted, so that spaces at the beginning of one are not taken for those after a separator.
    csv.writer(text, quoting=csv.QUOTE_ALL).writerow(cells)
    return text.getvalue()
