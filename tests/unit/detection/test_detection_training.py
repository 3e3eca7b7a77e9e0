"""Training on a few drawn clips: the whole way from files to a model and its card."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.drawing import draw_calm_clip, draw_fight_clip
from shared.detection import train
from shared.detection.evaluation import cross_validate
from shared.detection.model import read_model
from shared.detection.training_data import load_clips


@pytest.fixture(scope="module")
def drawn_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    (folder / "calm").mkdir()
    lines = ["clip,label,group"]
    for number in range(4):
        draw_fight_clip(folder / f"fight{number}.mp4", 3, 160, 90, seed=number)
        draw_calm_clip(folder / f"calm{number}.mp4", 3, 160, 90, seed=number)
        lines += [f"fight{number}.mp4,1,f{number}", f"calm{number}.mp4,0,c{number}"]
    draw_calm_clip(folder / "calm" / "walk.mp4", 3, 160, 90, seed=9)
    (folder / "scfd.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_training_writes_a_model_and_a_card_and_repeats_itself(drawn_data: Path, tmp_path: Path) -> None:
    arguments = ["--data", str(drawn_data), "--seeds", "1", "--out"]
    train.main([*arguments, str(tmp_path / "one")])
    train.main([*arguments, str(tmp_path / "two")])
    model = read_model(tmp_path / "one" / "violence-floor-1.json")
    assert model == read_model(tmp_path / "two" / "violence-floor-1.json")
    card = (tmp_path / "one" / "violence-floor-1.md").read_text(encoding="utf-8")
    assert card.startswith("# Model card: violence-floor-1\n")
    assert "8 clips" in card
    assert "must not be used" in card.lower()


def test_every_clip_is_judged_by_a_model_that_did_not_see_it(drawn_data: Path) -> None:
    clips = load_clips(drawn_data, seed=1)
    scores = cross_validate(clips, seed=1)
    assert all(len(windows) == len(clip.own) for windows, clip in zip(scores.windows, clips, strict=True))
    assert [clip.calm for clip in clips] == [False] * 8 + [True]
