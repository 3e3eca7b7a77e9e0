"""Witnesses that say what a test tells them to, and remember what they were asked."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from PIL import Image

from shared.errors import AnalyserFailed
from shared.ports import Feature, Frame, ImageAnnotation, Seen, TextAnnotation

SAFE = {"adult": "VERY_UNLIKELY", "violence": "VERY_UNLIKELY", "racy": "VERY_UNLIKELY", "spoof": "VERY_UNLIKELY"}


def frames(count: int = 1, seconds: float = 1.0) -> list[Frame]:
    """Small pictures, `seconds` apart."""
    return [Frame(jpeg(), 8, 8, number * seconds) for number in range(count)]


def jpeg(shade: int = 120) -> bytes:
    """A picture of one shade of gray."""
    page = io.BytesIO()
    Image.new("L", (8, 8), shade).save(page, "JPEG")
    return page.getvalue()


def innocent(text: str = "") -> ImageAnnotation:
    """A picture of which everything was said, and nothing of it is bad."""
    return ImageAnnotation(
        safe_search={**SAFE, "medical": "VERY_UNLIKELY"},
        objects=(Seen("Chair", 0.9),),
        labels=(Seen("Furniture", 0.9),),
        faces=(),
        logos=(),
        text=text,
    )


@dataclass
class ScriptedAnnotator:
    """An `ImageAnnotator`. `answer` gives the annotation of each frame, by its number, or raises."""

    answer: Callable[[int], ImageAnnotation] = field(default=lambda _: innocent())
    name: str = "scripted-images-1"
    unable: Mapping[Feature, str] = field(default_factory=dict)
    asked: list[tuple[int, tuple[Feature, ...]]] = field(default_factory=list)

    def annotate(self, frames: Sequence[Frame], features: Sequence[Feature]) -> list[ImageAnnotation]:
        self.asked.append((len(frames), tuple(features)))
        return [self._only(self.answer(number), features) for number in range(len(frames))]

    @staticmethod
    def _only(found: ImageAnnotation, features: Sequence[Feature]) -> ImageAnnotation:
        """As the real ones: what was not asked for is not said."""
        if found.error is not None:
            return found
        return ImageAnnotation(**{feature.value: getattr(found, feature.value) for feature in features})


@dataclass
class ScriptedText:
    """A `TextAnalyzer` that says the same of every text."""

    said: TextAnnotation = TextAnnotation(categories=(), sentiment=0.1, language="en")
    name: str = "scripted-text-1"
    asked: list[str] = field(default_factory=list)

    def analyze(self, text: str) -> TextAnnotation:
        self.asked.append(text)
        return self.said


def failure(code: str = "unavailable", tries: int = AnalyserFailed.PATIENT) -> AnalyserFailed:
    """An analyser's failure."""
    return AnalyserFailed(code, f"The analyser said {code}.", tries=tries)
