"""How long until the first window that counts is known, in a video that begins with violence."""

from __future__ import annotations

from bench.detection.clips import SIZES, Clips, violent_beginning
from bench.detection.work import interleaved, measured
from bench.tables import show

_SIZE = "720p"


def show_table(clips: Clips, runs: int) -> int:
    """Prints the table."""
    path = violent_beginning(clips.folder, SIZES[_SIZE], max(clips.seconds, 20))
    figures = interleaved(runs, {"first": lambda: measured("first", path)})["first"]
    row = [
        f"{figures['video']:g} s of {_SIZE}",
        f"{figures['first']:.2f}",
        f"{figures['seconds']:.2f}",
        f"{100 * figures['first'] / figures['seconds']:.0f} %",
    ]
    show(
        "From the start of detection to the first window that counts, when the video begins with violence",
        ["video", "first s", "whole s", "share"],
        [row],
        [f"Medians of {runs} runs; the video is drawn, so that its beginning is known to be violent."],
    )
    return 0
