"""Fits the heads and chooses what is to be chosen, always on folds that share no recording.

Logistic regression by Newton's method in TensorFlow: convex, so its result depends on the data alone. What is chosen
(regularisation, weight of the varied copies) and what is calibrated (slope, offset, caution) sees held-out clips of the
training part only. Calibration: J. Platt, "Probabilistic Outputs for Support Vector Machines", 1999.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from shared.detection.motion import smoothed
from shared.detection.training.data import GAPS, Clip
from shared.detection.training.network import FEATURES, MAX_DEVIATIONS, SCALES, STATISTICS, Heads

FOLDS = 5
INNER_FOLDS = 4
SMOOTHING = 3
"""Windows whose logits are averaged."""

Vector = NDArray[np.float64]
Table = NDArray[np.float64]
Split = tuple[NDArray[np.intp], NDArray[np.intp]]


@dataclass(frozen=True)
class Choice:
    """`strength`: inverse regularisation; `own_share`: the clip's own weight, the rest is its varied copies'."""

    strength: float
    own_share: float


CHOICES = tuple(Choice(strength, share) for strength in (32.0, 100.0, 300.0) for share in (0.8, 1.0))

# Where a clip of the data set has 1: six seconds of calm footage, of which at most 24 count, and all stills of a clip
# together, which is enough to learn that a shaking camera is no fight.
_CALM_WEIGHT = 1.5
_CALM_SECONDS = 6.0
_MOST_CALM = 4.0
_STILL_WEIGHT = 0.06
# Windows of a long recording that take part, evenly spread.
_MOST_WINDOWS = 60
# The alarms on held-out calm clips that are aimed at, and the logit that may be given up for it.
_CALM_ALARMS = 0.1
_MOST_CAUTION = 0.4
_NEWTON_STEPS = 25
# Up to here samples are as far apart as in most of the data: nothing to correct.
_USUAL_GAP = 0.085
_FEWEST_PAIRS = 8


def folds(clips: Sequence[Clip], count: int, seed: int) -> list[Split]:
    """(training, test) indices; a recording is never in both, calm ones included."""
    labels, groups = [clip.label for clip in clips], [clip.group for clip in clips]
    splitter: Any = StratifiedGroupKFold(count, shuffle=True, random_state=seed)  # type: ignore[no-untyped-call]
    return list(splitter.split(labels, labels, groups))


@dataclass(frozen=True)
class Fitted:
    """`rates` as in `motion.Description`."""

    heads: Heads
    choice: Choice
    rates: tuple[tuple[float, float, float], ...]


def fit(clips: Sequence[Clip], seed: int) -> Fitted:
    """Chooses by AUC on inner folds, calibrates on their held-out clips, then fits on all `clips`."""
    inner = {choice: _inner_heads(clips, choice, seed) for choice in CHOICES}
    held_out = {choice: _held_out(clips, inner[choice]) for choice in CHOICES}
    best = max(CHOICES, key=lambda choice: _separation(clips, held_out[choice]))
    slope, offset = _calibrate(clips, held_out[best])
    offset -= _caution(clips, [slope * logits + offset for logits in held_out[best]])
    raw = fit_heads(clips, best)
    rates = _rates(clips, inner[best], slope, offset)
    return Fitted(Heads(raw.means, raw.scales, slope * raw.weights, slope * raw.bias + offset), best, rates)


def _rates(
    clips: Sequence[Clip], inner: Sequence[tuple[Heads, NDArray[np.intp]]], slope: float, offset: float
) -> tuple[tuple[float, float, float], ...]:
    """What a slow camera's logits are corrected by: least squares from held-out clips thinned to the clips as they are.

    No label takes part, so that a frame rate can't become a sign of violence.
    """
    pairs: dict[float, list[tuple[float, float, float]]] = {gap: [] for gap in GAPS}
    for heads, test in inner:
        for clip in (clips[at] for at in test):
            own = slope * logits(heads, clip.own).mean() + offset
            for gap, thinned in clip.thinned.items():
                pairs[gap].append((thinned.gap, slope * float(logits(heads, thinned.table).mean()) + offset, own))
    rows = [(_USUAL_GAP, 1.0, 0.0)]
    for found in pairs.values():
        gap = float(np.mean([row[0] for row in found])) if found else 0.0
        if len(found) >= _FEWEST_PAIRS and gap > rows[-1][0] + 0.001:  # videos of one rate thin to the same twice
            _, thin, whole = np.array(found).T
            line = np.polyfit(thin, whole, 1)
            rows.append((gap, max(float(line[0]), 0.0), float(line[1])))
    return tuple(rows)


def logits(heads: Heads, features: Table) -> Vector:
    """(rows,) of (rows, FEATURES), as the network's `judge` gives them."""
    standardised = np.clip((features - heads.means) / heads.scales, -MAX_DEVIATIONS, MAX_DEVIATIONS)
    return np.asarray(standardised @ heads.weights + heads.bias)


def fit_heads(clips: Sequence[Clip], choice: Choice) -> Heads:
    """The mean of one logistic regression a scale, uncalibrated."""
    rows, labels, weights = _rows(clips, choice.own_share)
    means, scales = rows.mean(axis=0), np.maximum(rows.std(axis=0), 1e-3)
    standardised = np.clip((rows - means) / scales, -MAX_DEVIATIONS, MAX_DEVIATIONS)
    weighing, bias = np.zeros(FEATURES), 0.0
    for at in range(0, FEATURES, len(STATISTICS)):
        part = slice(at, at + len(STATISTICS))
        solution = logistic_regression(standardised[:, part], labels, weights, choice.strength)
        weighing[part] = solution[:-1] / len(SCALES)
        bias += float(solution[-1]) / len(SCALES)
    return Heads(means, scales, weighing, bias)


def logistic_regression(rows: Table, labels: Vector, weights: Vector, strength: float) -> Vector:
    """(columns + 1,) weights and intercept that minimise the weighed log loss + |weights|^2 / (2 strength)."""
    with_one = tf.constant(np.column_stack([rows, np.ones(len(rows))]))
    penalty = tf.constant(np.append(np.full(rows.shape[1], 1 / strength), 1e-9))
    return np.asarray(_newton(with_one, tf.constant(labels), tf.constant(weights), penalty))


@tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator] # TensorFlow has no types
def _newton(rows: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor, penalty: tf.Tensor) -> tf.Tensor:
    solution = tf.zeros_like(penalty)
    for _ in tf.range(_NEWTON_STEPS):
        probability = tf.sigmoid(tf.linalg.matvec(rows, solution))
        gradient = tf.linalg.matvec(rows, weights * (probability - labels), transpose_a=True) + penalty * solution
        curvature = weights * probability * (1 - probability) + 1e-9
        hessian = tf.matmul(rows, rows * curvature[:, None], transpose_a=True) + tf.linalg.diag(penalty)
        step = tf.linalg.solve(hessian, gradient[:, None])[:, 0]
        solution -= step * tf.minimum(tf.constant(1.0, tf.float64), 4.0 / (tf.norm(step) + 1e-12))
    return solution


def _rows(clips: Sequence[Clip], own_share: float) -> tuple[Table, Vector, Vector]:
    """Training rows, labels and weights: a clip counts the same however many windows it has, and so do both labels."""
    tables, labels, weights = [], [], []
    for clip in clips:
        spread = np.linspace(0, len(clip.own) - 1, min(_MOST_WINDOWS, len(clip.own))).astype(int)
        for table, share in ((clip.own[spread], own_share), (clip.varied, 1 - own_share)):
            tables.append(table)
            labels.append(np.full(len(table), float(clip.label)))
            weights.append(np.full(len(table), share * _weight(clip) / len(table)))
    truth, weight = np.concatenate(labels), np.concatenate(weights)
    for label in (0, 1):
        weight[truth == label] *= weight.sum() / 2 / weight[truth == label].sum()
    stills = np.concatenate([clip.stills for clip in clips])
    still_weights = np.full(len(stills), _STILL_WEIGHT * len(clips) / len(stills))
    return np.concatenate([*tables, stills]), np.append(truth, np.zeros(len(stills))), np.append(weight, still_weights)


def _weight(clip: Clip) -> float:
    return _CALM_WEIGHT * min(max(clip.seconds / _CALM_SECONDS, 1.0), _MOST_CALM) if clip.calm else 1.0


def _inner_heads(clips: Sequence[Clip], choice: Choice, seed: int) -> list[tuple[Heads, NDArray[np.intp]]]:
    """For each inner fold the heads of its training part, and the indices of the clips that they never saw."""
    return [
        (fit_heads([clips[at] for at in train], choice), test) for train, test in folds(clips, INNER_FOLDS, seed + 1)
    ]


def _held_out(clips: Sequence[Clip], inner: Sequence[tuple[Heads, NDArray[np.intp]]]) -> list[Vector]:
    found: list[Vector] = [np.zeros(0)] * len(clips)
    for heads, test in inner:
        for at in test:
            found[at] = logits(heads, clips[at].own)
    return found


def _separation(clips: Sequence[Clip], held_out: Sequence[Vector]) -> float:
    return area(np.array([clip.label for clip in clips]), np.array([row.mean() for row in held_out]))


def area(labels: NDArray[np.int64], scores: Vector) -> float:
    """The area under the ROC curve: how often a fight scores above a clip without one, ties counting half."""
    fights, others = scores[labels == 1][:, None], scores[labels == 0][None, :]
    return float((fights > others).mean() + (fights == others).mean() / 2)


def _calibrate(clips: Sequence[Clip], held_out: Sequence[Vector]) -> tuple[float, float]:
    """Platt's sigmoid through the mean logits of the data set's clips; the calm ones are caution's business."""
    judged = [(row.mean(), float(clip.label)) for row, clip in zip(held_out, clips, strict=True) if not clip.calm]
    scores, labels = (np.array(column) for column in zip(*judged, strict=True))
    slope, offset = logistic_regression(scores[:, None], labels, np.ones(len(labels)), 100.0)
    return max(float(slope), 1e-3), float(offset)


def _caution(clips: Sequence[Clip], held_out: Sequence[Vector]) -> float:
    """The least that the logits must fall until at most a tenth of the calm clips alarm; `_MOST_CAUTION` at most."""
    peaks = [max(smoothed(row, SMOOTHING)) for row, clip in zip(held_out, clips, strict=True) if clip.calm]
    if not peaks:
        return 0.0
    allowed = int(_CALM_ALARMS * len(peaks))
    peak = sorted(peaks, reverse=True)[allowed]
    return float(np.clip(np.log(peak / (1 - peak)) + 1e-6, 0.0, _MOST_CAUTION))
