"""The loop most published projects have, against FFmpeg's decoding and against Sightline."""

from __future__ import annotations

from bench.detection import ffmpeg
from bench.detection.clips import Clips
from bench.detection.work import EVERY, interleaved, measured
from bench.tables import show

_SIZE = "720p"
_SECONDS = 20.0
_MOST_RUNS = 3


def show_table(clips: Clips, runs: int) -> int:
    """Prints the table; 1 without ffmpeg."""
    if not ffmpeg.installed():
        return 1
    path, rounds = clips.video(_SIZE, "x264 defaults", _SECONDS), min(runs, _MOST_RUNS)
    names = {
        "ffmpeg": "ffmpeg, decoding alone",
        "ours": "Sightline",
        "naive": f"OpenCV, Keras on every {EVERY}th frame",
    }
    found = interleaved(
        rounds,
        {
            "ffmpeg": lambda: ffmpeg.decode(path),
            "ours": lambda: measured("detect", path),
            "naive": lambda: measured("naive", path),
        },
    )
    alone, ours = found["ffmpeg"]["seconds"], found["ours"]["seconds"]
    rows = [
        [label, f"{(took := found[key]['seconds']):.2f}", f"{alone / took:.2f}", f"{ours / took:.2f}"]
        for key, label in names.items()
    ]
    show(
        f"The naive loop on {_SECONDS:g} s of {_SIZE}",
        ["what", "seconds", "speed of ffmpeg's", "speed of ours"],
        rows,
        [
            f"Medians of {rounds} interleaved runs; {clips.origin}. Models are loaded before.",
            "The naive loop: MobileNetV2 at 224 x 224 with random weights, one `predict` a picture.",
        ],
    )
    return 0
