"""From window probabilities to segments, risk and AnalysisData (SPEC §3; field names are V's)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from typing_extensions import TypedDict  # pydantic reads typing's own only from Python 3.12 on

from shared.domain.context import Context
from shared.ports import ScoredWindow

DEFAULT_SENSITIVITY = 0.5
MERGE_GAP_SECONDS = 1.0
MIN_SEGMENT_SECONDS = 0.5
HIGH_RISK_ABOVE = 0.8
MEDIUM_RISK_ABOVE = 0.65

# Sums of window times in binary floating point are off by some 1e-16: far below a frame, but they must not decide.
_TIME_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Segment:
    """A stretch [start, end] in seconds; `confidence` is its highest window's probability (0-1)."""

    start: float
    end: float
    confidence: float
    type: str


class ViolenceDetection(TypedDict):
    """One element of `violenceDetections`; times in seconds."""

    startTime: float
    endTime: float
    confidence: float
    type: str
    description: str


class AnalysisData(TypedDict):
    """The reply of an analysis, as its source has it."""

    summary: str
    violenceDetections: list[ViolenceDetection]
    totalDuration: float
    overallRisk: str
    confidence: float
    objects: list[str]
    emotions: list[str]
    scenes: list[str]


def threshold(sensitivity: float) -> float:
    """The probability from which a window counts: 1 - sensitivity. ValueError outside [0, 1]."""
    if math.isnan(sensitivity) or not 0.0 <= sensitivity <= 1.0:
        raise ValueError("sensitivity must be between 0 and 1")
    # 1 - 0.7 is 0.30000000000000004: without rounding, a window of exactly 0.3 would not count.
    return round(1.0 - sensitivity, 12)


def find_segments(
    windows: Iterable[ScoredWindow], class_name: str, sensitivity: float = DEFAULT_SENSITIVITY
) -> tuple[Segment, ...]:
    """Counted windows merged across gaps of at most 1 s; segments shorter than 0.5 s dropped; in order of time."""
    least = threshold(sensitivity)
    counted = sorted((w for w in windows if w.probability >= least), key=lambda w: (w.start, w.end))
    merged: list[Segment] = []
    for window in counted:
        if merged and window.start - merged[-1].end <= MERGE_GAP_SECONDS + _TIME_TOLERANCE:
            merged[-1] = _extend(merged[-1], window)
        else:
            merged.append(Segment(window.start, window.end, window.probability, class_name))
    return tuple(s for s in merged if s.end - s.start >= MIN_SEGMENT_SECONDS - _TIME_TOLERANCE)


def peak_probability(windows: Iterable[ScoredWindow]) -> float:
    """The highest window probability whatever the sensitivity; 0 without windows."""
    return max((window.probability for window in windows), default=0.0)


def confidence(segments: Sequence[Segment]) -> float:
    """The highest segment's confidence; 0 without one."""
    return max((segment.confidence for segment in segments), default=0.0)


def overall_risk(value: float) -> str:
    """`high` above 0.8, `medium` above 0.65, else `low`."""
    if value > HIGH_RISK_ABOVE:
        return "high"
    return "medium" if value > MEDIUM_RISK_ABOVE else "low"


def summary(segments: Sequence[Segment], *, truncated: bool = False) -> str:
    """The sentence of SPEC §3, with a note when the file ended early."""
    risk = overall_risk(confidence(segments))
    note = " The file is damaged or ends early; it was analysed as far as it goes." if truncated else ""
    if not segments:
        return f"No violence detected. Overall risk {risk}.{note}"
    counts: dict[str, int] = {}
    for segment in segments:
        counts[segment.type] = counts.get(segment.type, 0) + 1
    listed = ", ".join(f"{name}({count})" for name, count in counts.items())
    noun = "segment" if len(segments) == 1 else "segments"
    return f"Detected {len(segments)} {noun}: {listed}. Overall risk {risk}. Continue monitoring for escalation.{note}"


def attention(risk: str, threat_level: int | None) -> str:
    """How urgently somebody should look: the risk, raised by a context model's threat level (0-2), never lowered."""
    order = ("low", "medium", "high")
    return order[max(order.index(risk), threat_level or 0)]


def analysis_data(
    segments: Sequence[Segment], duration: float, *, truncated: bool = False, context: Context | None = None
) -> AnalysisData:
    """AnalysisData of one video; without a context, it has no objects, emotions and scenes."""
    highest = confidence(segments)
    return AnalysisData(
        summary=" ".join(
            filter(None, [summary(segments, truncated=truncated), context.description if context else ""])
        ),
        violenceDetections=[_described(segment) for segment in segments],
        totalDuration=duration,
        overallRisk=overall_risk(highest),
        confidence=highest,
        objects=list(context.objects) if context else [],
        emotions=list(context.emotions) if context else [],
        scenes=list(context.scenes) if context else [],
    )


def _extend(segment: Segment, window: ScoredWindow) -> Segment:
    return Segment(
        segment.start,
        max(segment.end, window.end),
        max(segment.confidence, window.probability),
        segment.type,
    )


def _described(segment: Segment) -> ViolenceDetection:
    return ViolenceDetection(
        startTime=segment.start,
        endTime=segment.end,
        confidence=segment.confidence,
        type=segment.type,
        description=f"Detected {segment.type} with {segment.confidence:.2f} confidence",
    )
