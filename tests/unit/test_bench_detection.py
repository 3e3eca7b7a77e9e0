"""The arithmetic of the detection benchmark, and that its videos are what they say."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from bench.detection.clips import Clips
from bench.detection.work import Figures, interleaved


def test_subjects_take_turns_and_medians_are_taken() -> None:
    order: list[str] = []

    def subject(name: str, seconds: list[float]) -> Figures:
        order.append(name)
        return {"seconds": seconds.pop()}

    one, other = [9.0, 2.0, 1.0], [5.0, 5.0, 6.0]
    found = interleaved(3, {"one": lambda: subject("one", one), "other": lambda: subject("other", other)})
    assert order == ["one", "other"] * 3
    assert found == {"one": {"seconds": 2.0}, "other": {"seconds": 5.0}}


def test_a_video_has_the_length_and_size_it_says_and_is_made_once(tmp_path: Path) -> None:
    clips = Clips(tmp_path, data=None, seconds=1)
    path = clips.video("360p", "without B-frames")
    with av.open(str(path)) as video:
        stream = video.streams.video[0]
        assert (stream.width, stream.height, stream.frames) == (640, 360, 25)
        assert not stream.codec_context.has_b_frames
    made = path.stat().st_mtime_ns
    assert clips.video("360p", "without B-frames").stat().st_mtime_ns == made


def test_a_folder_without_clips_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Clips(tmp_path, data=tmp_path, seconds=1).video("360p", "x264 defaults")
