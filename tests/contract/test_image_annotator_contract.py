"""The `ImageAnnotator` port: one suite, every home. A home is a fixture: an annotator that can see `WORLD`."""

from __future__ import annotations

import io

import grpc
import pytest
from PIL import Image, ImageDraw, ImageFont

from shared.adapters.embedded.image_annotator import RapidAnnotator
from shared.adapters.google import vision
from shared.errors import AnalyserFailed
from shared.ports import Feature, Frame, ImageAnnotation, ImageAnnotator
from tests.google_ai_server import GoogleAi, picture, unread_picture

HOMES = [pytest.param("google_images", id="google"), pytest.param("embedded_images", id="embedded")]

LIKELIHOODS = {"UNKNOWN", "VERY_UNLIKELY", "UNLIKELY", "POSSIBLE", "LIKELY", "VERY_LIKELY"}
SIZE = (640, 320)


def drawn(text: str) -> bytes:
    """A white JPEG with `text` in black, large."""
    image = Image.new("RGB", SIZE, "white")
    ImageDraw.Draw(image).text((40, 110), text, fill="black", font=ImageFont.load_default(size=90))
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=95)
    return encoded.getvalue()


SIGN, BLANK, BROKEN = drawn("DANGER"), drawn(""), b"this is no picture"
WORLD = {SIGN: picture(text="DANGER", labels=[("Sign", 0.9)]), BLANK: picture()}


def frame(jpeg: bytes) -> Frame:
    return Frame(jpeg, *SIZE)


@pytest.fixture
def google_images(google_ai: GoogleAi) -> ImageAnnotator:
    google_ai.see = lambda jpeg: WORLD.get(jpeg, unread_picture(grpc.StatusCode.INVALID_ARGUMENT, "Bad image data."))
    return vision.connect(endpoint=google_ai.address)


@pytest.fixture
def embedded_images() -> ImageAnnotator:
    return RapidAnnotator()


@pytest.fixture(params=HOMES)
def annotator(request: pytest.FixtureRequest) -> ImageAnnotator:
    found: ImageAnnotator = request.getfixturevalue(request.param)
    return found


def given(annotation: ImageAnnotation) -> set[Feature]:
    """The features that were evaluated."""
    return {feature for feature in Feature if getattr(annotation, feature.value) is not None}


def test_it_names_itself_with_its_version(annotator: ImageAnnotator) -> None:
    assert annotator.name.strip() == annotator.name != ""
    assert any(character.isdigit() for character in annotator.name)


def test_what_it_can_never_give_has_a_reason(annotator: ImageAnnotator) -> None:
    assert all(sentence.endswith(".") for sentence in annotator.unable.values())


def test_one_annotation_a_frame_in_order(annotator: ImageAnnotator) -> None:
    annotations = annotator.annotate([frame(BLANK), frame(SIGN), frame(BLANK)], [Feature.TEXT])
    assert [(each.text or "").strip() for each in annotations] == ["", "DANGER", ""]


def test_what_is_asked_and_can_be_given_is_given_and_nothing_else(annotator: ImageAnnotator) -> None:
    able = set(Feature) - set(annotator.unable)
    (everything,) = annotator.annotate([frame(SIGN)], list(Feature))
    assert (given(everything), everything.error) == (able, None)
    for feature in Feature:
        (one,) = annotator.annotate([frame(SIGN)], [feature])
        assert (given(one), one.error) == ({feature} & able, None)


def test_nothing_asked_is_nothing_said(annotator: ImageAnnotator) -> None:
    assert annotator.annotate([frame(SIGN)], []) == [ImageAnnotation()]
    assert annotator.annotate([], list(Feature)) == []


def test_nothing_found_is_empty_and_not_absent(annotator: ImageAnnotator) -> None:
    (blank,) = annotator.annotate([frame(BLANK)], list(Feature))
    absent = {feature for feature in Feature if getattr(blank, feature.value) is None}
    assert absent == set(annotator.unable)


def test_every_number_lies_where_the_port_says(annotator: ImageAnnotator) -> None:
    (found,) = annotator.annotate([frame(SIGN)], list(Feature))
    for seen in [*(found.objects or ()), *(found.labels or ()), *(found.faces or ()), *(found.logos or ())]:
        assert 0 <= seen.confidence <= 1
        left, top, width, height = seen.box or (0, 0, 1, 1)
        assert min(left, top, width, height) >= 0
        assert max(left + width, top + height) <= 1 + 1e-6
    assert set((found.safe_search or {}).values()) <= LIKELIHOODS


def test_a_broken_picture_is_an_error_of_its_own_and_never_clean(annotator: ImageAnnotator) -> None:
    before, broken, after = annotator.annotate([frame(SIGN), frame(BROKEN), frame(SIGN)], list(Feature))
    assert isinstance(broken.error, AnalyserFailed)
    assert (broken.error.tries, given(broken)) == (1, set())
    assert (before.error, before) == (None, after)


def test_ten_frames_are_one_question(annotator: ImageAnnotator) -> None:
    assert len(annotator.annotate([frame(BLANK)] * 10, [Feature.TEXT])) == 10
