"""Detection against FFmpeg's decoding alone, on the same cores."""

from __future__ import annotations

import os
from functools import partial
from itertools import product

from bench.detection import ffmpeg
from bench.detection.clips import ENCODINGS, SIZES, Clips
from bench.detection.work import interleaved, measured
from bench.tables import show

REACH = 0.9
JUDGED = "720p"


def show_table(clips: Clips, runs: int) -> int:
    """Prints the table; 1 if a video of the judged size falls short, or there is no ffmpeg."""
    if not ffmpeg.installed():
        return 1
    rows, short = [], False
    for size, encoding in product(SIZES, ENCODINGS):
        path = clips.video(size, encoding)
        medians = interleaved(runs, {"ffmpeg": partial(ffmpeg.decode, path), "ours": partial(measured, "detect", path)})
        alone, ours = medians["ffmpeg"]["seconds"], medians["ours"]["seconds"]
        short = short or (size == JUDGED and alone / ours < REACH)
        reached = ("yes" if alone / ours >= REACH else "NO") if size == JUDGED else ""
        realtime = medians["ours"]["video"] / ours
        rows.append(
            [f"{size}, {encoding}", f"{alone:.2f}", f"{ours:.2f}", f"{realtime:.0f}x", f"{alone / ours:.2f}", reached]
        )
    show(
        f"{clips.seconds:g} s of video: opened, decoded, scored and segmented, against `ffmpeg -i FILE -f null -`",
        ["video", "ffmpeg s", "detection s", "of real time", "speed of ffmpeg's", f">= {REACH}"],
        rows,
        [
            f"Medians of {runs} interleaved runs on {os.cpu_count()} cores; {clips.origin}. {ffmpeg.versions()}.",
            "ffmpeg's time includes its start (some 0.05 s); detection's excludes Python's, as in a warm instance.",
        ],
    )
    return 1 if short else 0
