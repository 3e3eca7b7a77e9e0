"""The bundled model's network in TensorFlow: what changes between two pictures, and what that says of two seconds.

Two Keras models, exported as the two signatures of one `.tflite` file that `shared.detection.motion` runs:

- `compare`: pairs of gray pictures to sums over blocks, computed once a picture;
- `judge`: the sums of all pairs in a window to 26 statistics at each of three scales, three linear heads over them,
  and the mean of the heads' logits, calibrated.

It looks at pixels and time only, never at file size, resolution, frame rate or sound, which would tell recordings apart
instead of behaviour. Sources: the motion of a block is Lucas and Kanade's least-squares solution ("An Iterative Image
Registration Technique", IJCAI 1981); describing violence by how motion changes rather than by its shape follows
Hassner, Itcher and Kliper-Gross ("Violent Flows", CVPRW 2012).
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from shared.detection.motion import MAX_PAIRS, SIDE, SUMS

BLOCKS = 8
"""Blocks along each side of the picture, where `compare` sums."""


@dataclass(frozen=True)
class Scale:
    """How the picture is divided: `shrink` the picture first (1 or 2), `merge` blocks (1, or 2 x 2 to one)."""

    name: str
    shrink: int
    merge: int

    @property
    def blocks(self) -> int:
        """Blocks along each side."""
        return BLOCKS // self.merge

    @property
    def block_pixels(self) -> int:
        """Pixels in a block."""
        return (SIDE // self.shrink // self.blocks) ** 2


SCALES = (Scale("fine", 1, 1), Scale("wide", 1, 2), Scale("coarse", 2, 1))

STATISTICS: tuple[str, ...] = (
    "contrast",
    "change_top1",
    "change_top4",
    "change_top16",
    "unrest_top1",
    "unrest_top4",
    "unrest_top16",
    "unrest_to_change",
    "evenness_of_window",
    "evenness_of_moment",
    "blocks_ever_active",
    "blocks_active",
    "persistence_next",
    "persistence_later",
    "motion_top1",
    "motion_top4",
    "motion_top16",
    "motion_top1_deviation",
    "motion_top4_deviation",
    "motion_top16_deviation",
    "motion_weighted",
    "motion_weighted_deviation",
    "acceleration",
    "acceleration_to_motion",
    "turning",
    "unexplained",
)
"""What is measured at each scale, in the order of the vector."""

FEATURES = len(SCALES) * len(STATISTICS)

# Stands for "nothing" in ratios and logarithms, well under what a camera's noise gives (gray levels, pixels a step).
_CHANGE_FLOOR = 0.5
_MOTION_FLOOR = 0.02
# Summed squared gradient below which a block has no texture to follow: about 2 gray levels a pixel.
_TEXTURE_FLOOR = 200.0
# A block whose mean change exceeds this many gray levels is in motion.
_ACTIVE = 6.0
_TOPS = (1, 4, 16)
_LATER = 4
_MAPS = 7

MAX_DEVIATIONS = 4.0
"""What lies further from the training data than this says no more than "far": a linear head must not extrapolate."""


def compare(earlier: tf.Tensor, later: tf.Tensor) -> tf.Tensor:
    """(pairs, SIDE, SIDE) gray levels, twice, to (pairs, SUMS): seven maps a size, and the pictures' variances."""
    earlier, later = _centred(earlier), _centred(later)
    fine = _block_maps(earlier, later)
    coarse = _block_maps(_halved(earlier), _halved(later))
    variances = [tf.reduce_mean(tf.square(picture), axis=[1, 2]) for picture in (later, _halved(later))]
    flat = [tf.reshape(maps, [-1, BLOCKS * BLOCKS * _MAPS]) for maps in (fine, coarse)]
    return tf.concat([*flat, tf.stack(variances, axis=1)], axis=1)


def _centred(picture: tf.Tensor) -> tf.Tensor:
    """The sun or the exposure changing is not motion."""
    picture = tf.cast(picture, tf.float32)
    return picture - tf.reduce_mean(picture, axis=[1, 2], keepdims=True)


def _halved(picture: tf.Tensor) -> tf.Tensor:
    return tf.nn.avg_pool2d(picture[..., None], 2, 2, "VALID")[..., 0]


def _block_maps(earlier: tf.Tensor, later: tf.Tensor) -> tf.Tensor:
    """(pairs, 7, BLOCKS, BLOCKS): sums of |change|, of change squared, and Lucas and Kanade's five products."""
    change = later - earlier
    texture = (later + earlier) * 0.5
    slope_x = tf.pad((texture[:, :, 2:] - texture[:, :, :-2]) / 2, [[0, 0], [0, 0], [1, 1]])
    slope_y = tf.pad((texture[:, 2:] - texture[:, :-2]) / 2, [[0, 0], [1, 1], [0, 0]])
    products = [
        tf.abs(change),
        change * change,
        slope_x * slope_x,
        slope_y * slope_y,
        slope_x * slope_y,
        slope_x * change,
        slope_y * change,
    ]
    side = int(change.shape[1]) // BLOCKS
    # As a product with a matrix of ones and zeros, columns are summed several times faster than by pooling.
    columns = tf.constant(np.kron(np.eye(BLOCKS), np.ones((side, 1))), tf.float32)
    stripes = tf.matmul(tf.stack(products, axis=1), columns)
    return tf.reduce_sum(tf.reshape(stripes, [-1, _MAPS, BLOCKS, side, BLOCKS]), axis=3)


def statistics(sums: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    """(windows, FEATURES) from (windows, MAX_PAIRS, SUMS), `present` (windows, MAX_PAIRS): 1 for a pair, 0 behind."""
    size = BLOCKS * BLOCKS * _MAPS
    maps = {shrink: sums[..., at : at + size] for at, shrink in ((0, 1), (size, 2))}
    variance = {shrink: sums[..., 2 * size + at] for at, shrink in ((0, 1), (1, 2))}
    return tf.concat(
        [_at_scale(scale, maps[scale.shrink], variance[scale.shrink], present) for scale in SCALES], axis=1
    )


def _at_scale(scale: Scale, flat: tf.Tensor, variance: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    maps = flat
    if scale.merge > 1:
        halves = scale.blocks, scale.merge
        maps = tf.reduce_sum(tf.reshape(maps, [-1, MAX_PAIRS * _MAPS, *halves, *halves]), axis=[3, 5])
    maps = tf.reshape(maps, [-1, MAX_PAIRS, _MAPS, scale.blocks**2])
    contrast = tf.math.log1p(tf.sqrt(_mean(variance, present)))
    return tf.stack(
        [contrast, *_of_change(maps[:, :, 0] / scale.block_pixels, present), *_of_motion(maps[:, :, 1:], present)],
        axis=1,
    )


def _of_change(blocks: tf.Tensor, present: tf.Tensor) -> list[tf.Tensor]:
    """How much changes in the blocks that change most, how unevenly in time, and how it is spread over the picture."""
    blocks *= present[..., None]
    mean, deviation = _mean(blocks, present), _deviation(blocks, present)
    largest, unrest = _descending(mean), _descending(deviation)
    return [
        *(tf.math.log1p(_top(largest, count)) for count in _TOPS),
        *(tf.math.log1p(_top(unrest, count)) for count in _TOPS),
        tf.math.log((_top(unrest, 8) + _CHANGE_FLOOR) / (_top(largest, 8) + _CHANGE_FLOOR)),
        _entropy(mean),
        _mean(_entropy(blocks), present),
        _share(tf.reduce_max(blocks, axis=1) > _ACTIVE),
        _mean(_share(blocks > _ACTIVE), present),
        _persistence(blocks, present, 1),
        _persistence(blocks, present, _LATER),
    ]


def _of_motion(maps: tf.Tensor, present: tf.Tensor) -> list[tf.Tensor]:
    """How fast the blocks move, how much that varies and turns, and how much of the change no motion explains."""
    across, down, unexplained, energy = _block_motion(maps)
    across, down = across * present[..., None], down * present[..., None]
    speed = _length(across, down)
    fastest = _descending(speed)
    tops = [tf.math.log1p(_top(fastest, count)) for count in _TOPS]
    weight = energy / (tf.reduce_sum(energy, axis=2, keepdims=True) + 1)
    weighted = tf.math.log1p(tf.reduce_sum(speed * weight, axis=2))
    mean_speed = _mean(tf.reduce_mean(speed, axis=2), present)
    left_over = _mean(tf.reduce_mean(unexplained, axis=2), present)
    return [
        *(_mean(top, present) for top in tops),
        *(_deviation(top, present) for top in tops),
        _mean(weighted, present),
        _deviation(weighted, present),
        *_changes_of_motion(across, down, weight, present, mean_speed),
        tf.math.log((left_over + 10) / (_mean(tf.reduce_mean(energy, axis=2), present) + 10)),
    ]


def _changes_of_motion(
    across: tf.Tensor, down: tf.Tensor, weight: tf.Tensor, present: tf.Tensor, mean_speed: tf.Tensor
) -> list[tf.Tensor]:
    """Acceleration in the moving blocks, the same over the picture in relation to speed, and turning of the whole."""
    both = present[:, 1:]
    jolt = _length(across[:, 1:] - across[:, :-1], down[:, 1:] - down[:, :-1])
    whole = [tf.reduce_sum(part * weight, axis=2) for part in (across, down)]
    turning = _length(*(part[:, 1:] - part[:, :-1] for part in whole))
    some = tf.cast(tf.reduce_sum(both, axis=1) > 0, tf.float32)
    relation = (_mean(tf.reduce_mean(jolt, axis=2), both) + _MOTION_FLOOR) / (mean_speed + _MOTION_FLOOR)
    return [
        _mean(tf.math.log1p(tf.reduce_sum(jolt * weight[:, 1:], axis=2)), both),
        tf.math.log(relation) * some,
        _mean(turning, both),
    ]


def _block_motion(maps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Lucas and Kanade per block: (pixels a step across, down, squared change left over, squared change)."""
    energy, xx, yy, xy, xt, yt = tf.unstack(maps, axis=2)
    xx, yy = xx + _TEXTURE_FLOOR, yy + _TEXTURE_FLOOR
    determinant = xx * yy - xy * xy  # at least the floor squared
    across = (xy * yt - yy * xt) / determinant
    down = (xy * xt - xx * yt) / determinant
    return across, down, tf.nn.relu(energy + across * xt + down * yt), energy


def _mean(values: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    """Over the pairs (axis 1) that are there; 0 without any."""
    weight = present if len(values.shape) == 2 else present[..., None]
    count = tf.maximum(tf.reduce_sum(present, axis=1), 1.0)
    return tf.reduce_sum(values * weight, axis=1) / (count if len(values.shape) == 2 else count[:, None])


def _deviation(values: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    centred = values - _mean(values, present)[:, None]
    return tf.sqrt(_mean(centred * centred, present))


def _length(across: tf.Tensor, down: tf.Tensor) -> tf.Tensor:
    return tf.sqrt(across * across + down * down)


def _descending(values: tf.Tensor) -> tf.Tensor:
    return tf.math.top_k(values, k=int(values.shape[-1])).values


def _top(descending: tf.Tensor, count: int) -> tf.Tensor:
    return tf.reduce_mean(descending[..., :count], axis=-1)


def _share(truths: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.cast(truths, tf.float32), axis=-1)


def _entropy(values: tf.Tensor) -> tf.Tensor:
    """Of the last axis taken as shares of its sum: 0 if all is in one place, large if it is everywhere alike."""
    share = values / (tf.reduce_sum(values, axis=-1, keepdims=True) + 1)
    return -tf.reduce_sum(share * tf.math.log(share + 1e-9), axis=-1)


def _persistence(blocks: tf.Tensor, present: tf.Tensor, steps: int) -> tf.Tensor:
    """How much the change is where it was `steps` pairs ago: mean cosine, 0 to 1."""
    lengths = tf.sqrt(tf.reduce_sum(blocks * blocks, axis=2)) + 1
    products = tf.reduce_sum(blocks[:, steps:] * blocks[:, :-steps], axis=2)
    return _mean(products / (lengths[:, steps:] * lengths[:, :-steps]), present[:, steps:])


@dataclass(frozen=True)
class Heads:
    """The trained numbers, each (FEATURES,): a feature is standardised and clipped, then weighed; `bias` is added.

    The weights hold the heads' mean and the calibration: the result is the calibrated logit.
    """

    means: NDArray[np.float64]
    scales: NDArray[np.float64]
    weights: NDArray[np.float64]
    bias: float

    def as_data(self) -> dict[str, Any]:
        """For the model's JSON file."""
        numbers = {name: getattr(self, name).tolist() for name in ("means", "scales", "weights")}
        return {**numbers, "bias": self.bias, "scales_and_statistics": [[s.name for s in SCALES], list(STATISTICS)]}

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Heads:
        """What `as_data` gave."""
        means, scales, weights = (np.array(data[name]) for name in ("means", "scales", "weights"))
        return cls(means, scales, weights, float(data["bias"]))


class Compare(keras.layers.Layer):  # type: ignore[misc] # Keras has no types
    """`compare` as a layer."""

    def call(self, pictures: Sequence[tf.Tensor]) -> tf.Tensor:
        """(earlier, later)."""
        return compare(*pictures)


class Statistics(keras.layers.Layer):  # type: ignore[misc]
    """`statistics` as a layer."""

    def call(self, window: Sequence[tf.Tensor]) -> tf.Tensor:
        """(sums, present)."""
        return statistics(*window)


class Standardise(keras.layers.Layer):  # type: ignore[misc]
    """Deviations from the training data's mean, clipped to `MAX_DEVIATIONS`."""

    def __init__(self, means: NDArray[np.float64], scales: NDArray[np.float64]) -> None:
        super().__init__()
        self._means, self._scales = tf.constant(means, tf.float32), tf.constant(scales, tf.float32)

    def call(self, features: tf.Tensor) -> tf.Tensor:
        """(rows, FEATURES)."""
        return tf.clip_by_value((features - self._means) / self._scales, -MAX_DEVIATIONS, MAX_DEVIATIONS)


def compare_model() -> Any:
    """Keras: (pairs, SIDE, SIDE) uint8, twice, to (pairs, SUMS) float32."""
    pictures = [keras.Input((SIDE, SIDE), dtype="uint8", name=name) for name in ("earlier", "later")]
    return keras.Model(pictures, Compare()(pictures), name="compare")


def statistics_model() -> Any:
    """Keras: (windows, MAX_PAIRS, SUMS) and (windows, MAX_PAIRS) to (windows, FEATURES)."""
    window = [keras.Input((MAX_PAIRS, SUMS), name="sums"), keras.Input((MAX_PAIRS,), name="present")]
    return keras.Model(window, Statistics()(window), name="statistics")


def judge_model(heads: Heads) -> Any:
    """Keras: (windows, MAX_PAIRS, SUMS) and (windows, MAX_PAIRS) to (windows, 1) calibrated logits."""
    measured = statistics_model()
    head = keras.layers.Dense(1, name="heads")
    logits = head(Standardise(heads.means, heads.scales)(measured.output))
    head.set_weights([heads.weights[:, None].astype(np.float32), np.array([heads.bias], np.float32)])
    return keras.Model(measured.inputs, logits, name="judge")


def export(heads: Heads) -> bytes:
    """The `.tflite` file with the signatures `compare` and `judge`, batches free."""
    module = tf.Module()
    # Frozen by hand: this converter leaves a Keras layer's variables unread in a file with several signatures.
    weights, bias = tf.constant(heads.weights[:, None], tf.float32), tf.constant(heads.bias, tf.float32)
    standardise = Standardise(heads.means, heads.scales)
    picture = tf.TensorSpec([None, SIDE, SIDE], tf.uint8)
    window = [tf.TensorSpec([None, MAX_PAIRS, SUMS]), tf.TensorSpec([None, MAX_PAIRS])]

    @tf.function(input_signature=[picture, picture])  # type: ignore[untyped-decorator]
    def compare_signature(earlier: tf.Tensor, later: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"sums": compare(earlier, later)}

    @tf.function(input_signature=window)  # type: ignore[untyped-decorator]
    def judge_signature(sums: tf.Tensor, present: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"logits": (tf.matmul(standardise(statistics(sums, present)), weights) + bias)[:, 0]}

    signatures = {"compare": compare_signature, "judge": judge_signature}
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures=signatures)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=list(signatures))
        return bytes(converter.convert())
