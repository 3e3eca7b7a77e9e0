"""Training on a few drawn clips, the whole way from files to a model and its card; and what the network measures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from local.drawing import draw_calm_clip, draw_fight_clip
from shared.detection import train
from shared.detection.decode import even_rate
from shared.detection.motion import SIDE, PairWindow, read_motion_model, stacked
from shared.detection.training import agreement, evaluation, fitting, network, views
from shared.detection.training.data import GAPS, Clip, load_clips
from shared.settings import BUNDLED_MODEL

pytestmark = pytest.mark.xdist_group("tensorflow")


@pytest.fixture(scope="module")
def drawn_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    (folder / "calm").mkdir()
    lines = ["clip,label,group"]
    for number in range(6):
        draw_fight_clip(folder / f"fight{number}.mp4", 3, 160, 90, seed=number)
        draw_calm_clip(folder / f"calm{number}.mp4", 3, 160, 90, seed=number)
        lines += [f"fight{number}.mp4,1,f{number}", f"calm{number}.mp4,0,c{number}"]
    draw_calm_clip(folder / "calm" / "walk.mp4", 3, 160, 90, seed=9)
    (folder / "scfd.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def clips(drawn_data: Path) -> list[Clip]:
    return load_clips(drawn_data, seed=1)


def test_training_writes_a_model_its_card_and_plots(drawn_data: Path, tmp_path: Path) -> None:
    train.main(["--data", str(drawn_data), "--seeds", "1", "--out", str(tmp_path / "new")])
    written = {path.name for path in (tmp_path / "new").iterdir()}
    stem = "violence-motion-1"
    assert written == {f"{stem}{end}" for end in (".json", ".tflite", ".md", "-roc.png", "-calibration.png")}
    assert read_motion_model(tmp_path / "new" / f"{stem}.json").class_name == "violence"
    card = (tmp_path / "new" / f"{stem}.md").read_text(encoding="utf-8")
    assert card.startswith(f"# Model card: {stem}\n")
    assert "12 clips" in card
    assert "**Must not be used**" in " ".join(card.split())
    assert (tmp_path / "new" / f"{stem}-roc.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_clips_and_seed_give_the_same_numbers(drawn_data: Path, clips: list[Clip]) -> None:
    once, again = fitting.fit(clips, 3), fitting.fit(load_clips(drawn_data, seed=1), 3)
    assert once.choice == again.choice
    assert np.allclose(once.heads.weights, again.heads.weights, rtol=1e-6, atol=1e-9)
    assert np.allclose(once.rates, again.rates)


def test_a_slow_cameras_logits_are_corrected_without_regard_to_labels(clips: list[Clip]) -> None:
    rates = fitting.fit(clips, 3).rates
    assert rates[0][1:] == (1.0, 0.0)
    gaps = [gap for gap, _, _ in rates]
    assert gaps == sorted(set(gaps))
    assert gaps[-1] == pytest.approx(GAPS[-1], abs=0.01)
    assert all(slope >= 0 for _, slope, _ in rates)


def test_every_clip_is_judged_by_a_model_that_did_not_see_its_recording(clips: list[Clip]) -> None:
    for train_part, test_part in fitting.folds(clips, 5, 1):
        assert not {clips[at].group for at in train_part} & {clips[at].group for at in test_part}
    scores = evaluation.cross_validate(clips, seed=1)
    assert all(len(windows) == len(clip.own) for windows, clip in zip(scores.windows, clips, strict=True))
    got = evaluation.figures(clips, [scores], lambda clip: not clip.calm)
    assert got.clips == 12
    assert got.auc_interval[0] <= got.auc <= got.auc_interval[1]


def test_the_bundled_file_says_what_keras_says_of_the_same_numbers(clips: list[Clip]) -> None:
    heads = network.Heads.from_data(json.loads(BUNDLED_MODEL.read_text())["heads"])
    content = BUNDLED_MODEL.with_suffix(".tflite").read_bytes()
    pictures, windows = [clip.pictures for clip in clips], [clip.first for clip in clips]
    assert agreement.largest_difference(content, heads, pictures, windows) < agreement.TOLERANCE
    other = network.Heads(heads.means, heads.scales, heads.weights + 0.1, heads.bias)
    with pytest.raises(agreement.Disagreement, match="logits differ"):
        agreement.largest_difference(content, other, pictures, windows)


def test_logistic_regression_finds_the_minimum() -> None:
    rng = np.random.default_rng(0)
    rows, weights = rng.normal(size=(200, 3)), rng.uniform(0.1, 2, 200)
    labels = (rows @ [1.0, -2.0, 0.0] + rng.logistic(size=200) > 0.5).astype(float)
    found = fitting.logistic_regression(rows, labels, weights, 5.0)

    def loss(solution: NDArray[np.float64]) -> float:
        scores = rows @ solution[:-1] + solution[-1]
        return float(weights @ (np.logaddexp(0, scores) - labels * scores) + solution[:-1] @ solution[:-1] / 10)

    assert all(loss(found) < loss(found + rng.normal(0, 1e-3, 4)) for _ in range(50))


def measured(pictures: list[NDArray[np.uint8]]) -> dict[str, float]:
    """The statistics at the finest scale of pictures 1/15 s apart."""
    stack = np.stack(pictures)
    sums = network.compare(stack[:-1], stack[1:]).numpy()
    ready = stacked([PairWindow(0, 2, sums, 1 / 15)])
    vector = network.statistics(ready["sums"], ready["present"]).numpy()[0]
    return dict(zip(network.STATISTICS, vector, strict=False))


def texture(seed: int) -> NDArray[np.float64]:
    """Smooth and large enough to follow for a few pixels."""
    rng = np.random.default_rng(seed)
    waves = [rng.uniform(0.1, 0.4, 2) for _ in range(6)]
    rows, columns = np.mgrid[0:120, 0:120]
    return np.asarray(128 + 20 * sum(np.sin(a * columns + b * rows + 10 * a) for a, b in waves))


def window_of(scene: NDArray[np.float64], across: int, down: int = 0) -> NDArray[np.uint8]:
    return np.clip(scene[down : down + SIDE, across : across + SIDE], 0, 255).astype(np.uint8)


def test_nothing_moves_in_a_still() -> None:
    got = measured([window_of(texture(1), 10)] * 20)
    assert got["contrast"] > 0
    assert all(
        got[name] == pytest.approx(0, abs=1e-5) for name in got if name.startswith(("change", "motion", "unrest"))
    )


def test_steady_motion_has_speed_but_no_acceleration() -> None:
    got = measured([window_of(texture(2), number) for number in range(30)])
    assert np.expm1(got["motion_top16"]) == pytest.approx(1.0, abs=0.25)
    jerky = measured([window_of(texture(2), 15 + 3 * (number % 3)) for number in range(30)])
    assert jerky["acceleration"] > 2 * got["acceleration"]
    assert jerky["turning"] > 5 * got["turning"]


def test_what_moves_in_one_place_is_uneven() -> None:
    still = window_of(texture(3), 0).astype(int)
    rng = np.random.default_rng(0)
    pictures = []
    for _ in range(20):
        picture = still.copy()
        picture[16:24, 40:48] = rng.integers(0, 256, (8, 8))
        pictures.append(picture.astype(np.uint8))
    everywhere = [rng.integers(0, 256, (SIDE, SIDE)).astype(np.uint8) for _ in range(20)]
    assert measured(pictures)["evenness_of_window"] < 1
    assert measured(everywhere)["evenness_of_window"] > 4
    assert measured(pictures)["persistence_next"] > 0.9


@pytest.mark.parametrize(("frames", "samples"), [(30, 15), (25, 12.5), (24, 12), (20, 20), (10, 10), (120, 20), (5, 5)])
def test_samples_are_every_nth_frame(frames: float, samples: float) -> None:
    assert even_rate(frames, 20) == pytest.approx(samples)


def test_views_are_what_the_detector_would_see_of_another_camera() -> None:
    rng = np.random.default_rng(0)
    pictures = [np.clip(texture(number)[:90, :120], 0, 255).astype(np.uint8) for number in range(60)]
    times = np.arange(60) / 30
    for _ in range(20):
        view = views.varied(times, pictures, rng)
        assert len(view.times) == len(view.pictures) > 10
        assert (np.diff(view.times) > 0.04).all()
        assert view.end > view.times[-1]
        assert {picture.shape for picture in view.pictures} == {(SIDE, SIDE)}
        still = views.still(pictures[0], rng)
        assert still.end == views.STILL_SECONDS > still.times[-1]
        assert all(picture.dtype == np.uint8 for picture in still.pictures)
