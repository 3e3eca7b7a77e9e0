"""What the health page hears of Vision, Language and Video Intelligence, and that nothing of what they say changes."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import BinaryIO

import pytest

from shared.adapters.embedded.documents import SqliteDocuments
from shared.errors import AnalyserFailed
from shared.handlers.watch import EVERY
from shared.handlers.watched_witnesses import WatchedImages, WatchedTexts, WatchedVideos
from shared.ports import Feature, ImageAnnotation, Operation, OperationState, TextAnnotation, VideoAnnotation
from shared.repositories import components
from tests.fakes import ManualClock
from tests.handlers.scripted_witnesses import ScriptedAnnotator, ScriptedText, failure, frames, innocent

OUTAGES = ["unavailable", "quota_exceeded", "not_permitted", "too_slow", "refused"]


@dataclass
class ScriptedVideos:
    """A `VideoAnnotator` whose service can be away."""

    away: AnalyserFailed | None = None
    name: str = "scripted-videos-1"
    cancelled: str = ""

    def start(self, object_name: str, output_name: str) -> str:
        return self._answer(f"{object_name}>{output_name}")

    def look_up(self, operation: str) -> Operation:
        return Operation(self._answer(operation), OperationState.FAILED, code="internal")

    def cancel(self, operation: str) -> None:
        self.cancelled = operation

    def read(self, stream: BinaryIO) -> VideoAnnotation:
        return VideoAnnotation(shots=len(stream.read()))

    def _answer(self, answer: str) -> str:
        if self.away is not None:
            raise self.away
        return answer


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def failing(error: AnalyserFailed) -> ScriptedAnnotator:
    def fail(_: int) -> ImageAnnotation:
        raise error

    return ScriptedAnnotator(fail)


def test_pictures_come_through_unchanged_and_vision_is_ok(documents: SqliteDocuments, clock: ManualClock) -> None:
    scripted = ScriptedAnnotator(lambda number: innocent(f"text {number}"), unable={Feature.LOGOS: "never"})
    watched = WatchedImages(scripted, documents, clock)
    assert (watched.name, watched.unable) == (scripted.name, scripted.unable)
    assert components.state_of(documents, "vision") == "off"
    asked = (frames(2), [Feature.TEXT])
    assert watched.annotate(*asked) == scripted.annotate(*asked)
    assert components.state_of(documents, "vision") == "ok"


@pytest.mark.parametrize(
    ("code", "expected"), [*((code, "degraded") for code in OUTAGES), ("blocked", "ok"), ("budget_exhausted", "ok")]
)
def test_a_failed_request_speaks_for_vision_if_it_is_an_outage(
    code: str, expected: str, documents: SqliteDocuments, clock: ManualClock
) -> None:
    with pytest.raises(AnalyserFailed) as failed:
        WatchedImages(failing(failure(code)), documents, clock).annotate(frames(), [Feature.TEXT])
    assert failed.value.code == code
    assert components.state_of(documents, "vision") == expected


def test_one_picture_that_an_outage_cost_is_an_outage(documents: SqliteDocuments, clock: ManualClock) -> None:
    answers = [innocent(), ImageAnnotation(error=failure("quota_exceeded"))]
    watched = WatchedImages(ScriptedAnnotator(lambda number: answers[number]), documents, clock)
    assert watched.annotate(frames(2), [Feature.TEXT])[1] == answers[1]
    assert components.state_of(documents, "vision") == "degraded"
    answers[1] = ImageAnnotation(error=failure("unreadable_picture"))
    watched.annotate(frames(2), [Feature.TEXT])
    assert components.state_of(documents, "vision") == "ok"


@pytest.mark.parametrize(("code", "expected"), [("quota_exceeded", "degraded"), ("language_not_supported", "ok")])
def test_what_a_text_lacks_speaks_for_language_if_it_is_an_outage(
    code: str, expected: str, documents: SqliteDocuments, clock: ManualClock
) -> None:
    said = TextAnnotation(categories=(), problems={"sentiment": failure(code)})
    watched = WatchedTexts(ScriptedText(said), documents, clock)
    assert watched.name == ScriptedText().name
    assert watched.analyze("a text") == said
    assert components.state_of(documents, "language") == expected


def test_video_intelligence_is_ok_though_an_operation_failed(documents: SqliteDocuments, clock: ManualClock) -> None:
    scripted = ScriptedVideos()
    watched = WatchedVideos(scripted, documents, clock)
    assert watched.name == scripted.name
    assert watched.look_up("op") == Operation("op", OperationState.FAILED, code="internal")
    assert components.state_of(documents, "video_intelligence") == "ok"


def test_video_intelligence_is_degraded_while_it_does_not_answer(
    documents: SqliteDocuments, clock: ManualClock
) -> None:
    scripted = ScriptedVideos(failure("unavailable"))
    watched = WatchedVideos(scripted, documents, clock)
    with pytest.raises(AnalyserFailed):
        watched.look_up("op")
    assert components.state_of(documents, "video_intelligence") == "degraded"
    watched.cancel("op")
    assert scripted.cancelled == "op"
    assert watched.read(io.BytesIO(b"123")) == VideoAnnotation(shots=3)
    assert components.state_of(documents, "video_intelligence") == "degraded"  # neither asked the service
    scripted.away = None
    assert watched.start("a", "b") == "a>b"
    assert components.state_of(documents, "video_intelligence") == "ok"


def test_the_same_condition_is_written_once_a_minute(documents: SqliteDocuments, clock: ManualClock) -> None:
    watched = WatchedTexts(ScriptedText(), documents, clock)
    versions = []
    for seconds in (0.0, 1.0, EVERY.total_seconds()):
        clock.advance(seconds)
        watched.analyze("a text")
        found = documents.get(components.COLLECTION, "language")
        versions.append(found.version if found else None)
    assert versions[0] == versions[1] != versions[2]


def test_the_health_page_finds_all_of_them(documents: SqliteDocuments, clock: ManualClock) -> None:
    checks = components.checks(documents, clock)
    assert {name: checks[name]() for name in ("vision", "language", "video_intelligence")} == {
        "vision": "off",
        "language": "off",
        "video_intelligence": "off",
    }
    WatchedTexts(ScriptedText(), documents, clock).analyze("a text")
    assert (checks["language"](), checks["vision"]()) == ("ok", "off")
