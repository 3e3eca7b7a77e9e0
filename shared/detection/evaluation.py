"""Fits the linear model and measures it honestly. For training only: never imported at run time.

Folds never split a recording (`group`); regularisation and calibration are chosen inside each training part, so the
outer figures have seen neither. A clip's score is the mean of its windows' logits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from shared.detection.features import FEATURE_NAMES, Vector
from shared.detection.model import LinearModel
from shared.detection.training_data import Clip

FOLDS = 5
STRENGTHS = (0.02, 0.1, 0.5, 2.0)
"""Inverse regularisation strengths to choose from."""

# Weight of a calm clip and of a frozen copy, where a clip of the data set has 1.
_CALM_WEIGHT = 0.5
_FROZEN_WEIGHT = 0.1


@dataclass(frozen=True)
class Scores:
    """Out-of-fold results of one seed: for each clip its calibrated window probabilities and its mean logit."""

    windows: tuple[Vector, ...]
    clips: Vector


@dataclass(frozen=True)
class Figures:
    """Measured out of fold: means over seeds, and 95 % intervals by bootstrap over groups."""

    accuracy: float
    accuracy_interval: tuple[float, float]
    accuracy_spread: float
    auc: float
    auc_interval: tuple[float, float]
    calibration_error: float


def fit(clips: Sequence[Clip], seed: int) -> LinearModel:
    """Chooses the regularisation by AUC over grouped folds, calibrates on the held-out windows, then fits on all."""
    logits = {strength: _held_out_logits(clips, strength, seed) for strength in STRENGTHS}
    best = max(STRENGTHS, key=lambda strength: _auc(clips, logits[strength]))
    slope, offset = _calibrate(clips, logits[best])
    return _fit_once(clips, best, slope, offset)


def cross_validate(clips: Sequence[Clip], seed: int) -> Scores:
    """Every clip scored by a model that never saw its recording."""
    windows: list[Vector] = [np.zeros(0)] * len(clips)
    for train, test in _folds(clips, seed):
        model = fit([clips[index] for index in train], seed)
        for index in test:
            windows[index] = np.array([model.probability(row) for row in clips[index].own])
    limited = [np.clip(window, 1e-6, 1 - 1e-6) for window in windows]
    return Scores(tuple(windows), np.array([np.log(window / (1 - window)).mean() for window in limited]))


def figures(clips: Sequence[Clip], runs: Sequence[Scores], keep: Callable[[Clip], bool]) -> Figures:
    """The figures over the clips that `keep` selects."""
    chosen = np.array([index for index, clip in enumerate(clips) if keep(clip)])
    labels = np.array([clips[index].label for index in chosen])
    groups = np.array([clips[index].group for index in chosen])
    scores = np.stack([run.clips[chosen] for run in runs])
    hits = (scores > 0) == labels
    accuracies, aucs = _bootstrap(labels, groups, hits.mean(axis=0), scores)
    return Figures(
        accuracy=float(hits.mean()),
        accuracy_interval=accuracies,
        accuracy_spread=float(hits.mean(axis=1).std()),
        auc=float(np.mean([_area(labels, row) for row in scores])),
        auc_interval=aucs,
        calibration_error=float(
            np.mean([_calibration_error(labels, [run.windows[i] for i in chosen]) for run in runs])
        ),
    )


def alarms(clips: Sequence[Clip], run: Scores, threshold: float = 0.5) -> int:
    """How many calm clips have any window at or above `threshold`."""
    return sum(bool((run.windows[i] >= threshold).any()) for i, clip in enumerate(clips) if clip.calm)


def _folds(clips: Sequence[Clip], seed: int) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    labels = [clip.label for clip in clips]
    groups = [clip.group for clip in clips]
    count = min(FOLDS, len({clip.group for clip in clips if clip.label}))
    splitter: Any = StratifiedGroupKFold(count, shuffle=True, random_state=seed)  # type: ignore[no-untyped-call]
    return list(splitter.split(labels, labels, groups))


def _logistic_regression(**settings: Any) -> Any:
    """scikit-learn comes without types; this is where it is let in."""
    return LogisticRegression(**settings)  # type: ignore[no-untyped-call]


def _rows(clips: Sequence[Clip]) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Training rows, labels and weights: each clip counts the same however many windows it has."""
    tables, labels, weights = [], [], []
    for clip in clips:
        rows = np.concatenate([clip.own[:: 1 + len(clip.own) // 12], clip.varied])
        for table, label, weight in (
            (rows, clip.label, _CALM_WEIGHT if clip.calm else 1.0),
            (clip.frozen, 0, _FROZEN_WEIGHT),
        ):
            tables.append(table)
            labels += [label] * len(table)
            weights += [weight / len(table)] * len(table)
    return np.concatenate(tables), np.array(labels), np.array(weights)


def _fit_once(clips: Sequence[Clip], strength: float, slope: float = 1.0, offset: float = 0.0) -> LinearModel:
    rows, labels, weights = _rows(clips)
    means, scales = rows.mean(axis=0), np.maximum(rows.std(axis=0), 1e-3)
    standardised = np.clip((rows - means) / scales, -4, 4)
    regression = _logistic_regression(C=strength, solver="newton-cholesky", class_weight="balanced")
    regression.fit(standardised, labels, sample_weight=weights)
    return LinearModel(
        name="violence-floor",
        version="1",
        class_name="violence",
        features=FEATURE_NAMES,
        means=tuple(means.tolist()),
        scales=tuple(scales.tolist()),
        weights=tuple(regression.coef_[0].tolist()),
        bias=float(regression.intercept_[0]),
        calibration_slope=slope,
        calibration_offset=offset,
    )


def _held_out_logits(clips: Sequence[Clip], strength: float, seed: int) -> list[Vector]:
    held_out: list[Vector] = [np.zeros(0)] * len(clips)
    for train, test in _folds(clips, seed + 1):
        model = _fit_once([clips[index] for index in train], strength)
        for index in test:
            held_out[index] = np.array([model.logit(row) for row in clips[index].own])
    return held_out


def _auc(clips: Sequence[Clip], logits: Sequence[Vector]) -> float:
    return _area(np.array([clip.label for clip in clips]), np.array([row.mean() for row in logits]))


def _area(labels: NDArray[np.int64], scores: Vector) -> float:
    """The area under the ROC curve: how often a fight scores above a clip without one, ties counting half."""
    fights, others = scores[labels == 1][:, None], scores[labels == 0][None, :]
    return float((fights > others).mean() + (fights == others).mean() / 2)


def _calibrate(clips: Sequence[Clip], logits: Sequence[Vector]) -> tuple[float, float]:
    """Platt's sigmoid through held-out windows, each clip counting the same. Calm clips take part at their weight."""
    labels = np.concatenate([[clip.label] * len(row) for clip, row in zip(clips, logits, strict=True)])
    weights = np.concatenate(
        [[(_CALM_WEIGHT if clip.calm else 1.0) / len(row)] * len(row) for clip, row in zip(clips, logits, strict=True)]
    )
    platt = _logistic_regression(C=100.0).fit(np.concatenate(logits)[:, None], labels, sample_weight=weights)
    return max(float(platt.coef_[0, 0]), 1e-3), float(platt.intercept_[0])


def _bootstrap(
    labels: NDArray[np.int64], groups: NDArray[np.str_], hits: Vector, scores: NDArray[np.float64], draws: int = 1000
) -> tuple[tuple[float, float], tuple[float, float]]:
    """95 % intervals of accuracy and AUC when whole recordings are drawn anew."""
    rng = np.random.default_rng(0)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    accuracies, aucs = [], []
    for _ in range(draws):
        drawn = np.concatenate([members[index] for index in rng.integers(0, len(members), len(members))])
        accuracies.append(hits[drawn].mean())
        if 0 < labels[drawn].sum() < len(drawn):
            aucs.append(_area(labels[drawn], scores.mean(axis=0)[drawn]))
    return _interval(accuracies), _interval(aucs)


def _interval(values: Sequence[float]) -> tuple[float, float]:
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def _calibration_error(labels: NDArray[np.int64], windows: Sequence[Vector], bins: int = 10) -> float:
    """Expected calibration error of the windows (each clip weighing 1) in `bins` equal steps of probability."""
    truth = np.concatenate([[label] * len(row) for label, row in zip(labels, windows, strict=True)])
    weight = np.concatenate([[1 / len(row)] * len(row) for row in windows])
    said = np.concatenate(windows)
    place = np.minimum((said * bins).astype(int), bins - 1)
    gaps = [abs(((truth - said) * weight)[place == step].sum()) for step in range(bins)]
    return float(sum(gaps) / weight.sum())
