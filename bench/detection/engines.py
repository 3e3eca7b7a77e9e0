"""LiteRT against Keras' `predict`, on the same network: a small frame classifier with random weights."""

from __future__ import annotations

from functools import partial

from bench.detection.clips import Clips
from bench.detection.work import interleaved, measured
from bench.tables import show


def show_table(clips: Clips, runs: int) -> int:
    """Prints the table."""
    weights = measured("make-network", clips.folder)["weights"]
    files = {"keras": clips.folder / "frame.keras", "litert": clips.folder / "frame.tflite"}
    found = interleaved(runs, {job: partial(measured, job, path) for job, path in files.items()})
    keras, litert = found["keras"], found["litert"]
    show(
        "One network, one picture at a time: LiteRT against Keras `predict`",
        ["engine", "start to first result s", "peak MB", "pictures/s"],
        [
            ["Keras predict", f"{keras['start']:.2f}", f"{keras['peak_mb']:.0f}", f"{keras['rate']:.0f}"],
            ["LiteRT", f"{litert['start']:.2f}", f"{litert['peak_mb']:.0f}", f"{litert['rate']:.0f}"],
            [
                "LiteRT against Keras",
                f"{keras['start'] / litert['start']:.1f}x sooner",
                f"{keras['peak_mb'] / litert['peak_mb']:.1f}x less",
                f"{litert['rate'] / keras['rate']:.1f}x",
            ],
        ],
        [
            f"Medians of {runs} interleaved runs, a fresh process each. MobileNetV2 0.35, 96 x 96 x 3, random weights "
            f"({weights / 1e6:.2f} million)."
        ],
    )
    return 0
