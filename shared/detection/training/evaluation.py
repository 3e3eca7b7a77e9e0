"""Measures the model honestly: every clip is judged by a model that never saw its recording, choices included."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.detection.motion import corrected, smoothed
from shared.detection.training.data import GAPS, Clip, Table
from shared.detection.training.fitting import FOLDS, SMOOTHING, Choice, Fitted, Vector, area, fit, folds, logits

BINS = 10
ALARM = 0.5
"""The probability that counts at the default sensitivity."""

_DRAWS = 2000


@dataclass(frozen=True)
class Scores:
    """Held-out results of one seed: for each clip the probabilities of its windows, and the mean logit of them.

    `slow`: for each of `data.GAPS`, and each clip that could be thinned to it, its windows' probabilities then.
    """

    windows: tuple[Vector, ...]
    clips: Vector
    choices: tuple[Choice, ...]
    slow: dict[float, dict[int, Vector]]


@dataclass(frozen=True)
class Figures:
    """Means over the seeds, and 95 % intervals by bootstrap over recordings. Accuracies are 0-1."""

    clips: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    accuracy_spread: float
    as_reported: float
    auc: float
    auc_interval: tuple[float, float]
    calibration_error: float


def cross_validate(clips: Sequence[Clip], seed: int) -> Scores:
    """Nested: choices, calibration and caution are made anew in every training part."""
    found: list[Vector] = [np.zeros(0)] * len(clips)
    choices = []
    slow: dict[float, dict[int, Vector]] = {gap: {} for gap in GAPS}
    for train, test in folds(clips, FOLDS, seed):
        fitted = fit([clips[at] for at in train], seed)
        choices.append(fitted.choice)
        for at in test:
            found[at] = evened_logits(fitted, clips[at].own, clips[at].gap)
            for gap, thinned in clips[at].thinned.items():
                slow[gap][at] = probabilities(evened_logits(fitted, thinned.table, thinned.gap))
    windows = tuple(probabilities(row) for row in found)
    return Scores(windows, np.array([row.mean() for row in found]), tuple(choices), slow)


def evened_logits(fitted: Fitted, table: Table, gap: float) -> Vector:
    """(windows,) of one clip whose pictures are `gap` seconds apart, corrected for that."""
    return np.array([corrected(row, gap, fitted.rates) for row in logits(fitted.heads, table)])


def probabilities(rows: Vector) -> Vector:
    """(windows,) of one clip's logits, smoothed as the detector does."""
    return np.array(smoothed(rows, SMOOTHING))


def figures(clips: Sequence[Clip], runs: Sequence[Scores], keep: Callable[[Clip], bool]) -> Figures:
    """The figures over the clips that `keep` selects."""
    chosen = np.array([at for at, clip in enumerate(clips) if keep(clip)])
    labels = np.array([clips[at].label for at in chosen])
    groups = np.array([clips[at].group for at in chosen])
    scores = np.stack([run.clips[chosen] for run in runs])
    reported = np.array([[(run.windows[at] >= ALARM).any() for at in chosen] for run in runs])
    hits = (scores > 0) == labels
    accuracies, aucs = _bootstrap(labels, groups, hits.mean(axis=0), scores.mean(axis=0))
    return Figures(
        clips=len(chosen),
        accuracy=float(hits.mean()),
        accuracy_interval=accuracies,
        accuracy_spread=float(hits.mean(axis=1).std()),
        as_reported=float((reported == labels).mean()),
        auc=float(np.mean([area(labels, row) for row in scores])),
        auc_interval=aucs,
        calibration_error=float(
            np.mean([calibration_error(labels, [run.windows[at] for at in chosen]) for run in runs])
        ),
    )


def alarms(clips: Sequence[Clip], windows: Sequence[Vector]) -> list[str]:
    """The calm clips with any window that counts."""
    return [clip.name for clip, row in zip(clips, windows, strict=True) if clip.calm and (row >= ALARM).any()]


def calibration_error(labels: NDArray[np.int64], windows: Sequence[Vector]) -> float:
    """Expected calibration error of the windows, each clip weighing 1, in `BINS` equal steps of probability."""
    return float(sum(weight * abs(said - true) for said, true, weight in reliability(labels, windows)))


def reliability(labels: NDArray[np.int64], windows: Sequence[Vector]) -> list[tuple[float, float, float]]:
    """(mean probability, share of fights, share of the clips) of each step that holds any."""
    truth = np.concatenate([np.full(len(row), label) for label, row in zip(labels, windows, strict=True)])
    weight = np.concatenate([np.full(len(row), 1 / len(row)) for row in windows])
    said = np.concatenate(list(windows))
    place = np.minimum((said * BINS).astype(int), BINS - 1)
    steps = []
    for step in range(BINS):
        share = weight[place == step].sum()
        if share:
            means = [float((values * weight)[place == step].sum() / share) for values in (said, truth)]
            steps.append((means[0], means[1], float(share / weight.sum())))
    return steps


def roc(labels: NDArray[np.int64], scores: Vector) -> tuple[Vector, Vector]:
    """(false positive rate, true positive rate) over all thresholds, from (0, 0) to (1, 1)."""
    order = np.argsort(-scores)
    hits = np.cumsum(labels[order]) / max(labels.sum(), 1)
    false = np.cumsum(1 - labels[order]) / max((1 - labels).sum(), 1)
    return np.append(0.0, false), np.append(0.0, hits)


def _bootstrap(
    labels: NDArray[np.int64], groups: NDArray[np.str_], hits: Vector, scores: Vector
) -> tuple[tuple[float, float], tuple[float, float]]:
    """95 % intervals of accuracy and AUC when whole recordings are drawn anew."""
    rng = np.random.default_rng(0)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    accuracies, aucs = [], []
    for _ in range(_DRAWS):
        drawn = np.concatenate([members[at] for at in rng.integers(0, len(members), len(members))])
        accuracies.append(hits[drawn].mean())
        if 0 < labels[drawn].sum() < len(drawn):
            aucs.append(area(labels[drawn], scores[drawn]))
    return _interval(accuracies), _interval(aucs)


def _interval(values: Sequence[float]) -> tuple[float, float]:
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)
