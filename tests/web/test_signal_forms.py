"""A device's form as it arrives: in whatever pieces, in whatever order, from whoever."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.evidence_images import MAX_IMAGE_BYTES
from shared.domain.incidents import parse_confidence
from shared.errors import Permanent
from shared.web.signal_forms import MAX_FIELD_BYTES, SignalForm
from tests.web.test_forms import END, part

CHECKS: Mapping[str, Callable[[str], object]] = {
    "beacon_id": str,
    "confidence_score": parse_confidence,
    "description": str,
    "device_id": str,
}


def read(body: bytes, pieces: Iterable[int] = ()) -> SignalForm:
    """The form after its whole body, which arrived in pieces of these lengths."""
    made, at = SignalForm("multipart/form-data; boundary=edge", CHECKS), 0
    for length in [*pieces, len(body)]:
        made.feed(body[at : at + length])
        at += length
    made.finish()
    return made


def image(content: bytes, filename: str | None = "a.jpg", name: str = "images") -> bytes:
    return part(name, content, filename=filename, headers=b"Content-Type: image/jpeg\r\n")


def test_fields_and_pictures_may_come_in_any_order() -> None:
    form = read(image(b"one") + part("description", b" Fight ") + image(b"two") + part("beacon_id", b"gate") + END)
    assert (form.fields, form.images) == ({"description": "Fight", "beacon_id": "gate"}, [b"one", b"two"])


def test_a_form_without_pictures_is_fine() -> None:
    assert read(part("beacon_id", b"gate") + END).images == []


@pytest.mark.parametrize("nothing", [image(b"", ""), part("images", b"")])
def test_where_the_user_chose_no_file_there_is_no_picture(nothing: bytes) -> None:
    form = read(nothing + image(b"one") + image(b"two") + image(b"three") + nothing + END)
    assert form.images == [b"one", b"two", b"three"]


def test_a_picture_needs_no_name() -> None:
    assert read(image(b"one", filename=None) + END).images == [b"one"]


def test_empty_fields_and_unknown_ones_mean_nothing() -> None:
    form = read(part("device_id", b" ") + part("csrf", b"\xff") + part("csrf", b"x") + END)
    assert form.fields == {}


@given(
    st.lists(st.binary(min_size=1, max_size=200), max_size=3),
    st.lists(st.integers(1, 60), max_size=60),
)
def test_pictures_are_what_was_sent_however_the_form_is_cut(contents: list[bytes], pieces: list[int]) -> None:
    if any(b"--edge" in content for content in contents):
        return
    body = part("description", "Türe".encode()) + b"".join(map(image, contents)) + part("beacon_id", b"gate") + END
    form = read(body, pieces)
    assert (form.images, form.fields) == (contents, {"description": "Türe", "beacon_id": "gate"})


@given(st.binary(max_size=200), st.lists(st.integers(1, 40), max_size=10))
def test_no_bytes_raise_anything_but_a_refusal(noise: bytes, pieces: list[int]) -> None:
    for body in (noise, image(b"x") + noise, image(b"x")[:80] + noise + END, part("confidence_score", noise) + END):
        try:
            read(body, pieces)
        except Permanent:
            continue


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (image(b"x") * 4 + END, "Maximum 3 images allowed"),
        (image(b"") + END, "Image 1 is empty"),
        (image(b"x") + image(b"") + END, "Image 2 is empty"),
        (image(b"x", name="image") + END, "image is no field for files: use images"),
        (image(b"x", name="\x01" * 9) + END, "The file's field is no field for files: use images"),
        (image(b"x", name="beacon_id") + END, "beacon_id must be text, not a file"),
        (part("beacon_id", b"a") * 2 + END, "beacon_id was sent twice"),
        (part("device_id", b"") + part("device_id", b"b") + END, "device_id was sent twice"),
        (part("description", b"\xfc") + END, "description is not UTF-8 text"),
        (part("description", "Türe".encode("utf-16")) + END, "description is not UTF-8 text"),
        (part("confidence_score", b"high") + END, "Confidence score not between 0.0-1.0"),
        (part("note", b"x" * (MAX_FIELD_BYTES + 1)) + END, None),
        (image(b"x"), "The multipart form ends before its closing boundary."),
        (image(b"x")[:-10], "The multipart form ends before its closing boundary."),
        (b"", "The multipart form ends before its closing boundary."),
        (b"--other\r\n", "The multipart form is malformed."),
        (part("x", b"") * 17 + END, "The form has more than 16 parts."),
    ],
)
@pytest.mark.parametrize("piece", [1, 7, 100_000])
def test_a_wrong_form_is_refused_in_a_sentence(body: bytes, sentence: str | None, piece: int) -> None:
    with pytest.raises(Permanent) as refused:
        read(body, [piece] * (len(body) // piece))
    assert refused.value.status == 400
    assert sentence is None or refused.value.sentence == sentence


def test_a_fourth_picture_ends_the_form_with_its_first_byte() -> None:
    form = SignalForm("multipart/form-data; boundary=edge", {})
    form.feed(image(b"x") * 3)
    with pytest.raises(Permanent, match="Maximum 3 images"):
        form.feed(image(b"x" * 10)[:-8])


def test_ten_megabytes_are_taken_and_a_byte_more_is_not() -> None:
    largest = bytes(MAX_IMAGE_BYTES)
    assert len(read(image(largest) + END).images[0]) == MAX_IMAGE_BYTES
    with pytest.raises(Permanent) as refused:
        read(image(b"x") + image(largest + b"x") + END)
    assert (refused.value.status, refused.value.sentence) == (413, "Image 2 is larger than 10 MB")
