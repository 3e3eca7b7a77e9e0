"""The benchmark of batches: that its pictures differ, that its server serves them, and that it calls a mistake one."""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import Any

import pytest

from bench.moderation import Run, draw, serving


def results(*statuses: str, cached: int = 0) -> list[dict[str, Any]]:
    return [{"status": status, "cached": number < cached} for number, status in enumerate(statuses)]


def test_every_picture_is_another_one() -> None:
    assert len({draw(number) for number in range(50)}) == 50


def test_they_are_served_and_absent_ones_are_not() -> None:
    with serving([draw(0), draw(1)]) as origin:
        local = "http://127.0.0.1:" + origin.rpartition(":")[2]
        with urllib.request.urlopen(f"{local}/1") as reply:
            assert reply.read() == draw(1)
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{local}/absent/1")


@pytest.mark.parametrize(
    ("run", "right"),
    [
        (Run("all", 1.0, results("PASS", "FAIL")), True),
        (Run("an error too many", 1.0, results("PASS", "ERROR")), False),
        (Run("an error too few", 1.0, results("PASS", "PASS"), errors=1), False),
        (Run("not cached", 1.0, results("PASS", "PASS", cached=1), cached=2), False),
        (Run("cached", 1.0, results("PASS", "PASS", cached=2), cached=2), True),
    ],
    ids=lambda value: value.name if isinstance(value, Run) else str(value),
)
def test_what_is_not_as_expected_is_not_right(run: Run, right: bool) -> None:
    assert run.is_right is right
