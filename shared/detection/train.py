"""Trains the bundled model: `python -m shared.detection.train --data DIR --out models/`.

Measures by nested, grouped cross-validation, then fits on everything and writes `violence-floor-1.json` and its card
`violence-floor-1.md`. Same data, same seed, same file. For training only: nothing at run time imports it (it needs
scikit-learn and Pillow).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean

from shared.detection.evaluation import FOLDS, Figures, Scores, alarms, cross_validate, figures, fit
from shared.detection.features import FEATURE_NAMES
from shared.detection.model import LinearModel, write_model
from shared.detection.training_data import Clip, load_clips

SEED = 20
# The CamNet and the Synopsis recordings: nothing but people walking, so any model gets them right.
EASY_GROUPS = frozenset({"g44", "g45"})

_CARD = """# Model card: {name}-{version}

A first, deliberately small model: {count} statistics of how a 64 x 64 picture changes at 15 Hz, a logistic
regression over windows of 2 s, Platt calibration. It is a floor to be replaced, and a fallback that needs nothing
but numpy.

**Data.** Surveillance Camera Fight Dataset (Aktı, Tataroğlu, Ekenel, IPTA 2019; MIT licence), the part used here:
{clips} clips of about 2 s from {groups} recordings, {fights} with a fight. Hard negatives: {calm} clips without
violence (sign language, traffic, bottles, walking) from intel-iot-devkit/sample-videos (CC-BY-4.0). Copies at 0.8
to 1.25 times the speed, cropped to 75 to 100 %, with other contrast, brightness and noise; stills with noise as
negatives. Pixels and time only: no file size, resolution, frame rate or sound goes in.

**How it was measured.** {folds}-fold cross-validation that never splits a recording, over {seeds} seeds;
regularisation and calibration chosen inside each training part. The calm clips are split by source too: the
sign-language series is judged by models that saw no sign language. A clip's score is the mean of its windows'
logits, and it counts as a fight above 0. Intervals: 95 %, bootstrap over recordings. The choice of features was
made with these recordings in view, so the figures are a little optimistic.

{table}

Calibration error: expected calibration error of the window probabilities in 10 bins, each clip weighing the same.

Calm clips with any window at or above 0.5 (an alarm at the default sensitivity), out of fold: {alarms:.1f} of
{calm} on average over the seeds (sources never seen in training); by the final model, which has seen them: {seen}
of {calm}.

**Limits.** Two-second clips from few surveillance cameras; long recordings, crowds, sport, dancing,
moving cameras and night vision were hardly or not measured. It knows fast, unsteady motion in one place, not
intent. Scenes of little contrast score higher: a flatly drawn street with two walkers was above 0.5 until it was given
light and shadow.

**Must not be used** to accuse, identify or sanction anyone, to decide without a person looking, as evidence, or
where a missed event endangers life.

Made by `python -m shared.detection.train --data DIR --out models/` with seed {seed}.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line. Prints the card's table when done."""
    parser = argparse.ArgumentParser(description="Train and measure the bundled model.")
    parser.add_argument("--data", type=Path, required=True, help="folder with scfd.csv and calm/")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model and its card")
    parser.add_argument("--seeds", type=int, default=10, help="repetitions of the cross-validation")
    options = parser.parse_args(arguments)
    clips = load_clips(options.data, SEED)
    runs = [cross_validate(clips, SEED + number) for number in range(options.seeds)]
    model = fit(clips, SEED)
    card = _card(clips, runs, model)
    options.out.mkdir(parents=True, exist_ok=True)
    stem = f"{model.name}-{model.version}"
    write_model(model, options.out / f"{stem}.json")
    (options.out / f"{stem}.md").write_text(card, encoding="utf-8")
    print(card)  # noqa: T201  # the command's output


def _card(clips: Sequence[Clip], runs: Sequence[Scores], model: LinearModel) -> str:
    judged = [clip for clip in clips if not clip.calm]
    calm = [clip for clip in clips if clip.calm]
    seen = sum(any(model.probability(row) >= 0.5 for row in clip.own) for clip in calm)
    return _CARD.format(
        name=model.name,
        version=model.version,
        count=len(FEATURE_NAMES),
        clips=len(judged),
        groups=len({clip.group for clip in judged}),
        fights=sum(clip.label for clip in judged),
        calm=len(calm),
        folds=FOLDS,
        seeds=len(runs),
        table=_table(clips, runs),
        alarms=mean(alarms(clips, run) for run in runs),
        seen=seen,
        seed=SEED,
    )


def _table(clips: Sequence[Clip], runs: Sequence[Scores]) -> str:
    kinds: tuple[tuple[str, Callable[[Clip], bool]], ...] = (
        ("all recordings", lambda clip: not clip.calm),
        ("without the two easy ones", lambda clip: not clip.calm and clip.group not in EASY_GROUPS),
        ("all, and the calm clips", lambda _: True),
    )
    rows = [
        "| clips | accuracy % | 95 % | over seeds | AUC | 95 % | calibration error |",
        "|---|---|---|---|---|---|---|",
    ]
    return "\n".join(rows + [_row(name, figures(clips, runs, keep)) for name, keep in kinds])


def _row(name: str, got: Figures) -> str:
    low, high = (100 * edge for edge in got.accuracy_interval)
    return (
        f"| {name} | {100 * got.accuracy:.1f} | {low:.1f} to {high:.1f} | ± {100 * got.accuracy_spread:.1f} "
        f"| {got.auc:.3f} | {got.auc_interval[0]:.3f} to {got.auc_interval[1]:.3f} | {got.calibration_error:.3f} |"
    )


if __name__ == "__main__":
    main()
