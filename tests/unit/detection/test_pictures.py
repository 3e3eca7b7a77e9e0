"""The gate for pictures: what each format gives, and what a hostile file does not get away with."""

from __future__ import annotations

import hashlib
import io
import struct
import time
import tracemalloc
import zipfile
import zlib
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, PngImagePlugin

from shared.detection.picture_layout import lay_out
from shared.detection.pictures import LONG_SIDE, SafePictures, spread
from shared.errors import MediaUnusable
from shared.ports import Picture, PictureFacts

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
FORMATS = ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"]
ANIMATED = ["GIF", "WEBP", "PNG", "TIFF"]


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def drawn(width: int = 96, height: int = 64) -> Image.Image:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", (width, height), RED)
    ImageDraw.Draw(image).rectangle((width // 2, 0, width, height), fill=BLUE)
    return image


def animation(kind: str, colours: list[tuple[int, int, int]], **options: Any) -> bytes:
    frames = [Image.new("RGB", (32, 24), colour) for colour in colours]
    if kind == "WEBP":
        options.setdefault("lossless", True)
    return encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)


def read(data: bytes, at_most: int = 10) -> PictureFacts:
    return SafePictures().read(data, at_most=at_most)


def opened(picture: Picture) -> Image.Image:
    image = Image.open(io.BytesIO(picture.data), formats=["JPEG"])
    assert image.size == (picture.width, picture.height)
    return image.convert("RGB")


def refused(data: bytes) -> MediaUnusable:
    """The refusal, which must come soon, take little memory, and hold no words but our own."""
    tracemalloc.start()
    began = time.monotonic()
    with pytest.raises(MediaUnusable) as caught:
        read(data)
    assert time.monotonic() - began < 2
    assert tracemalloc.get_traced_memory()[1] < len(data) * 4 + (16 << 20)
    tracemalloc.stop()
    assert caught.value.sentence.endswith(".")
    return caught.value


def near(pixel: Any, colour: tuple[int, int, int]) -> bool:
    return all(abs(a - b) < 24 for a, b in zip(pixel, colour, strict=True))


# --------------------------------------------------------------------------- what is good


@pytest.mark.parametrize("kind", FORMATS)
def test_each_format_is_known_by_its_bytes_and_drawn_anew(kind: str) -> None:
    data = encode(drawn(), kind)
    facts = read(data)
    assert (facts.format, facts.width, facts.height, facts.frames) == (kind.lower(), 96, 64, 1)
    assert (facts.size, facts.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    (picture,) = facts.pictures
    assert picture.media_type == "image/jpeg"
    assert near(opened(picture).getpixel((10, 30)), RED)
    assert near(opened(picture).getpixel((86, 30)), BLUE)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_large_picture_is_made_smaller_and_keeps_its_shape(kind: str) -> None:
    facts = read(encode(drawn(6000, 1501), kind))
    (picture,) = facts.pictures
    assert (facts.width, facts.height) == (6000, 1501)
    assert picture.width == LONG_SIDE
    assert abs(picture.height - 400) <= 2
    assert near(opened(picture).getpixel((LONG_SIDE - 10, picture.height - 3)), BLUE)


def test_a_lossless_webp_is_read_too() -> None:
    facts = read(encode(drawn(), "WEBP", lossless=True))
    assert (facts.width, facts.height) == (96, 64)


def test_a_small_picture_is_not_enlarged_and_a_thin_one_stays_visible() -> None:
    assert [(one.width, one.height) for one in read(encode(drawn(3, 2), "PNG")).pictures] == [(3, 2)]
    assert [(one.width, one.height) for one in read(encode(drawn(16_384, 1), "PNG")).pictures] == [(LONG_SIDE, 1)]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "I", "F", "YCbCr"])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG"])
def test_every_kind_of_sample_ends_as_eight_bits_of_colour(mode: str, kind: str) -> None:
    gray = Image.linear_gradient("L")
    image = gray.convert("I").point(lambda value: value * 257 + 0).convert(mode) if "I" in mode else gray.convert(mode)
    try:
        data = encode(image, kind)
    except OSError:
        return  # this format has no such samples
    low, high = opened(read(data).pictures[0]).convert("L").getextrema()
    assert low <= 4  # type: ignore[operator]
    assert high >= 251  # type: ignore[operator]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize(("orientation", "top_left"), [(1, RED), (2, BLUE), (3, BLUE), (6, RED), (8, BLUE)])
def test_the_picture_is_turned_as_it_is_displayed(kind: str, orientation: int, top_left: tuple[int, int, int]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    facts = read(encode(drawn(), kind, exif=exif))
    size = (64, 96) if orientation >= 5 else (96, 64)
    assert (facts.width, facts.height) == size
    assert (facts.pictures[0].width, facts.pictures[0].height) == size
    assert near(opened(facts.pictures[0]).getpixel((4, 4)), top_left)


@pytest.mark.parametrize("ink", [(255, 255, 255, 255), (0, 0, 0, 255)])
def test_what_is_drawn_on_nothing_stays_visible(ink: tuple[int, int, int, int]) -> None:
    image = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    ImageDraw.Draw(image).rectangle((16, 16, 48, 48), fill=ink)
    shown = opened(read(encode(image, "PNG")).pictures[0])
    assert near(shown.getpixel((32, 32)), ink[:3])
    assert near(shown.getpixel((4, 4)), (128, 128, 128))


# --------------------------------------------------------------------------- animations


@pytest.mark.parametrize("kind", ANIMATED)
def test_an_animation_stands_in_for_itself_by_frames_of_all_its_length(kind: str) -> None:
    options = {} if kind == "TIFF" else {"duration": 50}
    data = animation(kind, [(number * 6, 0, 0) for number in range(40)], **options)
    facts = read(data, at_most=4)
    assert facts.frames == 40
    assert [picture.frame for picture in facts.pictures] == [5, 15, 25, 35]
    reds = [opened(picture).getpixel((16, 12))[0] for picture in facts.pictures]  # type: ignore[index]
    assert all(abs(red - frame * 6) < 12 for red, frame in zip(reds, [5, 15, 25, 35], strict=True))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_the_frame_that_is_seen_longest_is_never_left_out(kind: str) -> None:
    colours = [(number, 0, 0) for number in range(0, 250, 5)]
    colours[7] = GREEN
    durations = [10 if colour != GREEN else 5000 for colour in colours]
    facts = read(animation(kind, colours, duration=durations), at_most=3)
    assert 7 in [picture.frame for picture in facts.pictures]
    assert any(near(opened(picture).getpixel((16, 12)), GREEN) for picture in facts.pictures)


def test_an_animated_png_shows_its_hidden_first_picture_too() -> None:
    frames = [Image.new("RGB", (32, 24), colour) for colour in (GREEN, RED, BLUE)]
    facts = read(encode(frames[0], "PNG", save_all=True, append_images=frames[1:], default_image=True))
    assert facts.frames == 3
    assert near(opened(facts.pictures[0]).getpixel((16, 12)), GREEN)


@given(st.lists(st.floats(0.011, 60), min_size=1, max_size=200), st.integers(1, 12))
def test_the_frames_that_are_chosen(seconds: list[float], at_most: int) -> None:
    chosen = spread(seconds, at_most)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == min(at_most, len(seconds))
    assert 0 <= chosen[0] <= chosen[-1] < len(seconds)
    longest = max(range(len(seconds)), key=lambda frame: seconds[frame])
    assert seconds[longest] * at_most <= sum(seconds) * 1.001 or longest in chosen


# --------------------------------------------------------------------------- what travels along

SECRET = b"PAYLOAD<script>alert(1)</script>"


def zipped() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("a.html", SECRET)
    return target.getvalue()


def with_text(kind: str) -> bytes:
    if kind != "PNG":
        return encode(drawn(), kind, comment=SECRET)
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", SECRET.decode())
    return encode(drawn(), kind, pnginfo=info)


POLYGLOTS = {
    **{f"{kind} with an archive behind it": encode(drawn(), kind) + zipped() + SECRET for kind in FORMATS},
    **{f"{kind} with a script in a comment": with_text(kind) for kind in ["JPEG", "PNG", "GIF"]},
    **{f"{kind} with a script in XMP": encode(drawn(), kind, xmp=SECRET) for kind in ["JPEG", "WEBP"]},
    **{f"{kind} with a script as a profile": encode(drawn(), kind, icc_profile=SECRET) for kind in ["JPEG", "TIFF"]},
    "a GIF with a script behind it": encode(drawn(), "GIF") + b"/*" + SECRET + b"*/",
}


@pytest.mark.parametrize("data", POLYGLOTS.values(), ids=POLYGLOTS.keys())
def test_what_else_a_file_holds_does_not_travel(data: bytes) -> None:
    assert SECRET in data
    (picture,) = read(data).pictures
    assert SECRET[:7] not in picture.data
    assert b"PK\x03\x04" not in picture.data
    assert near(opened(picture).getpixel((10, 30)), RED)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_where_a_picture_was_taken_is_gone(kind: str) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Maker of cameras"
    exif.get_ifd(0x8825)[2] = (48.0, 8.0, 15.0)
    data = encode(drawn(), kind, exif=exif)
    assert b"Maker of cameras" in data
    (picture,) = read(data).pictures
    assert b"Maker" not in picture.data
    assert not opened(picture).getexif()
    assert b"Maker" not in lay_out(data).essence or kind == "TIFF"  # there, nothing points to it any more


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"<!DOCTYPE html><img>" + encode(drawn(), "JPEG"), "not a picture"),
        (b"<html><body>hello</body></html>", "text"),
        (b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>", "text"),
        (zipped() + encode(drawn(), "JPEG"), "zip"),
        (b"%PDF-1.7\n" + encode(drawn(), "JPEG"), "PDF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "PostScript"),
        (b"\x1f\x8b" + encode(drawn(), "JPEG"), "gzip"),
        (b"MZ" + bytes(100), "program"),
        (b"\x00\x00\x00\x20ftypheic" + bytes(99), "HEIF"),
        (b"\x00\x00\x00\x20ftypisom" + bytes(99), "MP4"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(20), "not a picture"),
        (b"\x00" * 100, "not a picture"),
    ],
)
def test_what_is_no_picture_is_called_by_its_name(data: bytes, says: str) -> None:
    caught = refused(data)
    assert caught.code == "not_a_picture"
    assert says in caught.sentence


def test_a_tiff_in_a_rare_compression() -> None:
    assert refused(tiff(page(8, 8, (259, 3, 1, 34712)))).code == "not_a_picture"


def test_an_empty_file() -> None:
    assert refused(b"").code == "empty_file"


# --------------------------------------------------------------------------- bombs


def png(*chunks: tuple[bytes, bytes], size: tuple[int, int] = (8, 8)) -> bytes:
    """A gray PNG with `chunks` before its pixels."""
    header = (b"IHDR", struct.pack(">IIBBBBB", *size, 8, 0, 0, 0, 0))
    rows = zlib.compress(bytes((min(size[0], 100) + 1) * min(size[1], 100)))
    parts = [header, *chunks, (b"IDAT", rows), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts
    )


def gif(frames: int, size: tuple[int, int] = (1, 1), at: tuple[int, int] = (0, 0), noise: bytes = b"") -> bytes:
    """A GIF of one-pixel frames at `at`, each with `noise` before it."""
    image = b"," + struct.pack("<4HB", *at, 1, 1, 0) + b"\x02\x02D\x01\x00"
    return b"GIF89a" + struct.pack("<HHBBB", *size, 0x80, 0, 0) + bytes(6) + (noise + image) * frames + b";"


def webp(size: tuple[int, int], frames: int = 0) -> bytes:
    edges = b"".join((side - 1).to_bytes(3, "little") for side in size)
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes([2 if frames else 0, 0, 0, 0]) + edges
    body += (b"ANMF" + struct.pack("<I", 16) + bytes(16)) * frames
    return b"RIFF" + struct.pack("<I", len(body)) + body


def jpeg_with(segments: bytes, scans: bytes = b"") -> bytes:
    data = encode(drawn(), "JPEG")
    return data[:2] + segments + data[2:-2] + scans + data[-2:]


def segment(marker: int, body: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body


def tiff(*pages: list[tuple[int, int, int, int]], loop: bool = False) -> bytes:
    """Tables of (tag, kind, count, value), each followed by the next, the last by the first if it is a `loop`."""
    data = b"II*\x00\x08\x00\x00\x00"
    for number, entries in enumerate(pages):
        last = number == len(pages) - 1
        following = len(data) + 6 + 12 * len(entries) if not last else 8 if loop else 0
        table = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
        data += struct.pack("<H", len(entries)) + table + struct.pack("<I", following)
    return data


def page(width: int = 8, height: int = 8, *more: tuple[int, int, int, int]) -> list[tuple[int, int, int, int]]:
    return [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, 8),
        (262, 3, 1, 1),
        (273, 4, 1, 0),
        (279, 4, 1, 64),
        *more,
    ]


TOO_LARGE = {
    "PNG of a side too many": png(size=(16_385, 1)),
    "PNG of 400 megapixels": png(size=(16_000, 16_000)),
    "PNG of sizes beyond all": png(size=(0x7FFFFFFF, 0x7FFFFFFF)),
    "GIF with a huge canvas": gif(1, size=(65_535, 65_535)),
    "GIF whose frame lies far out": gif(1, at=(65_000, 65_000)),
    "GIF animation of too many pixels": gif(100, size=(4000, 4000)),
    "GIF animation with a huge canvas": gif(2, size=(7000, 7000)),
    "GIF of 100,000 frames": gif(100_000),
    "WebP of 268 megapixels": webp((16_384, 16_384)),
    "WebP animation of too many pixels": webp((4000, 4000), 100),
    "BMP of sizes beyond all": b"BM" + bytes(12) + struct.pack("<Iii", 40, 0x7FFFFFFF, -0x7FFFFFFF) + bytes(40),
    "JPEG of 4 gigapixels": encode(drawn(), "JPEG").replace(struct.pack(">HH", 64, 96), b"\xff\xff\xff\xff", 1),
    "TIFF of sizes beyond all": tiff(page(0x7FFFFFFF, 0x7FFFFFFF)),
    "TIFF of 100 megapixels": tiff(page(10_000, 10_000)),
    "TIFF of too many pixels on all pages": tiff(*[page(7000, 7000)] * 9),
    "TIFF of 1,000 pages": tiff(*[page()] * 1000),
    "TIFF of one huge tile": tiff(page(8, 8, (322, 4, 1, 1 << 20), (323, 4, 1, 1 << 20))),
    "animated PNG of too many frames": png((b"acTL", struct.pack(">II", 5000, 0)), *[(b"fcTL", bytes(26))] * 5000),
}


@pytest.mark.parametrize("data", TOO_LARGE.values(), ids=TOO_LARGE.keys())
def test_a_bomb_is_refused_by_its_header(data: bytes) -> None:
    assert refused(data).code == "too_large_picture"


def exif_that_unfolds() -> bytes:
    """Thousands of tags that all point at the same bytes: 60 KB that a reader takes for 300 MB."""
    entries = b"".join(struct.pack("<HHII", 1000 + number, 7, 60_000, 8) for number in range(5000))
    return b"Exif\0\0II*\x00\x08\x00\x00\x00" + struct.pack("<H", 5000) + entries


HARMLESS = {
    "PNG with text that unpacks to 200 MB": png((b"zTXt", b"a\0\0" + zlib.compress(bytes(200 << 20)))),
    "PNG with a profile that unpacks to 200 MB": png((b"iCCP", b"a\0\0" + zlib.compress(bytes(200 << 20)))),
    "PNG with 10,000 texts": png(*[(b"tEXt", b"a\0b")] * 10_000),
    "JPEG with Exif that unfolds": jpeg_with(segment(0xE1, exif_that_unfolds())),
    "JPEG with Exif that is none": jpeg_with(segment(0xE1, b"Exif\0\0neither order")),
    "JPEG with Exif that points nowhere": jpeg_with(segment(0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff" + bytes(9))),
    "JPEG with Exif cut short": jpeg_with(segment(0xE1, b"Exif\0\0MM")),
    "JPEG with fill bytes": jpeg_with(b"\xff\xff" + segment(0xFE, b"x")),
    "JPEG with 10,000 comments": jpeg_with(segment(0xFE, b"x") * 10_000),
    "GIF with 10,000 comments": gif(1, noise=b"!\xfe\x01x\x00" * 10_000),
    "TIFF with tags that unfold": tiff(page(8, 8, *[(40_000 + n, 7, 1 << 20, 0) for n in range(400)])) + bytes(1 << 20),
}


@pytest.mark.parametrize("data", HARMLESS.values(), ids=HARMLESS.keys())
def test_what_would_unfold_beside_the_pixels_never_reaches_a_decoder(data: bytes) -> None:
    tracemalloc.start()
    began = time.monotonic()
    assert len(read(data).pictures) == 1
    assert time.monotonic() - began < 1
    assert tracemalloc.get_traced_memory()[1] < 4 * len(data) + (4 << 20)
    tracemalloc.stop()


# --------------------------------------------------------------------------- damage

DAMAGED = {
    "JPEG without a header": b"\xff\xd8" + segment(0xDA, bytes(8)) + b"\xff\xd9",
    "JPEG with bytes between its parts": jpeg_with(segment(0xFE, b"x") + b"\0\0"),
    "JPEG of a million comments": jpeg_with(segment(0xFE, b"x") * 1_000_000),
    "JPEG with two headers": jpeg_with(segment(0xC0, b"\x08\x00\x40\x00\x60\x01\x01\x11\x00")),
    "PNG of 800,000 parts": png(*[(b"tEXt", b"")] * 800_000),
    "PNG without its pixels": png()[:33],
    "PNG that promises frames": png((b"acTL", struct.pack(">II", 3, 0))),
    "GIF of a million comments": gif(1, noise=b"!\xfe\x00" * 1_000_000),
    "GIF of empty blocks": b"GIF89a" + bytes(7) + b"!\xfe" + b"\x01x" * 4_000_000,
    "GIF without a frame": gif(0),
    "TIFF in a circle": tiff(page(), page(), loop=True),
    "TIFF whose page is itself": b"II*\x00\x00\x00\x00\x00",
    "TIFF with a table of two billion strips": tiff([*page()[:4], (273, 4, 1 << 31, 8), (279, 4, 1 << 31, 8)]),
    "TIFF whose width is a fraction": tiff([(256, 5, 1, 8), (257, 4, 1, 8)]),
    "WebP without a picture": webp((8, 8)),
    "WebP whose frames are empty": webp((8, 8), 5),
    "BMP cut off in its header": encode(drawn(), "BMP")[:20],
    **{f"{kind} of which half came": encode(drawn(), kind)[: len(encode(drawn(), kind)) // 2] for kind in FORMATS},
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_file_is_refused_soon(data: bytes) -> None:
    assert refused(data).code in {"damaged_picture", "too_large_picture"}


def test_a_jpeg_is_not_drawn_over_for_ever() -> None:
    data = encode(drawn(), "JPEG", progressive=True)
    assert read(data).frames == 1
    last_scan = data[data.rfind(b"\xff\xda") : -2]
    assert "scans" in refused(data[:-2] + last_scan * 1000 + data[-2:]).sentence


def test_a_large_picture_in_many_scans_is_refused_before_it_is_drawn() -> None:
    """Each scan is drawn over the whole picture: a hundred of them, almost empty, cost ten seconds of a processor."""
    data = encode(Image.new("L", (7000, 7000)), "JPEG", progressive=True)
    last_scan = data[data.rindex(b"\xff\xda") : -2]
    few = data[:-2] + last_scan + data[-2:]
    assert read(few).width == 7000
    assert "all its scans together" in refused(data[:-2] + last_scan * 40 + data[-2:]).sentence


@pytest.mark.parametrize("kind", [*FORMATS, "animated GIF", "animated WEBP", "animated PNG"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cut=st.integers(0, 400), at=st.integers(0, 400), noise=st.binary(max_size=8))
def test_any_damage_ends_in_pictures_or_in_a_sentence(kind: str, cut: int, at: int, noise: bytes) -> None:
    data = ORIGINALS[kind]
    at %= len(data)
    data = data[:at] + noise + data[at + len(noise) :]
    data = data[: len(data) - cut] if cut % 3 == 0 else data
    try:
        number = len(read(data, at_most=2).pictures)
    except MediaUnusable:
        return  # any other error fails the test
    assert number in (1, 2)


ORIGINALS = {kind: encode(drawn(24, 16), kind) for kind in FORMATS} | {
    f"animated {kind}": animation(kind, [RED, GREEN, BLUE, WHITE]) for kind in ["GIF", "WEBP", "PNG"]
}
