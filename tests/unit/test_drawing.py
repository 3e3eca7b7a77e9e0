"""The drawn clips: quick, the same every time, and what the bundled model makes of them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from local.drawing import draw_calm_clip, draw_fight_clip
from shared.detection.detector import load_detector
from shared.detection.probe import StreamProbe
from shared.ports import ScoredWindow
from shared.settings import BUNDLED_MODEL


@pytest.fixture(scope="module")
def fight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("drawn") / "fight.mp4"
    draw_fight_clip(path)
    return path


def windows_of(path: Path) -> tuple[ScoredWindow, ...]:
    with path.open("rb") as stream:
        return load_detector(BUNDLED_MODEL).detect(stream).windows


def test_the_clip_is_an_ordinary_video(fight: Path) -> None:
    with fight.open("rb") as stream:
        facts = StreamProbe().probe(stream)
    assert (facts.container, facts.codec, facts.width, facts.height) == ("mp4", "h264", 640, 360)
    assert facts.duration == pytest.approx(12)
    assert facts.frame_rate == pytest.approx(25)


def test_the_same_seed_draws_the_same_file_and_another_a_different_one(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("one.mp4", "two.mp4", "three.mp4")]
    for path, seed in zip(paths, (7, 7, 8), strict=True):
        draw_fight_clip(path, 6, 320, 180, seed=seed)
    one, two, three = (path.read_bytes() for path in paths)
    assert one == two
    assert one != three


def test_drawing_is_quick(tmp_path: Path) -> None:
    start = time.process_time()
    draw_fight_clip(tmp_path / "clip.mp4")
    assert time.process_time() - start < 8  # seconds of both cores together: 4 on the clock


def test_the_fight_stands_out_and_the_walking_does_not(fight: Path) -> None:
    windows = windows_of(fight)
    fighting = [w.probability for w in windows if w.start >= 4 and w.end <= 8]
    walking = [w.probability for w in windows if w.end <= 4 or w.start >= 8]
    assert min(fighting) >= 0.8
    assert max(walking) < 0.45


def test_people_who_stroll_past_each_other_raise_no_alarm(tmp_path: Path) -> None:
    draw_calm_clip(tmp_path / "calm.mp4")
    assert max(w.probability for w in windows_of(tmp_path / "calm.mp4")) < 0.45
