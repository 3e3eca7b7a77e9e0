"""The detector end to end on files: windows, truncation, memory, and what it may import."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from bench.detection.clips import repeat_clip
from bench.detection.work import peak_megabytes
from local.drawing import draw_fight_clip
from shared.detection.detector import WindowDetector, load_detector
from shared.errors import MediaUnusable
from shared.settings import BUNDLED_MODEL
from tests.unit.detection.videos import encode


@pytest.fixture(scope="module")
def detector() -> WindowDetector:
    return load_detector(BUNDLED_MODEL)


def test_windows_cover_the_video_in_order(detector: WindowDetector) -> None:
    run = detector.detect(io.BytesIO(encode(seconds=3.2)))
    assert [(w.start, w.end) for w in run.windows] == [
        pytest.approx(pair) for pair in [(0, 2), (0.5, 2.5), (1, 3), (1.2, 3.2)]
    ]
    assert all(0 <= w.probability <= 1 for w in run.windows)
    assert run.duration == pytest.approx(3.2)
    assert not run.truncated


@pytest.mark.parametrize("fps", [5, 25, 120])
def test_any_frame_rate(detector: WindowDetector, fps: int) -> None:
    run = detector.detect(io.BytesIO(encode(seconds=3, fps=fps)))
    assert len(run.windows) == 3
    assert run.duration == pytest.approx(3.0)


def test_one_picture_shows_no_motion_and_does_not_pass_for_calm(detector: WindowDetector) -> None:
    with pytest.raises(MediaUnusable) as caught:
        detector.detect(io.BytesIO(encode(seconds=0.04)))
    assert caught.value.code == "too_few_pictures"


def test_a_step_that_leaves_too_few_pictures_is_named(detector: WindowDetector) -> None:
    assert detector.detect(io.BytesIO(encode(seconds=3)), step=5).windows
    with pytest.raises(MediaUnusable, match=r"too few to tell how anything moves\. A step below 6 leaves more"):
        detector.detect(io.BytesIO(encode(seconds=3)), step=6)


def test_a_truncated_file_is_scored_as_far_as_it_goes(detector: WindowDetector) -> None:
    whole = encode(seconds=8, movflags="+faststart", options={"g": "25"})
    run = detector.detect(io.BytesIO(whole[: len(whole) * 6 // 10]))
    assert run.truncated
    assert 2 < run.duration < 7
    assert run.windows[-1].end == pytest.approx(run.duration, abs=0.1)


def test_the_same_file_gives_the_same_scores(detector: WindowDetector) -> None:
    data = encode(seconds=4)
    assert detector.detect(io.BytesIO(data)) == detector.detect(io.BytesIO(data))


def test_no_video_is_refused(detector: WindowDetector) -> None:
    with pytest.raises(MediaUnusable):
        detector.detect(io.BytesIO(b"#EXTM3U\n/etc/passwd\n"))


def test_ten_minutes_take_the_memory_of_ten_seconds(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    draw_fight_clip(clip, 10, 320, 180)
    long = repeat_clip(clip, tmp_path / "long.mp4", 60)
    short, lengthy = peak_megabytes(clip), peak_megabytes(long)
    assert lengthy - short < 30
    assert lengthy < 300


def test_the_detector_needs_neither_training_nor_drawing_libraries() -> None:
    program = (
        "import sys, shared.detection.detector, shared.detection.probe;"
        "print([name for name in ('sklearn', 'scipy', 'PIL', 'shared.detection.train') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_detecting_writes_nothing_where_the_log_is(tmp_path: Path) -> None:
    (tmp_path / "video.mp4").write_bytes(encode())
    program = (
        "import sys, shared.settings as s; from shared.detection.detector import load_detector;"
        "load_detector(s.BUNDLED_MODEL).detect(open(sys.argv[1], 'rb'))"
    )
    arguments = [sys.executable, "-c", program, str(tmp_path / "video.mp4")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
