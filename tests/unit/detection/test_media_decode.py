"""Decoding: sampled by time stamp, whatever the container, rate, order or damage; and what is refused."""

from __future__ import annotations

import io
import itertools
import struct
import sys
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import psutil
import pytest
from PIL import Image

from shared.detection.decode import Decoding
from shared.detection.scoring import PictureFormat
from shared.detection.video import open_video
from shared.errors import MediaUnusable, Retryable
from tests.unit.detection.videos import Pipe, encode, snow, sound_only, turned

FORMAT = PictureFormat(64, 64, channels=1, hz=15)


def decoded(data: bytes | BinaryIO, *, step: int = 1) -> tuple[list[float], list[np.ndarray], Decoding]:
    stream = io.BytesIO(data) if isinstance(data, bytes) else data
    with open_video(stream) as video:
        decoding = Decoding(video)
        samples = list(decoding.samples(FORMAT, step=step))
    return [seconds for seconds, _ in samples], [picture for _, picture in samples], decoding


def refusal(data: bytes | BinaryIO) -> str:
    with pytest.raises(MediaUnusable) as caught:
        decoded(data)
    assert caught.value.sentence.endswith(".")
    return caught.value.code


def image(kind: str) -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (64, 64), (10, 200, 30)).save(target, kind)
    return target.getvalue()


@pytest.fixture(scope="module")
def plain() -> bytes:
    return encode()


def test_a_step_looks_at_every_so_manyth_frame_from_the_first(plain: bytes) -> None:
    every, _, _ = decoded(plain, step=1)
    third, _, decoding = decoded(plain, step=6)
    assert third[0] == every[0] == 0
    rate = 1 / min(b - a for a, b in itertools.pairwise(third))
    assert rate == pytest.approx(25 / 6, rel=0.1)
    assert decoding.end == pytest.approx(decoded(plain)[2].end)


@pytest.mark.parametrize(
    ("container", "codec"),
    [
        ("mp4", "libx264"),
        ("mov", "libx264"),
        ("avi", "mpeg4"),
        ("avi", "mjpeg"),
        ("matroska", "libx264"),
        ("webm", "libvpx"),
    ],
)
def test_every_supported_container_gives_small_gray_pictures_at_15_hz(container: str, codec: str) -> None:
    times, pictures, decoding = decoded(encode(container=container, codec=codec))
    assert len(times) == 30
    assert times[0] == 0
    assert {(p.shape, p.dtype.name) for p in pictures} == {((64, 64), "uint8")}
    assert decoding.end == pytest.approx(2.0, abs=0.05)
    assert not decoding.truncated


@pytest.mark.parametrize(("fps", "expected"), [(5, 10), (10, 20), (15, 30), (24, 30), (30, 30), (60, 30), (120, 30)])
@pytest.mark.parametrize("container", ["mp4", "matroska"])
def test_the_rate_of_samples_follows_time_not_frames(fps: int, expected: int, container: str) -> None:
    times, _, _ = decoded(encode(fps=fps, container=container))
    assert len(times) == expected
    assert np.diff(times).min() >= 1 / 15 - 1 / 30


def test_a_variable_frame_rate_keeps_its_own_times() -> None:
    stamps = [0, 40, 80, 700, 740, 1500, 1600, 1610, 1620, 1900]
    times, _, decoding = decoded(encode(times_ms=stamps, container="matroska"))
    assert times == pytest.approx([0, 0.08, 0.7, 0.74, 1.5, 1.6, 1.9])
    assert not decoding.truncated


def test_a_gap_in_the_time_stamps_stays_a_gap() -> None:
    stamps = [40 * n for n in range(25)] + [30_000 + 40 * n for n in range(25)]
    times, _, decoding = decoded(encode(times_ms=stamps))
    assert max(np.diff(times)) == pytest.approx(29.04, abs=0.1)
    assert decoding.end == pytest.approx(31.0, abs=0.1)


def test_a_single_picture_is_a_video() -> None:
    times, pictures, decoding = decoded(encode(seconds=0.04))
    assert (len(times), len(pictures), decoding.truncated) == (1, 1, False)
    assert decoding.end > 0


def test_pictures_are_turned_as_displayed(plain: bytes) -> None:
    _, upright, _ = decoded(plain)
    _, lying, _ = decoded(turned(plain))
    assert len(lying) == len(upright)
    difference = lying[0].astype(int) - np.rot90(upright[0], -1)
    assert np.abs(difference).max() <= 1


def test_a_stream_that_only_goes_forwards(plain: bytes) -> None:
    front = encode(movflags="+faststart")
    assert decoded(cast("BinaryIO", Pipe(front)))[0] == decoded(plain)[0]
    assert refusal(cast("BinaryIO", Pipe(plain))) == "needs_seeking"
    assert len(decoded(cast("BinaryIO", Pipe(encode(container="matroska"))))[0]) == 30


# --------------------------------------------------------------------------- damage


def test_a_file_cut_off_behind_its_index_is_decoded_as_far_as_it_goes() -> None:
    whole = encode(seconds=6, movflags="+faststart", options={"g": "25"})
    times, _, decoding = decoded(whole[: len(whole) * 6 // 10])
    assert 15 < len(times) < 80
    assert decoding.truncated


@pytest.mark.parametrize(("container", "codec"), [("matroska", "libx264"), ("avi", "mpeg4"), ("webm", "libvpx")])
def test_other_containers_cut_off(container: str, codec: str) -> None:
    whole = encode(seconds=6, container=container, codec=codec)
    times, _, decoding = decoded(whole[: len(whole) * 6 // 10])
    assert 15 < len(times) < 80
    assert decoding.truncated


def test_a_cut_is_noticed_in_a_stream_that_only_goes_forwards() -> None:
    whole = encode(seconds=6, movflags="+faststart")
    assert decoded(cast("BinaryIO", Pipe(whole[: len(whole) // 2])))[2].truncated


def test_a_file_cut_off_before_its_index_is_beyond_use(plain: bytes) -> None:
    assert refusal(plain[: len(plain) // 2]) == "truncated_beyond_use"


def test_a_file_that_holds_its_header_only() -> None:
    whole = encode(movflags="+faststart")
    assert refusal(whole[: whole.index(b"mdat") + 4]) == "truncated_beyond_use"


def test_a_damaged_middle_is_skipped() -> None:
    whole = bytearray(encode(seconds=6, options={"g": "25"}))
    start = len(whole) * 4 // 10
    whole[start : start + len(whole) // 10] = np.random.default_rng(1).bytes(len(whole) // 10)
    times, _, decoding = decoded(bytes(whole))
    assert times[-1] > 5.5
    assert decoding.truncated


def test_a_body_of_garbage_is_unreadable() -> None:
    whole = encode(movflags="+faststart")
    at = whole.index(b"mdat") + 4
    assert refusal(whole[:at] + bytes(len(whole) - at)) == "unreadable"


def test_errors_of_the_stream_itself_come_through() -> None:
    class Unsteady(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 60_000:
                raise Retryable("the bucket is away")
            return super().read(size)

    with pytest.raises(Retryable):
        decoded(Unsteady(encode(seconds=4, movflags="+faststart", paint=snow)))


# --------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty_file"),
        (b"just some text\n", "not_a_video"),
        (bytes(5000), "not_a_video"),
        (image("JPEG"), "not_a_video"),
        (image("PNG"), "not_a_video"),
        (image("GIF"), "not_a_video"),
        (image("WEBP"), "not_a_video"),
        (b"PK\x03\x04" + bytes(100), "not_a_video"),
        (np.random.default_rng(2).bytes(4000), "not_a_video"),
        (b"FLV\x01" + bytes(100), "unsupported_container"),
        (b"\x1a\x45\xdf\xa3" + bytes(100), "truncated_beyond_use"),
        (b"\x00\x00\x00\x18ftypmp42" + bytes(3000), "truncated_beyond_use"),
        (b"RIFF\x00\x00\x00\x00AVI " + bytes(3000), "unreadable"),
    ],
)
def test_what_is_no_video_is_refused_by_what_it_is(data: bytes, code: str) -> None:
    assert refusal(data) == code


def test_sound_alone_has_no_picture() -> None:
    assert refusal(sound_only()) == "no_picture"


def test_an_unknown_compression_is_refused(plain: bytes) -> None:
    assert refusal(plain.replace(b"avc1", b"zzz9")) == "unsupported_codec"


def test_a_decoder_outside_the_list_is_refused() -> None:
    assert refusal(encode(container="avi", codec="asv1")) == "unsupported_codec"


@pytest.fixture
def no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Decoding, "__init__", lambda *_: pytest.fail("it got as far as decoding"))


@pytest.mark.usefixtures("no_decoding")
def test_a_header_of_30000_pixels_is_refused_before_anything_is_decoded(plain: bytes) -> None:
    at = plain.index(b"tkhd") + 4 + 76
    assert plain[at : at + 8] == (160 << 16).to_bytes(4, "big") + (120 << 16).to_bytes(4, "big")
    assert refusal(plain[:at] + (30_000 << 16).to_bytes(4, "big") * 2 + plain[at + 8 :]) == "too_large_picture"


@pytest.mark.usefixtures("no_decoding")
def test_a_giant_in_header_and_pictures_is_refused_without_allocating_it() -> None:
    movie = encode(container="avi", codec="mjpeg")
    for small, giant in (
        (struct.pack("<II", 160, 120), struct.pack("<II", 30_000, 30_000)),
        (
            b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", 120, 160),
            b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", 30_000, 30_000),
        ),
    ):
        assert small in movie
        movie = movie.replace(small, giant)
    before = psutil.Process().memory_info().rss
    assert refusal(movie) == "too_large_picture"
    assert psutil.Process().memory_info().rss - before < 100 << 20


def test_a_giant_in_the_pictures_alone_is_not_allocated() -> None:
    movie = encode(container="avi", codec="mjpeg")
    header = b"\xff\xc0\x00\x11\x08"
    giant = movie.replace(header + struct.pack(">HH", 120, 160), header + struct.pack(">HH", 30_000, 30_000))
    before = psutil.Process().memory_info().rss
    assert refusal(giant) == "unreadable"
    assert psutil.Process().memory_info().rss - before < 100 << 20


@pytest.mark.usefixtures("no_decoding")
def test_a_stream_that_really_is_too_wide_is_refused() -> None:
    assert refusal(encode(size=(9000, 32), seconds=0.1, container="matroska")) == "too_large_picture"


def test_a_declared_duration_of_years_is_refused() -> None:
    matroska = encode(container="matroska")
    at = matroska.index(b"\x44\x89\x88") + 3
    assert refusal(matroska[:at] + struct.pack(">d", 1e9) + matroska[at + 8 :]) == "too_long"


def test_a_duration_that_the_index_disproves_is_not_believed(plain: bytes) -> None:
    at = plain.index(b"elst") + 12
    _, _, decoding = decoded(plain[:at] + (0x7FFFFFFF).to_bytes(4, "big") + plain[at + 4 :])
    assert decoding.end == pytest.approx(2.0)
    assert not decoding.truncated


def test_time_stamps_beyond_three_hours_are_refused() -> None:
    assert refusal(encode(times_ms=[0, 40, 11_000_000, 11_000_040], container="matroska")) == "too_long"


@pytest.mark.parametrize(
    "script",
    [
        "ffconcat version 1.0\nfile '/etc/passwd'\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        "<?xml version='1.0'?><MPD><BaseURL>/etc/passwd</BaseURL></MPD>",
    ],
)
def test_lists_of_other_files_are_never_followed(script: str, tmp_path: Path) -> None:
    opened: list[str] = []
    sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if event == "open" else None)
    path = tmp_path / "holiday.mp4"
    path.write_text(script)
    with path.open("rb") as stream:
        assert refusal(stream) == "not_a_video"
    assert "/etc/passwd" not in opened


def test_a_movie_that_refers_to_another_file_does_not_open_it(plain: bytes, tmp_path: Path) -> None:
    """A data reference that isn't "self-contained" (ISO/IEC 14496-12 §8.7.2) may name any path."""
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(plain)
    at = plain.index(b"url \x00\x00\x00\x01")
    pointing = plain[:at] + b"alis\x00\x00\x00\x00" + plain[at + 8 :]
    times, _, _ = decoded(pointing)
    assert len(times) == 30
