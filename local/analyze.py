"""`python -m local analyze FILE…`: one JSON line a file, in the order given, without a server or a store.

A line is AnalysisData plus `file` and `peakProbability` (the highest calibrated window probability whatever the
sensitivity), or `file` and `error` for a file that can't be analysed; the others are analysed all the same.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from shared.domain import detections
from shared.errors import MediaUnusable
from shared.ports import Detector


def run(files: Sequence[str], detector: Detector, *, sensitivity: float, output: IO[str] | None = None) -> int:
    """Analyses the files; returns 0 if all could be, 1 otherwise."""
    stream = output or sys.stdout
    failed = False
    for name in files:
        line = analyse(name, detector, sensitivity)
        failed = failed or "error" in line
        stream.write(json.dumps(line, ensure_ascii=False) + "\n")
        stream.flush()
    return 1 if failed else 0


def analyse(name: str, detector: Detector, sensitivity: float) -> dict[str, Any]:
    """The line of one file."""
    try:
        with Path(name).open("rb") as file:
            found = detector.detect(file)
    except MediaUnusable as error:
        return {"file": name, "error": {"code": error.code, "message": error.sentence}}
    except OSError as error:
        return {"file": name, "error": {"code": "unreadable_file", "message": f"{error.strerror}."}}
    segments = detections.find_segments(found.windows, detector.class_name, sensitivity)
    data = detections.analysis_data(segments, found.duration, truncated=found.truncated)
    return {"file": name, **data, "peakProbability": detections.peak_probability(found.windows)}
