"""Vision by its own client library, against a server that speaks its API: requests, limits, failures, odd answers."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.cloud import vision_v1

from local.emulators import free_port
from shared.adapters.embedded.blob_keys import FILE_NAME, local_signing_key
from shared.adapters.google import analyser_calls, vision
from shared.adapters.google.vision import VisionAnnotator
from shared.errors import AnalyserFailed
from shared.ports import Feature, Frame, ImageAnnotation
from tests.google_ai_server import GoogleAi, Method, picture, unread_picture

PATIENT = AnalyserFailed.PATIENT
CODES = {
    grpc.StatusCode.RESOURCE_EXHAUSTED: ("quota_exceeded", PATIENT),
    grpc.StatusCode.PERMISSION_DENIED: ("not_permitted", 1),
    grpc.StatusCode.UNAUTHENTICATED: ("not_permitted", 1),
    grpc.StatusCode.INVALID_ARGUMENT: ("refused", 1),
    grpc.StatusCode.NOT_FOUND: ("refused", 1),
    grpc.StatusCode.FAILED_PRECONDITION: ("refused", 1),
    grpc.StatusCode.UNIMPLEMENTED: ("refused", 1),
    grpc.StatusCode.CANCELLED: ("cancelled", 1),
    grpc.StatusCode.DEADLINE_EXCEEDED: ("too_slow", PATIENT),
    grpc.StatusCode.UNAVAILABLE: ("unavailable", PATIENT),
    grpc.StatusCode.INTERNAL: ("unavailable", PATIENT),
    grpc.StatusCode.ABORTED: ("unavailable", PATIENT),
    grpc.StatusCode.UNKNOWN: ("unavailable", PATIENT),
    grpc.StatusCode.DATA_LOSS: ("unavailable", PATIENT),
}
"""Every way in which a call can fail, and what it means."""
REPEATED = (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE)


def frame(name: str = "a", size: int = 0) -> Frame:
    return Frame(name.encode().ljust(size, b"."), 100, 50)


@pytest.fixture
def annotator(google_ai: GoogleAi) -> VisionAnnotator:
    return vision.connect(endpoint=google_ai.address)


@pytest.fixture
def hasty(google_ai: GoogleAi) -> VisionAnnotator:
    """One that gives up after 0.4 s."""
    return vision.connect(endpoint=google_ai.address, timeout=0.4)


def by_name(**answers: Any) -> Any:
    return lambda jpeg: answers[jpeg.rstrip(b".").decode()]


# --------------------------------------------------------------------------- requests


def test_all_frames_and_all_features_are_one_request(annotator: VisionAnnotator, google_ai: GoogleAi) -> None:
    annotator.annotate([frame()] * 10, list(Feature))
    (request,) = google_ai.called(Method.IMAGES)
    types = vision_v1.Feature.Type
    assert len(request.requests) == 10
    assert [feature.type_ for feature in request.requests[0].features] == [
        types.SAFE_SEARCH_DETECTION,
        types.OBJECT_LOCALIZATION,
        types.LABEL_DETECTION,
        types.FACE_DETECTION,
        types.LOGO_DETECTION,
        types.TEXT_DETECTION,
    ]


def test_a_feature_asked_twice_is_paid_once(annotator: VisionAnnotator, google_ai: GoogleAi) -> None:
    annotator.annotate([frame()], [Feature.FACES, Feature.FACES])
    (request,) = google_ai.called(Method.IMAGES)
    assert len(request.requests[0].features) == 1


def test_a_crowd_is_more_than_ten_faces(annotator: VisionAnnotator, google_ai: GoogleAi) -> None:
    google_ai.see = lambda _: picture(faces=30)
    (found,) = annotator.annotate([frame()], [Feature.FACES])
    assert len(found.faces or ()) == 30


@pytest.mark.parametrize(
    ("sizes", "requests"),
    [([1] * 16, [16]), ([1] * 17, [16, 1]), ([3_000_000] * 5, [2, 2, 1]), ([7_400_000, 10, 10], [1, 2])],
)
def test_what_is_too_much_for_one_request_goes_in_several(
    sizes: list[int], requests: list[int], annotator: VisionAnnotator, google_ai: GoogleAi
) -> None:
    found = annotator.annotate([frame(size=size) for size in sizes], [Feature.LABELS])
    assert [len(call.requests) for call in google_ai.called(Method.IMAGES)] == requests
    assert [each.error for each in found] == [None] * len(sizes)


def test_when_one_of_several_requests_fails_the_others_count(annotator: VisionAnnotator) -> None:
    found = annotator.annotate([frame(size=8_000_000), frame(), frame()], [Feature.LABELS])
    assert [each.error.code if each.error else None for each in found] == ["refused", None, None]
    assert [each.labels for each in found] == [None, (), ()]


# --------------------------------------------------------------------------- failures


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
def test_every_way_to_fail(code: grpc.StatusCode, hasty: VisionAnnotator, google_ai: GoogleAi) -> None:
    google_ai.fail(Method.IMAGES, code, message="the secret of the service")
    with pytest.raises(AnalyserFailed) as failed:
        hasty.annotate([frame()], [Feature.LABELS])
    assert (failed.value.code, failed.value.tries) == CODES[code]
    assert failed.value.sentence.endswith(".")
    assert "secret" not in str(failed.value)
    assert (len(google_ai.calls) > 1) == (code in REPEATED)


@pytest.mark.parametrize("code", REPEATED, ids=lambda code: code.name)
def test_the_library_itself_asks_again(code: grpc.StatusCode, annotator: VisionAnnotator, google_ai: GoogleAi) -> None:
    google_ai.fail(Method.IMAGES, code, times=2)
    (found,) = annotator.annotate([frame()], [Feature.LABELS])
    assert (found.labels, len(google_ai.calls)) == ((), 3)


def test_a_service_that_never_answers_is_too_slow(hasty: VisionAnnotator, google_ai: GoogleAi) -> None:
    google_ai.hang(Method.IMAGES, 5)
    with pytest.raises(AnalyserFailed) as failed:
        hasty.annotate([frame()], [Feature.LABELS])
    assert failed.value.code == "too_slow"


def test_nobody_there(google_ai: GoogleAi) -> None:
    with pytest.raises(AnalyserFailed) as failed:
        vision.connect(endpoint=f"127.0.0.1:{free_port()}", timeout=0.4).annotate([frame()], [Feature.LABELS])
    assert failed.value.code == "unavailable"


def test_more_answers_than_pictures_are_not_believed(annotator: VisionAnnotator, google_ai: GoogleAi) -> None:
    google_ai.answer(Method.IMAGES, vision_v1.BatchAnnotateImagesResponse(responses=[picture(), picture()]))
    with pytest.raises(AnalyserFailed, match="malformed_answer"):
        annotator.annotate([frame()], [Feature.SAFE_SEARCH])


def test_the_policy_of_repetition_is_the_librarys_but_for_its_end(annotator: VisionAnnotator) -> None:
    transport: Any = annotator._client.transport
    theirs = transport._wrapped_methods[transport.batch_annotate_images]._retry
    ours = analyser_calls.repeating(600)
    assert (ours._initial, ours._maximum, ours._multiplier) == (theirs._initial, theirs._maximum, theirs._multiplier)
    assert ours.timeout == theirs.timeout


# --------------------------------------------------------------------------- answers


def test_an_error_of_one_picture_leaves_the_others(annotator: VisionAnnotator, google_ai: GoogleAi) -> None:
    google_ai.see = by_name(
        good=picture(labels=[("Beach", 0.9)]),
        bad=unread_picture(grpc.StatusCode.INVALID_ARGUMENT, "Bad image data."),
        busy=unread_picture(grpc.StatusCode.UNAVAILABLE),
    )
    good, bad, busy = annotator.annotate([frame("good"), frame("bad"), frame("busy")], [Feature.LABELS])
    assert (good.error, [label.name for label in good.labels or ()]) == (None, ["Beach"])
    assert (bad.error and (bad.error.code, bad.error.tries), bad.labels) == (("refused", 1), None)
    assert (busy.error and (busy.error.code, busy.error.tries), busy.labels) == (("unavailable", PATIENT), None)


def test_what_was_found_before_the_error_is_kept_and_what_was_not_is_unknown(
    annotator: VisionAnnotator, google_ai: GoogleAi
) -> None:
    partial = picture(objects=[("Gun", 0.9)])
    partial.error = unread_picture(grpc.StatusCode.INTERNAL).error
    google_ai.see = lambda _: partial
    (found,) = annotator.annotate([frame()], [Feature.OBJECTS, Feature.LABELS, Feature.TEXT])
    assert found.error is not None
    assert ([each.name for each in found.objects or ()], found.labels, found.text) == (["Gun"], None, None)


@pytest.mark.parametrize("answered", [0, 1, 2])
def test_fewer_answers_than_pictures(answered: int, annotator: VisionAnnotator, google_ai: GoogleAi) -> None:
    reply = vision_v1.BatchAnnotateImagesResponse(responses=[picture()] * answered)
    google_ai.answer(Method.IMAGES, reply)
    found = annotator.annotate([frame()] * 3, [Feature.SAFE_SEARCH])
    assert [each.error is None for each in found] == [number < answered for number in range(3)]
    assert {each.error.code for each in found if each.error} == {"incomplete_answer"}


def test_an_empty_answer_is_never_clean(annotator: VisionAnnotator, google_ai: GoogleAi) -> None:
    google_ai.see = lambda _: vision_v1.AnnotateImageResponse()
    (found,) = annotator.annotate([frame()], list(Feature))
    assert found.error is not None
    assert (found.error.code, found.error.tries) == ("incomplete_answer", 2)
    assert dataclasses.replace(found, error=None) == ImageAnnotation()


@pytest.mark.filterwarnings("ignore:Unrecognized Likelihood")
def test_unknown_stays_unknown_and_so_is_what_no_library_knows_yet(
    annotator: VisionAnnotator, google_ai: GoogleAi
) -> None:
    answer = picture(adult="UNKNOWN", racy="LIKELY")
    vision_v1.AnnotateImageResponse.pb(answer).safe_search_annotation.violence = 9
    google_ai.see = lambda _: answer
    (found,) = annotator.annotate([frame()], [Feature.SAFE_SEARCH])
    assert found.safe_search == {
        "adult": "UNKNOWN",
        "violence": "UNKNOWN",
        "racy": "LIKELY",
        "spoof": "VERY_UNLIKELY",
        "medical": "VERY_UNLIKELY",
    }


def test_boxes_in_shares_of_the_picture(annotator: VisionAnnotator, google_ai: GoogleAi) -> None:
    google_ai.see = lambda _: picture(objects=[("Gun", 0.9)], logos=[("Acme", 0.8)], faces=1)
    (found,) = annotator.annotate([frame()], list(Feature))
    assert [each.box for each in found.objects or ()] == [pytest.approx((0.25, 0.25, 0.5, 0.25))]
    assert [each.box for each in found.logos or ()] == [pytest.approx((0.1, 0.2, 0.1, 0.2))]
    assert [each.box for each in found.faces or ()] == [pytest.approx((0, 0, 0.1, 0.2))]


@pytest.mark.parametrize(
    ("corners", "box"),
    [
        ([], None),
        ([(-20, -20), (50, 25)], (0, 0, 0.5, 0.5)),
        ([(50, 25), (900, 900)], (0.5, 0.5, 0.5, 0.5)),
    ],
)
def test_a_box_never_leaves_the_picture(
    corners: list[tuple[int, int]], box: Any, annotator: VisionAnnotator, google_ai: GoogleAi
) -> None:
    answer = picture(logos=[("Acme", 0.8)])
    answer.logo_annotations[0].bounding_poly = vision_v1.BoundingPoly(vertices=[{"x": x, "y": y} for x, y in corners])
    google_ai.see = lambda _: answer
    (found,) = annotator.annotate([frame()], [Feature.LOGOS])
    assert [each.box for each in found.logos or ()] == [box if box is None else pytest.approx(box)]


@pytest.mark.parametrize("score", [0.3, 0.35, 0.55, 0.65, 0.85, 0.95])
def test_a_score_at_a_threshold_is_not_below_it(score: float, annotator: VisionAnnotator, google_ai: GoogleAi) -> None:
    google_ai.see = lambda _: picture(labels=[("Beer", score)])
    (found,) = annotator.annotate([frame()], [Feature.LABELS])
    assert [each.confidence for each in found.labels or ()] == [score]


@pytest.mark.parametrize(("score", "confidence"), [(1.5, 1.0), (-0.5, 0.0), (float("nan"), 0.0), (float("inf"), 0.0)])
def test_scores_out_of_bounds(score: float, confidence: float, annotator: VisionAnnotator, google_ai: GoogleAi) -> None:
    google_ai.see = lambda _: picture(labels=[("Beer", score)])
    (found,) = annotator.annotate([frame()], [Feature.LABELS])
    assert [each.confidence for each in found.labels or ()] == [confidence]


def test_text_from_either_place(annotator: VisionAnnotator, google_ai: GoogleAi) -> None:
    sparse = picture(text="sparse")
    sparse.full_text_annotation = vision_v1.TextAnnotation()
    google_ai.see = by_name(whole=picture(text="whole"), sparse=sparse, none=picture())
    found = annotator.annotate([frame("whole"), frame("sparse"), frame("none")], [Feature.TEXT])
    assert [each.text for each in found] == ["whole", "sparse", ""]


def test_without_an_endpoint_it_is_googles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local_signing_key(tmp_path)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / FILE_NAME))
    assert vision.connect()._client.transport.host == "vision.googleapis.com:443"
