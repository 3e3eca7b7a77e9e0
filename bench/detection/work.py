"""What is measured, each as a process that prints its figures as JSON: `python -m bench.detection.work NAME PATH`.

Libraries are imported by the job that needs them, so that each process holds only what it measures.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from shared.settings import BUNDLED_MODEL

ROOT = Path(__file__).resolve().parents[2]
MODEL = BUNDLED_MODEL
EVERY = 5
"""The naive loop looks at every so-manyth frame, as published projects do."""

_INFERENCES = 100

Figures = dict[str, float]


def measured(job: str, path: Path) -> Figures:
    """Runs a job of `JOBS` on the file or folder at `path` in a process of its own."""
    command = [sys.executable, "-m", "bench.detection.work", job, str(path)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def interleaved(runs: int, subjects: Mapping[str, Callable[[], Figures]]) -> dict[str, Figures]:
    """The medians of each figure of each subject, which take turns, so that a busy moment meets them all."""
    results: dict[str, list[Figures]] = {name: [] for name in subjects}
    for _ in range(runs):
        for name, subject in subjects.items():
            results[name].append(subject())
    return {name: _medians(figures) for name, figures in results.items()}


def peak_megabytes(path: Path) -> float:
    """The peak resident size of a fresh process that detects in `path`."""
    return measured("detect", path)["peak_mb"]


def _medians(figures: Sequence[Figures]) -> Figures:
    return {name: median(each[name] for each in figures) for name in figures[0]}


# --------------------------------------------------------------------------- in the process


def detect(path: Path) -> Figures:
    """`seconds` from opening the file to its segments; the model is loaded before, as in a warm instance."""
    from shared.detection.detector import load_detector
    from shared.domain.detections import find_segments

    detector = load_detector(MODEL)
    begun = time.perf_counter()
    with path.open("rb") as stream:
        run = detector.detect(stream)
    segments = find_segments(run.windows, detector.class_name)
    return {"seconds": time.perf_counter() - begun, "video": run.duration, "segments": len(segments)}


def first_window(path: Path) -> Figures:
    """`first`: seconds from the start of `detect` until a window that counts was known; `seconds` to the end."""
    from bench.detection.watch import WatchedModel
    from shared.detection.detector import READERS, WindowDetector

    watched = WatchedModel(READERS[MODEL.suffix](MODEL))
    begun = time.perf_counter()
    with path.open("rb") as stream:
        run = WindowDetector(watched).detect(stream)
    total = time.perf_counter() - begun
    return {"first": watched.first_at - begun, "seconds": total, "video": run.duration}


def naive(path: Path) -> Figures:
    """OpenCV decodes everything; every 5th frame goes through a Keras `predict` of its own at 224 x 224."""
    import cv2
    import numpy as np
    from tensorflow import keras

    model = keras.applications.MobileNetV2(weights=None, classes=2)
    model.predict(np.zeros((1, 224, 224, 3), np.float32), verbose=0)
    begun, number = time.perf_counter(), 0
    capture = cv2.VideoCapture(str(path))
    while (read := capture.read())[0]:
        if number % EVERY == 0:
            picture = cv2.resize(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB), (224, 224)).astype(np.float32) / 255
            model.predict(picture[None], verbose=0)
        number += 1
    return {"seconds": time.perf_counter() - begun}


def make_network(folder: Path) -> Figures:
    """Writes a frame classifier with random weights as `frame.keras` and `frame.tflite`."""
    import tensorflow

    model = tensorflow.keras.applications.MobileNetV2((96, 96, 3), alpha=0.35, weights=None, classes=2)
    model.save(folder / "frame.keras")
    (folder / "frame.tflite").write_bytes(tensorflow.lite.TFLiteConverter.from_keras_model(model).convert())
    return {"weights": float(model.count_params())}


def by_keras(path: Path) -> Figures:
    """Loads the network and calls `predict` for one picture after the other."""

    def load() -> Callable[[Any], Any]:
        from tensorflow import keras

        model = keras.models.load_model(path)
        return lambda picture: model.predict(picture, verbose=0)

    return _inference(load)


def by_litert(path: Path) -> Figures:
    """Loads the network as the detector does and runs one picture after the other."""

    def load() -> Callable[[Any], Any]:
        from shared.detection.litert_file import read_litert

        network = read_litert(path)
        network.prepare((96, 96, 3))
        return network.run

    return _inference(load)


def _inference(load: Callable[[], Callable[[Any], Any]]) -> Figures:
    """`start` is from the process's creation to its first result."""
    import numpy as np
    import psutil

    run = load()
    picture = np.zeros((1, 96, 96, 3), np.float32)
    run(picture)
    start = time.time() - psutil.Process().create_time()
    begun = time.perf_counter()
    for _ in range(_INFERENCES):
        run(picture)
    return {"start": start, "rate": _INFERENCES / (time.perf_counter() - begun)}


def own_peak_megabytes() -> float:
    """On Linux from /proc: getrusage's figure begins with what the parent held when it forked (proc(5), VmHWM)."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)  # bytes on macOS


JOBS: Mapping[str, Callable[[Path], Figures]] = {
    "detect": detect,
    "first": first_window,
    "naive": naive,
    "make-network": make_network,
    "keras": by_keras,
    "litert": by_litert,
}


if __name__ == "__main__":
    figures = JOBS[sys.argv[1]](Path(sys.argv[2]))
    print(json.dumps({**figures, "peak_mb": own_peak_megabytes()}))
