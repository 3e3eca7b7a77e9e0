"""What 1,000 two-minute videos cost by list price, against Video Intelligence on every video."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from bench.detection.clips import Clips
from bench.detection.work import interleaved, measured
from bench.tables import show
from infra import topology
from shared.domain.costs import Machine, compute_cost

VIDEO_INTELLIGENCE_DOLLARS = 700.0
"""For 1,000 two-minute videos: explicit content, labels, shots and text (SPEC §5)."""

REACH = 0.10
_VIDEOS = 1000
_VIDEO_SECONDS = 120.0
_SIZE = "720p"


def show_table(clips: Clips, runs: int) -> int:
    """Prints the table; 1 if it costs more than it may."""
    function = topology.load().functions["detect"]
    path = clips.video(_SIZE, "x264 defaults", _VIDEO_SECONDS)
    seconds = interleaved(runs, {"detect": lambda: measured("detect", path)})["detect"]["seconds"]
    dollars = _VIDEOS * compute_cost(seconds, Machine(function.cpu, function.memory), datetime.now(UTC))
    share = dollars / VIDEO_INTELLIGENCE_DOLLARS
    show(
        f"{_VIDEOS:,} two-minute videos of {_SIZE} by list price",
        ["what", "seconds a video", "dollars", "share", f"<= {REACH:.0%}"],
        [
            [
                f"detect, {function.cpu:g} vCPU, {function.memory} MiB",
                f"{seconds:.1f}",
                f"{dollars:.2f}",
                f"{share:.2%}",
                "yes" if share <= REACH else "NO",
            ],
            ["Video Intelligence on every video", "", f"{VIDEO_INTELLIGENCE_DOLLARS:.2f}", "100 %", ""],
        ],
        [
            f"Seconds: median of {runs} runs on this machine's {os.cpu_count()} cores, taken for the function's; "
            f"{clips.origin}.",
            "List prices of Cloud Run (shared/domain/prices.py: request-based, tier 1; some read at second hand), of "
            "the detecting function alone; the start of instances is not in it.",
        ],
    )
    return int(share > REACH)
