"""The arithmetic of the cost table."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bench.pipeline_cost import gemini_usd, machine_of, video_intelligence_usd
from shared.domain.costs import Machine
from shared.domain.stages import Stage
from shared.ports import Depth

NOW = datetime(2026, 12, 1, tzinfo=UTC)


def test_video_intelligence_is_what_the_specification_says() -> None:
    """About $700 for 1,000 two-minute videos: 2 minutes at $0.10 + $0.10 + $0.15."""
    assert video_intelligence_usd(NOW) == pytest.approx(0.70)


def test_a_stage_has_the_machine_of_its_function() -> None:
    assert machine_of(Stage.DETECT) == Machine(2, 1024)


def test_a_less_close_look_costs_less() -> None:
    assert [gemini_usd("gemini-2.5-flash", depth, NOW) for depth in Depth] == sorted(
        (gemini_usd("gemini-2.5-flash", depth, NOW) for depth in Depth), reverse=True
    )
