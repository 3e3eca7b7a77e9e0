"""Evidence is the picture and nothing else: in its own format and size, without a byte of what came along."""

from __future__ import annotations

import io
import threading
import zipfile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, PngImagePlugin

from shared.detection import evidence_pictures
from shared.detection.evidence_pictures import EvidencePictures
from shared.errors import MediaUnusable, Retryable
from shared.ports import CleanPicture
from tests.unit.detection.test_pictures import BLUE, GREEN, RED, animation, drawn, encode

KINDS = {"JPEG": "jpg", "PNG": "png", "GIF": "gif", "WEBP": "webp"}
SECRET = b"37.7749N-SECRET-122.4194W"


def clean(data: bytes) -> CleanPicture:
    return EvidencePictures().clean(data)


def opened(picture: CleanPicture) -> Image.Image:
    image = Image.open(io.BytesIO(picture.data))
    assert image.size == (picture.width, picture.height)
    return image


def exif(orientation: int = 1) -> Image.Exif:
    """A place, a camera and a comment."""
    made = Image.Exif()
    made[ExifTags.Base.Orientation] = orientation
    made[ExifTags.Base.ImageDescription] = SECRET.decode()
    made[ExifTags.Base.Make] = SECRET.decode()
    made.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = SECRET.decode()
    return made


def laden(kind: str) -> bytes:
    """A picture with all the metadata its format can carry, and an archive behind its end."""
    options: dict[str, dict[str, Any]] = {
        "JPEG": {"exif": exif(), "comment": SECRET, "icc_profile": SECRET, "xmp": SECRET},
        "PNG": {"exif": exif(), "pnginfo": _texts(), "icc_profile": SECRET},
        "GIF": {"comment": SECRET},
        "WEBP": {"exif": exif(), "icc_profile": SECRET, "xmp": SECRET},
    }
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as bundle:
        bundle.writestr("secret.txt", SECRET)
    return encode(drawn(), kind, **options[kind]) + archive.getvalue()


def _texts() -> PngImagePlugin.PngInfo:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Comment", SECRET.decode())
    texts.add_itxt("XML:com.adobe.xmp", SECRET.decode())
    return texts


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_what_came_along_is_left(kind: str) -> None:
    data = laden(kind)
    assert data.count(SECRET) >= 2
    picture = clean(data)
    assert SECRET not in picture.data
    assert b"PK\x03\x04" not in picture.data
    image = opened(picture)
    image.load()
    assert not image.getexif()
    assert not {"icc_profile", "comment", "xmp", "photoshop"} & set(image.info)


@pytest.mark.parametrize(("kind", "extension"), KINDS.items())
def test_format_and_size_are_kept(kind: str, extension: str) -> None:
    picture = clean(encode(drawn(), kind))
    assert (picture.extension, picture.content_type) == (extension, f"image/{kind.lower()}")
    assert opened(picture).format == kind
    image = opened(picture).convert("RGB")
    for place, colour in (((10, 30), RED), ((80, 30), BLUE)):
        near = image.getpixel(place)
        assert isinstance(near, tuple)
        assert max(abs(a - b) for a, b in zip(near, colour, strict=True)) < 12


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_it_is_turned_as_it_is_displayed(kind: str) -> None:
    picture = clean(encode(drawn(96, 64), kind, exif=exif(orientation=6)))
    assert (picture.width, picture.height) == (64, 96)
    top = opened(picture).convert("RGB").getpixel((30, 10))
    assert isinstance(top, tuple)
    assert top[0] > 200


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_kind_of_pixels_of_a_png_stays_as_it_is(mode: str) -> None:
    image = drawn().convert("L").convert(mode) if mode == "I;16" else drawn().convert(mode)
    again = opened(clean(encode(image, "PNG")))
    assert again.mode == mode
    assert again.tobytes() == image.tobytes()


def test_a_transparent_colour_stays_transparent() -> None:
    image = drawn().convert("P", palette=Image.Palette.ADAPTIVE)
    again = opened(clean(encode(image, "PNG", transparency=0)))
    assert again.has_transparency_data


def test_a_printers_jpeg_becomes_one_that_browsers_show() -> None:
    assert opened(clean(encode(drawn().convert("CMYK"), "JPEG"))).mode == "RGB"


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_an_animation_keeps_its_frames_and_their_times(kind: str) -> None:
    image = opened(clean(animation(kind, [RED, GREEN, BLUE], duration=[100, 250, 400])))
    assert getattr(image, "n_frames", 1) == 3
    seen = []
    for frame in range(3):
        image.seek(frame)
        image.load()
        pixel = image.convert("RGB").getpixel((3, 3))
        assert isinstance(pixel, tuple)
        seen.append((pixel.index(max(pixel)), round(image.info["duration"])))
    assert seen == [(0, 100), (1, 250), (2, 400)]


def test_what_a_frame_takes_away_does_not_shine_through() -> None:
    """A frame that is transparent where the one before it was not."""
    full = Image.new("RGBA", (8, 8), (*RED, 255))
    half = full.copy()
    half.paste((0, 0, 0, 0), (0, 0, 4, 8))
    data = encode(full, "WEBP", save_all=True, append_images=[half], lossless=True, duration=100)
    image = opened(clean(data))
    image.seek(1)
    alpha = image.convert("RGBA").getpixel((1, 1))
    assert isinstance(alpha, tuple)
    assert alpha[3] == 0


@pytest.mark.parametrize("kind", ["BMP", "TIFF"])
def test_other_formats_are_refused(kind: str) -> None:
    with pytest.raises(MediaUnusable) as refused:
        clean(encode(drawn(), kind))
    assert refused.value.sentence == "The picture must be a JPEG, PNG, WebP or GIF."


@pytest.mark.parametrize("data", [b"", b"foo", b"<svg/>", b"%PDF-1.7", b"PK\x03\x04" + bytes(100), b"\xff\xd8\xff"])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(MediaUnusable):
        clean(data)


def test_a_picture_within_another_file_is_read_as_that_file() -> None:
    """A polyglot: its first bytes decide, whatever else it could be."""
    with pytest.raises(MediaUnusable):
        clean(b"GIF89a/*" + encode(drawn(), "JPEG"))
    with pytest.raises(MediaUnusable):
        clean(b"PK\x03\x04" + encode(drawn(), "PNG"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_was_cut_is_refused(kind: str) -> None:
    data = encode(drawn(), kind)
    for length in range(12, len(data) - 2, max(len(data) // 20, 1)):
        with pytest.raises(MediaUnusable):
            clean(data[:length])


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=60)
@given(places=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_damage_gives_a_clean_picture_or_a_refusal(kind: str, places: list[tuple[float, int]]) -> None:
    data = bytearray(laden(kind))
    for share, value in places:
        data[int(share * (len(data) - 1))] = value
    try:
        picture = clean(bytes(data))
    except MediaUnusable:
        return
    assert SECRET not in picture.data
    opened(picture).load()


def test_a_bomb_is_refused_before_it_unfolds() -> None:
    with pytest.raises(MediaUnusable) as refused:
        clean(encode(Image.new("1", (16_000, 16_000)), "PNG"))
    assert refused.value.code == "too_large_picture"


def test_a_webp_that_takes_too_much_memory_is_refused() -> None:
    with pytest.raises(MediaUnusable, match="16 megapixels"):
        clean(encode(Image.new("RGB", (5000, 4000)), "WEBP", method=0))


@pytest.mark.parametrize(("side", "frames"), [(8, evidence_pictures.MAX_FRAMES + 1), (1200, 23)])
def test_an_animation_of_too_much_is_refused(side: int, frames: int) -> None:
    pictures = [Image.new("L", (side, side), number) for number in range(frames)]
    with pytest.raises(MediaUnusable) as refused:
        clean(encode(pictures[0], "GIF", save_all=True, append_images=pictures[1:]))
    assert refused.value.code == "too_large_picture"


def test_the_same_picture_gives_the_same_file() -> None:
    """So that a clean file says nothing of when or where it was made."""
    data = laden("JPEG")
    assert clean(data) == clean(data)


def test_who_waits_too_long_for_its_turn_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, goes_on = threading.Event(), threading.Event()
    redraw = evidence_pictures._redraw

    def slowly(*arguments: Any) -> Any:
        begun.set()
        goes_on.wait(10)
        return redraw(*arguments)

    monkeypatch.setattr(evidence_pictures, "_redraw", slowly)
    pictures = EvidencePictures(patience=0.02)
    first = threading.Thread(target=pictures.clean, args=(encode(drawn(), "PNG"),))
    first.start()
    begun.wait(10)
    with pytest.raises(Retryable) as caught:
        pictures.clean(encode(drawn(), "PNG"))
    assert caught.value.retry_after == 0.02
    goes_on.set()
    first.join()
    monkeypatch.undo()
    assert pictures.clean(encode(drawn(), "PNG")).extension == "png"
