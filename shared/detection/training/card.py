"""Writes the model card and its plots from what was measured. It must not measure anything itself but shares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import matplotlib as mpl
import matplotlib.figure
import numpy as np
from numpy.typing import NDArray

from shared.detection.training.data import GAPS, STILLS, VIEWS, Clip
from shared.detection.training.evaluation import ALARM, Figures, Scores, alarms, figures, reliability, roc
from shared.detection.training.fitting import FOLDS, INNER_FOLDS, Choice, Vector, area
from shared.detection.training.network import SCALES, STATISTICS

# The CamNet and the Synopsis recordings: nothing but people walking, so any model gets them right.
EASY_GROUPS = frozenset({"g44", "g45"})

_WORST = 8

Kind = tuple[str, Callable[[Clip], bool]]

_KINDS: tuple[Kind, ...] = (
    ("all recordings", lambda clip: not clip.calm),
    ("without the two easy ones", lambda clip: not clip.calm and clip.group not in EASY_GROUPS),
    ("under 400 lines", lambda clip: not clip.calm and clip.height < 400),
    ("400 to 799 lines", lambda clip: not clip.calm and 400 <= clip.height < 800),
    ("800 lines and more", lambda clip: not clip.calm and clip.height >= 800),
    ("all, and the calm clips", lambda _: True),
)

_CARD = """# Model card: {version}

Scores two seconds of video for violence between people, by motion alone. Per window it measures {statistics} statistics
at {scales} scales of how a 64 x 64 gray picture changes at 5 to 20 Hz (how much, where, how fast, how unsteadily),
weighs them by one logistic regression a scale, and averages these. {parameters} trained numbers; {size} KB as LiteRT.

![ROC curve]({version}-roc.png) ![Calibration]({version}-calibration.png)

## Data

Surveillance Camera Fight Dataset (Aktı, Tataroğlu, Ekenel, IPTA 2019; MIT licence), the part used here: {clips} clips
of about 2 s from {groups} recordings, {fights} with a fight. Hard negatives: {calm} clips without violence (sign
language, traffic, bottles, walking; {calm_minutes:.1f} minutes) from intel-iot-devkit/sample-videos (CC-BY-4.0). Of
each clip {views} varied copies to train on (speed, frame rate, crop, mirror, shake, light, sharpness, noise), and
{stills} stills under a resting, panning, shaking or zooming camera as negatives. Pixels and time only: no file size,
resolution, frame rate or sound goes in.

## How it was measured

{folds}-fold cross-validation that never splits a recording, over {seeds} seeds. Regularisation, the weight of varied
copies, calibration and caution are chosen on {inner} inner folds of each training part, by recordings too. The
sign-language series counts as one recording: it is judged by models that saw no sign language. A clip counts as a
fight when the mean of its windows' calibrated logits is above 0; "as reported" is what a user sees at the default
sensitivity: any window at or above {alarm}. Intervals: 95 %, bootstrap over recordings. The {statistics} statistics,
the calm clips' weight and the most that caution may cost were settled with these recordings in view, so the figures
are a little optimistic.

{table}

Calibration error: expected calibration error of the window probabilities in 10 bins, each clip weighing the same.
Chosen in the {choices} training parts: {chosen}.

**False alarms.** Calm clips with any window at or above {alarm}, by models that never saw their source: {alarms:.1f}
of {calm} on average over the seeds ({named}). By the final model, which was trained on them: {seen} of
{calm}{seen_named}.

**Slow cameras.** The same clips with fewer pictures a second, by models that never saw their recordings:

{slow}

Change and motion are measured from picture to picture, so far fewer pictures a second look like more violence. The
logits are corrected for that by what thinning does to held-out clips, without regard to their labels.

**Caution.** Calibrated logits are lowered until at most a tenth of the calm clips held out in training alarms, by 0.4
at most. This costs detections near the threshold; raise `sensitivity` to have them back.

**Failures.** The clips that were misjudged most, over all seeds:

{failures}

## Limits

Two-second clips from few surveillance cameras: {groups} recordings say little about the next one, see the intervals.
Long recordings, crowds, sport, dancing, play-fighting, moving cameras, night vision, and violence without fast
movement (threats, weapons, strangling) were hardly or not measured. Brisk walking through the whole picture is its
most frequent false alarm: of two drawn people who cross it in 12 s the model says 0.74, in 24 s 0.34. It knows fast,
unsteady motion in one place, not intent. What is small in the picture, or shorter than a second, was not measured
apart from the rest.

## Use

Meant to draw a person's attention to footage worth looking at, with a threshold that fits the place. **Must not be
used** to accuse, identify or sanction anyone, to decide anything without a person looking, as evidence, or where a
missed event endangers life.

Made by `python -m shared.detection.train --data DIR --out models/` with seed {seed}. LiteRT and Keras agree on every
clip of the data within {agreement:.0e} of a logit. What else was tried: `docs/decisions/008-the-detector.md`.
"""


@dataclass(frozen=True)
class Measured:
    """Everything the card tells. `seen`: the final model's window probabilities; `agreement`: largest difference."""

    version: str
    clips: Sequence[Clip]
    runs: Sequence[Scores]
    seen: Sequence[Vector]
    size_bytes: int
    agreement: float
    seed: int


def write_card(measured: Measured, folder: Path) -> str:
    """Writes `<version>.md` and its two plots to `folder`; returns the card's text."""
    _plot_roc(measured, folder / f"{measured.version}-roc.png")
    _plot_calibration(measured, folder / f"{measured.version}-calibration.png")
    card = _card(measured)
    (folder / f"{measured.version}.md").write_text(card, encoding="utf-8")
    return card


def _card(measured: Measured) -> str:
    clips, runs = measured.clips, measured.runs
    judged = [clip for clip in clips if not clip.calm]
    calm = [clip for clip in clips if clip.calm]
    held_out = [alarms(clips, run.windows) for run in runs]
    seen = alarms(clips, measured.seen)
    choices = [choice for run in runs for choice in run.choices]
    return _CARD.format(
        version=measured.version,
        statistics=len(STATISTICS),
        scales=len(SCALES),
        parameters=len(STATISTICS) * len(SCALES) + 1,
        size=round(measured.size_bytes / 1000),
        clips=len(judged),
        groups=len({clip.group for clip in judged}),
        fights=sum(clip.label for clip in judged),
        calm=len(calm),
        calm_minutes=sum(clip.seconds for clip in calm) / 60,
        views=VIEWS,
        stills=STILLS,
        folds=FOLDS,
        inner=INNER_FOLDS,
        seeds=len(runs),
        alarm=ALARM,
        table=_table(clips, runs),
        choices=len(choices),
        chosen=_listed(choices),
        alarms=mean(map(len, held_out)),
        named=_most_often(held_out),
        seen=len(seen),
        seen_named=f" ({', '.join(seen)})" if seen else "",
        slow=_slow(clips, runs),
        failures=_failures(clips, runs),
        seed=measured.seed,
        agreement=measured.agreement,
    )


def _table(clips: Sequence[Clip], runs: Sequence[Scores]) -> str:
    rows = [
        "| clips | number | accuracy % | 95 % | over seeds | as reported % | AUC | 95 % | calibration error |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join(rows + [_row(name, figures(clips, runs, keep)) for name, keep in _present(clips)])


def _present(clips: Sequence[Clip]) -> list[Kind]:
    """The kinds of which there are both fights and others."""
    return [(name, keep) for name, keep in _KINDS if len({clip.label for clip in clips if keep(clip)}) == 2]


def _row(name: str, got: Figures) -> str:
    low, high = (100 * edge for edge in got.accuracy_interval)
    cells = (
        name,
        str(got.clips),
        f"{100 * got.accuracy:.1f}",
        f"{low:.1f} to {high:.1f}",
        f"± {100 * got.accuracy_spread:.1f}",
        f"{100 * got.as_reported:.1f}",
        f"{got.auc:.3f}",
        f"{got.auc_interval[0]:.3f} to {got.auc_interval[1]:.3f}",
        f"{got.calibration_error:.3f}",
    )
    return f"| {' | '.join(cells)} |"


def _listed(choices: Sequence[Choice]) -> str:
    counted = Counter(f"strength {choice.strength:g}, own share {choice.own_share:g}" for choice in choices)
    return "; ".join(f"{name} ({times})" for name, times in counted.most_common())


def _slow(clips: Sequence[Clip], runs: Sequence[Scores]) -> str:
    rows = [
        "| seconds between pictures, at least | clips | fights found % | false alarms % | calm clips that alarm |",
        "|---|---|---|---|---|",
    ]
    for gap in GAPS:
        alarmed = {at: mean(float((run.slow[gap][at] >= ALARM).any()) for run in runs) for at in runs[0].slow[gap]}
        parts = [
            [share for at, share in alarmed.items() if (clips[at].label, clips[at].calm) == kind]
            for kind in ((1, False), (0, False), (0, True))
        ]
        if all(parts):
            fights, others, calm = parts
            cells = (f"{gap:g}", len(alarmed), f"{100 * mean(fights):.0f}", f"{100 * mean(others):.0f}")
            rows.append(f"| {' | '.join(map(str, cells))} | {sum(calm):.1f} of {len(calm)} |")
    return "\n".join(rows)


def _most_often(held_out: Sequence[Sequence[str]]) -> str:
    counted = Counter(name for names in held_out for name in names)
    return ", ".join(f"{name} {times} of {len(held_out)}" for name, times in counted.most_common(_WORST)) or "none"


def _failures(clips: Sequence[Clip], runs: Sequence[Scores]) -> str:
    logits = np.mean([run.clips for run in runs], axis=0)
    wrong = [(-logit if clip.label else logit, clip, logit) for clip, logit in zip(clips, logits, strict=True)]
    worst = sorted(wrong, key=lambda entry: -entry[0])[:_WORST]
    rows = ["| clip | recording | lines | shows | mean logit |", "|---|---|---|---|---|"]
    for _, clip, logit in worst:
        rows.append(
            f"| {clip.name} | {clip.group} | {clip.height} | {'a fight' if clip.label else 'no fight'} | {logit:+.2f} |"
        )
    return "\n".join(rows)


def _judged(measured: Measured) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    chosen = np.array([at for at, clip in enumerate(measured.clips) if not clip.calm])
    return chosen, np.array([measured.clips[at].label for at in chosen])


def _plot_roc(measured: Measured, path: Path) -> None:
    chosen, labels = _judged(measured)
    figure, axes = _axes("False positive rate", "True positive rate", "ROC, recordings not trained on")
    for run in measured.runs:
        axes.plot(*roc(labels, run.clips[chosen]), color="#8ab", linewidth=0.8)
    average = np.mean([run.clips[chosen] for run in measured.runs], axis=0)
    axes.plot(*roc(labels, average), color="#036", linewidth=2, label=f"mean of seeds, AUC {area(labels, average):.3f}")
    axes.plot([0, 1], [0, 1], color="#999", linestyle=":")
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=100, metadata={"Software": None})


def _plot_calibration(measured: Measured, path: Path) -> None:
    chosen, labels = _judged(measured)
    figure, axes = _axes("Probability the model says", "Share of fights", "Calibration, recordings not trained on")
    windows = [run.windows[at] for run in measured.runs for at in chosen]
    steps = reliability(np.tile(labels, len(measured.runs)), windows)
    said, true, share = (np.array(column) for column in zip(*steps, strict=True))
    axes.plot([0, 1], [0, 1], color="#999", linestyle=":")
    axes.scatter(said, true, s=900 * share, color="#036", alpha=0.7)
    axes.plot(said, true, color="#036", linewidth=1)
    figure.savefig(path, dpi=100, metadata={"Software": None})


def _axes(across: str, up: str, title: str) -> tuple[mpl.figure.Figure, mpl.axes.Axes]:
    figure = mpl.figure.Figure(figsize=(4.5, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlabel=across, ylabel=up, title=title, xlim=(0, 1), ylim=(0, 1), aspect="equal")
    return figure, axes
