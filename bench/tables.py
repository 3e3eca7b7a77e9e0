"""Prints tables that are aligned on a terminal and are tables in Markdown, too."""

from __future__ import annotations

from collections.abc import Sequence


def show(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str] = ()) -> None:
    """Prints a table: the first column to the left, the numbers after it to the right; then the notes."""
    print(f"\n{title}\n")
    for line in lines(headings, rows):
        print(line)
    for note in notes:
        print(f"\n{note}")
    print(flush=True)


def lines(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The table alone."""
    widths = [max(len(row[column]) for row in (headings, *rows)) for column in range(len(headings))]
    rules = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return [_line(row, widths) for row in (headings, rules, *rows)]


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        cell.ljust(width) if number == 0 else cell.rjust(width)
        for number, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return f"| {' | '.join([first, *others])} |"
