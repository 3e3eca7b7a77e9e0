"""Analysers that tell the health page how their last call went. They must change nothing of what is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import BinaryIO

from shared.errors import AnalyserFailed
from shared.handlers.watch import Watch
from shared.ports import (
    Clock,
    Documents,
    Feature,
    Frame,
    ImageAnnotation,
    ImageAnnotator,
    Operation,
    TextAnalyzer,
    TextAnnotation,
    VideoAnnotation,
    VideoAnnotator,
)
from shared.repositories import components


class WatchedImages:
    """Implements `ImageAnnotator` by another one."""

    def __init__(self, annotator: ImageAnnotator, documents: Documents, clock: Clock) -> None:
        self._annotator = annotator
        self._watch = Watch(components.VISION, documents, clock)

    @property
    def name(self) -> str:
        """See `ImageAnnotator.name`."""
        return self._annotator.name

    @property
    def unable(self) -> Mapping[Feature, str]:
        """See `ImageAnnotator.unable`."""
        return self._annotator.unable

    def annotate(self, frames: Sequence[Frame], features: Sequence[Feature]) -> list[ImageAnnotation]:
        """See `ImageAnnotator.annotate`. One picture that an outage cost is enough to say so."""
        try:
            found = self._annotator.annotate(frames, features)
        except AnalyserFailed as error:
            self._watch.failed(error)
            raise
        self._watch.answered(self.name, [one.error for one in found])
        return found


class WatchedTexts:
    """Implements `TextAnalyzer` by another one."""

    def __init__(self, analyzer: TextAnalyzer, documents: Documents, clock: Clock) -> None:
        self._analyzer = analyzer
        self._watch = Watch(components.LANGUAGE, documents, clock)

    @property
    def name(self) -> str:
        """See `TextAnalyzer.name`."""
        return self._analyzer.name

    def analyze(self, text: str) -> TextAnnotation:
        """See `TextAnalyzer.analyze`. One answer that an outage cost is enough to say so."""
        said = self._analyzer.analyze(text)
        self._watch.answered(self.name, said.problems.values())
        return said


class WatchedVideos:
    """Implements `VideoAnnotator` by another one."""

    def __init__(self, annotator: VideoAnnotator, documents: Documents, clock: Clock) -> None:
        self._annotator = annotator
        self._watch = Watch(components.VIDEO_INTELLIGENCE, documents, clock)

    @property
    def name(self) -> str:
        """See `VideoAnnotator.name`."""
        return self._annotator.name

    def start(self, object_name: str, output_name: str) -> str:
        """See `VideoAnnotator.start`."""
        with self._watch.call(self.name):
            return self._annotator.start(object_name, output_name)

    def look_up(self, operation: str) -> Operation:
        """See `VideoAnnotator.look_up`. How the operation itself ended says nothing of the service."""
        with self._watch.call(self.name):
            return self._annotator.look_up(operation)

    def cancel(self, operation: str) -> None:
        """See `VideoAnnotator.cancel`."""
        self._annotator.cancel(operation)

    def read(self, stream: BinaryIO) -> VideoAnnotation:
        """See `VideoAnnotator.read`: it asks nobody."""
        return self._annotator.read(stream)
