"""What is left undecoded makes no difference: the same times, pictures, end and verdict as decoding everything."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from shared.detection.decode import Decoding
from shared.detection.scoring import PictureFormat
from shared.detection.ticks import Ticks
from shared.detection.video import Video, open_video
from shared.errors import MediaUnusable
from tests.unit.detection.videos import encode

FORMAT = PictureFormat(64, 64, channels=1, hz=15)
UNREFERENCED = {"bf": "3", "b-pyramid": "none", "b_strategy": "0"}


@dataclass(frozen=True)
class Seen:
    times: list[float]
    pictures: NDArray[np.uint8]
    end: float
    truncated: bool
    decoded: int


def sparing(data: bytes, *, step: int = 1) -> Seen:
    with open_video(io.BytesIO(data)) as video:
        decoding = Decoding(video)
        samples = list(decoding.samples(FORMAT, step=step))
    return Seen(
        [seconds for seconds, _ in samples],
        np.stack([picture for _, picture in samples]),
        decoding.end,
        decoding.truncated,
        decoding.frames,
    )


def plain(data: bytes, *, step: int = 1) -> Seen:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Video, "can_leave_out", False)
        return sparing(data, step=step)


def assert_same(data: bytes, *, step: int = 1) -> int:
    """The number of frames that were spared."""
    one, other = sparing(data, step=step), plain(data, step=step)
    assert one.times == other.times
    assert np.array_equal(one.pictures, other.pictures)
    assert (one.end, one.truncated) == (other.end, other.truncated)
    return other.decoded - one.decoded


X264 = [{}, {"bf": "0"}, {"bf": "8"}, UNREFERENCED, {"bf": "3", "b-pyramid": "strict"}, {"x264-params": "open-gop=1"}]


@pytest.mark.parametrize("fps", [5, 25, 30, 60, 120])
@pytest.mark.parametrize("options", X264, ids=str)
def test_h264_gives_the_same_samples_at_any_rate(options: dict[str, str], fps: int) -> None:
    spared = assert_same(encode(fps=fps, seconds=3, options={"g": "20", **options}))
    assert (spared > 0) == (fps > 15 and options.get("bf") != "0")


@pytest.mark.parametrize("container", ["mov", "matroska", "avi"])
def test_h264_in_any_container_gives_the_same_samples(container: str) -> None:
    assert_same(encode(container=container, seconds=3))


@pytest.mark.parametrize(
    ("container", "codec", "options", "spares"),
    [
        ("mp4", "libx265", {"x265-params": "log-level=none"}, True),
        ("mp4", "libx265", {"x265-params": "log-level=none:temporal-layers=3"}, False),
        ("matroska", "libx265", {"x265-params": "log-level=none"}, True),
        ("webm", "libvpx", {"auto-alt-ref": "1", "lag-in-frames": "10"}, False),
        ("webm", "libvpx-vp9", {"auto-alt-ref": "1", "lag-in-frames": "10", "cpu-used": "8"}, False),
        ("mp4", "mpeg4", {"bf": "2"}, False),
        ("avi", "mpeg4", {"bf": "2"}, False),
        ("matroska", "mpeg2video", {"bf": "2"}, False),
    ],
)
def test_other_codecs_spare_where_that_is_safe(
    container: str, codec: str, options: dict[str, str], spares: bool
) -> None:
    spared = assert_same(encode(container=container, codec=codec, fps=30, seconds=2, options=options))
    assert (spared > 0) == spares


def test_a_variable_frame_rate_gives_the_same_samples() -> None:
    steps = np.random.default_rng(4).choice([5, 17, 33, 40, 100, 900], 120)
    assert_same(encode(times_ms=[int(t) for t in np.cumsum(steps)], container="matroska", options=UNREFERENCED))


def test_a_step_counts_every_frame_so_nothing_is_spared() -> None:
    assert assert_same(encode(fps=60), step=3) == 0


@pytest.mark.parametrize("share", [0.3, 0.5, 0.77, 0.9])
def test_a_file_cut_off_is_seen_as_far_as_before(share: float) -> None:
    whole = encode(fps=30, seconds=6, movflags="+faststart", options={"g": "25", **UNREFERENCED})
    cut = whole[: int(len(whole) * share)]
    one, other = sparing(cut), plain(cut)
    assert one.times == other.times
    assert one.truncated
    assert one.end == pytest.approx(other.end, abs=1.5 / 30)


@pytest.mark.parametrize("seed", range(6))
def test_a_damaged_middle_costs_a_moment_at_most(seed: int) -> None:
    whole = bytearray(encode(fps=30, seconds=6, options={"g": "25", **UNREFERENCED}))
    start = len(whole) * (3 + seed) // 12
    whole[start : start + len(whole) // 20] = np.random.default_rng(seed).bytes(len(whole) // 20)
    one, other = sparing(bytes(whole)), plain(bytes(whole))
    assert one.truncated
    assert other.truncated
    assert one.end == pytest.approx(other.end)
    assert len(one.times) == pytest.approx(len(other.times), abs=3)


def test_the_last_picture_counts_though_nobody_looks_at_it() -> None:
    """At 30 Hz every other frame is the second of its tick; the last one is unreferenced."""
    data = encode(fps=30, seconds=2, options=UNREFERENCED)
    assert sparing(data).end == pytest.approx(2.0)


def test_time_stamps_beyond_three_hours_are_refused_though_nobody_looks() -> None:
    steady = [33 * n for n in range(12)]
    data = encode(times_ms=[*steady, 10_800_001, 10_800_010, 10_800_020], container="matroska", options=UNREFERENCED)
    with pytest.raises(MediaUnusable) as caught:
        sparing(data)
    assert caught.value.code == "too_long"


# --------------------------------------------------------------------------- the rule


def test_the_first_displayed_frame_of_a_tick_is_taken() -> None:
    ticks = Ticks(10)
    assert [s for s in (0, 0.04, 0.08, 0.12, 0.16, 0.2, 0.5) if ticks.takes(s)] == [0, 0.12, 0.2, 0.5]


def test_a_frame_is_spare_once_an_earlier_one_of_its_tick_is_sure_to_come() -> None:
    ticks = Ticks(10)
    in_order_of_decoding = [0.0, 0.16, 0.08, 0.04, 0.12, 0.3, 0.24, 0.2]
    assert [s for s in in_order_of_decoding if ticks.spares(s)] == [0.08, 0.04]


def test_a_spare_frame_stands_for_no_other() -> None:
    """It may not be decoded, so it can't be the reason to leave out the next; the first one still is."""
    ticks = Ticks(10)
    assert [ticks.spares(s) for s in (0.0, 0.04, 0.08)] == [False, True, True]
