"""Video Intelligence by its own client library: operations that succeed, fail, never finish, or are lost."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.cloud import videointelligence_v1
from google.protobuf import any_pb2

from shared.adapters.embedded.blob_keys import FILE_NAME, local_signing_key
from shared.adapters.google import analyser_calls, video_intelligence
from shared.adapters.google.video_intelligence import VideoIntelligence
from shared.buckets import Buckets
from shared.errors import AnalyserFailed, Malformed
from shared.ports import Operation, OperationState, Spotted
from tests.google_ai_server import GoogleAi, Method, Plan, Spelling, video

CODES = {
    grpc.StatusCode.RESOURCE_EXHAUSTED: "quota_exceeded",
    grpc.StatusCode.PERMISSION_DENIED: "not_permitted",
    grpc.StatusCode.INVALID_ARGUMENT: "refused",
    grpc.StatusCode.DEADLINE_EXCEEDED: "too_slow",
    grpc.StatusCode.UNAVAILABLE: "unavailable",
    grpc.StatusCode.INTERNAL: "unavailable",
}


BUCKETS = Buckets({"": "media", "annotations/": "results"})


@pytest.fixture
def annotator(google_ai: GoogleAi) -> VideoIntelligence:
    return video_intelligence.connect(BUCKETS, endpoint=google_ai.address, start_timeout=3, look_timeout=3)


@pytest.fixture
def hasty(google_ai: GoogleAi) -> VideoIntelligence:
    return video_intelligence.connect(BUCKETS, endpoint=google_ai.address, start_timeout=0.4, look_timeout=0.4)


@pytest.fixture
def written(google_ai: GoogleAi) -> dict[str, bytes]:
    """The result objects, by their addresses."""
    objects: dict[str, bytes] = {}
    google_ai.write = objects.__setitem__
    return objects


def start(annotator: VideoIntelligence) -> str:
    return annotator.start("media/clip.mp4", "annotations/clip.json")


# --------------------------------------------------------------------------- start


def test_it_asks_for_everything_at_once_and_waits_for_nothing(
    annotator: VideoIntelligence, google_ai: GoogleAi, written: dict[str, bytes]
) -> None:
    assert start(annotator).endswith("/operations/1")
    (request,) = google_ai.called(Method.VIDEO)
    assert (request.input_uri, request.output_uri) == (
        "gs://media/media/clip.mp4",
        "gs://results/annotations/clip.json",
    )
    assert {feature.name for feature in request.features} == {
        "EXPLICIT_CONTENT_DETECTION",
        "LABEL_DETECTION",
        "SHOT_CHANGE_DETECTION",
        "TEXT_DETECTION",
    }
    assert request.video_context.label_detection_config.label_detection_mode.name == "SHOT_MODE"
    assert (google_ai.called(Method.GET), written) == ([], {})


def test_starting_twice_gives_two_operations_with_one_result(
    annotator: VideoIntelligence, google_ai: GoogleAi, written: dict[str, bytes]
) -> None:
    names = [start(annotator), start(annotator)]
    for name in names:
        google_ai.finish(name)
    assert (len(set(names)), list(written)) == (2, ["gs://results/annotations/clip.json"])


@pytest.mark.parametrize("name", ["a*b", "a?b", "*", "media/**/x"])
def test_a_name_that_stands_for_several_is_refused(
    name: str, annotator: VideoIntelligence, google_ai: GoogleAi
) -> None:
    for names in ((name, "result.json"), ("clip.mp4", name)):
        with pytest.raises(AnalyserFailed) as refused:
            annotator.start(*names)
        assert (refused.value.code, refused.value.tries) == ("unsafe_object_name", 1)
    assert google_ai.calls == []


@pytest.mark.parametrize("name", ["a b", "\u00fcber/#1", "100%", "[x]", "a" * 900])
def test_any_other_name_reaches_it_unchanged(name: str, annotator: VideoIntelligence, google_ai: GoogleAi) -> None:
    annotator.start(name, "result.json")
    assert google_ai.called(Method.VIDEO)[0].input_uri == f"gs://media/{name}"


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
def test_every_way_to_fail_to_start(code: grpc.StatusCode, hasty: VideoIntelligence, google_ai: GoogleAi) -> None:
    google_ai.fail(Method.VIDEO, code, message="the secret")
    with pytest.raises(AnalyserFailed) as failed:
        start(hasty)
    assert failed.value.code == CODES[code]
    assert "secret" not in str(failed.value)


def test_the_library_itself_starts_again(annotator: VideoIntelligence, google_ai: GoogleAi) -> None:
    google_ai.fail(Method.VIDEO, grpc.StatusCode.UNAVAILABLE, times=1)
    assert start(annotator)
    assert len(google_ai.calls) == 2


def test_a_start_that_is_never_answered(hasty: VideoIntelligence, google_ai: GoogleAi) -> None:
    google_ai.hang(Method.VIDEO, 5)
    with pytest.raises(AnalyserFailed) as failed:
        start(hasty)
    assert failed.value.code == "too_slow"


def test_the_policy_of_repetition_is_the_librarys_but_for_its_end(annotator: VideoIntelligence) -> None:
    transport: Any = annotator.client.transport
    theirs = transport._wrapped_methods[transport.annotate_video]._retry
    ours = analyser_calls.repeating(600, **video_intelligence.START_PAUSES)
    assert (ours._initial, ours._maximum, ours._multiplier) == (theirs._initial, theirs._maximum, theirs._multiplier)
    assert ours.timeout == theirs.timeout


# --------------------------------------------------------------------------- operations


@pytest.mark.parametrize("spelling", list(Spelling), ids=lambda spelling: spelling.name)
def test_one_that_succeeds_writes_its_result(
    spelling: Spelling, annotator: VideoIntelligence, google_ai: GoogleAi, written: dict[str, bytes]
) -> None:
    result = video(
        explicit=[("VERY_UNLIKELY", 0.0), ("LIKELY", 1.5)],
        labels=[("Fire", 0.8, 1.25, 2.5)],
        texts=[("EXIT", 0.9, 0.0, 1.0)],
        shots=3,
    )
    google_ai.watch = lambda _: Plan(result, after_polls=2, spelling=spelling)
    name = start(annotator)
    states = [annotator.look_up(name) for _ in range(3)]
    assert [each.state for each in states] == [OperationState.RUNNING] * 2 + [OperationState.SUCCEEDED]
    assert 0 < states[0].progress < states[1].progress < states[2].progress == 1
    found = annotator.read(io.BytesIO(written["gs://results/annotations/clip.json"]))
    assert found.explicit == (Spotted("LIKELY", 0.8, 1.5, 1.5),)
    assert found.labels == (Spotted("Fire", 0.8, 1.25, 2.5),)
    assert found.texts == (Spotted("EXIT", 0.9, 0.0, 1.0),)
    assert (found.shots, found.problems) == (3, {})


def test_one_that_nobody_asks_about_writes_its_result_too(
    annotator: VideoIntelligence, google_ai: GoogleAi, written: dict[str, bytes]
) -> None:
    google_ai.watch = lambda _: Plan(after_seconds=0.05)
    start(annotator)
    until = time.monotonic() + 5
    while not written and time.monotonic() < until:
        time.sleep(0.01)
    assert list(written) == ["gs://results/annotations/clip.json"]
    assert google_ai.called(Method.GET) == []


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
def test_one_that_fails_says_why_and_writes_nothing(
    code: grpc.StatusCode, annotator: VideoIntelligence, google_ai: GoogleAi, written: dict[str, bytes]
) -> None:
    google_ai.watch = lambda _: Plan(after_polls=0, fails=code)
    found = annotator.look_up(start(annotator))
    assert (found.state, found.code) == (OperationState.FAILED, CODES[code])
    assert found.sentence is not None
    assert found.sentence.endswith(".")
    assert "told" not in found.sentence
    assert written == {}


def test_one_that_never_finishes(annotator: VideoIntelligence, written: dict[str, bytes]) -> None:
    name = start(annotator)
    assert {annotator.look_up(name).state for _ in range(20)} == {OperationState.RUNNING}
    assert written == {}


def test_one_that_is_lost(annotator: VideoIntelligence, google_ai: GoogleAi) -> None:
    google_ai.watch = lambda _: Plan(lost=True)
    name = start(annotator)
    assert annotator.look_up(name) == Operation(name, OperationState.LOST)


def test_a_look_that_fails_says_nothing_of_the_operation(hasty: VideoIntelligence, google_ai: GoogleAi) -> None:
    name = start(hasty)
    google_ai.fail(Method.GET, grpc.StatusCode.UNAVAILABLE)
    with pytest.raises(AnalyserFailed) as failed:
        hasty.look_up(name)
    assert (failed.value.code, failed.value.tries) == ("unavailable", AnalyserFailed.PATIENT)


def test_the_library_itself_looks_again(annotator: VideoIntelligence, google_ai: GoogleAi) -> None:
    name = start(annotator)
    google_ai.fail(Method.GET, grpc.StatusCode.UNAVAILABLE, times=2)
    assert annotator.look_up(name).state is OperationState.RUNNING


def test_progress_that_is_not_told_is_none() -> None:
    assert video_intelligence._progress(any_pb2.Any()) == 0.0
    strange = any_pb2.Any()
    strange.Pack(videointelligence_v1.AnnotateVideoResponse.pb(video()))
    assert video_intelligence._progress(strange) == 0.0


def test_cancelling_gives_it_up_and_hurts_nobody_twice(
    annotator: VideoIntelligence, google_ai: GoogleAi, written: dict[str, bytes]
) -> None:
    name = start(annotator)
    annotator.cancel(name)
    annotator.cancel(name)
    annotator.cancel("projects/1/locations/us-east1/operations/404")
    google_ai.finish(name)
    found = annotator.look_up(name)
    assert (found.state, found.code, written) == (OperationState.FAILED, "cancelled", {})


def test_a_cancelling_that_does_not_get_through(hasty: VideoIntelligence, google_ai: GoogleAi) -> None:
    name = start(hasty)
    google_ai.fail(Method.CANCEL, grpc.StatusCode.PERMISSION_DENIED)
    with pytest.raises(AnalyserFailed, match="not_permitted"):
        hasty.cancel(name)


def test_what_is_no_result_is_refused(annotator: VideoIntelligence) -> None:
    with pytest.raises(Malformed):
        annotator.read(io.BytesIO(b"<html>"))


def test_without_an_endpoint_it_is_googles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local_signing_key(tmp_path)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / FILE_NAME))
    host = video_intelligence.connect(BUCKETS).client.transport.host
    assert host == "videointelligence.googleapis.com:443"
