"""Checks that the exported file says what Keras says, on the data that it was trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shared.detection.litert_file import SignatureNetwork
from shared.detection.motion import PairWindow, stacked
from shared.detection.training import network

TOLERANCE = 1e-3
"""Of a logit: a quarter of a thousandth of a probability at most."""


class Disagreement(Exception):
    """LiteRT and Keras differ by more than `TOLERANCE`."""


def largest_difference(
    content: bytes, heads: network.Heads, pictures: Sequence[NDArray[np.uint8]], windows: Sequence[PairWindow]
) -> float:
    """In logits, over the `windows`; `pictures` are (n, SIDE, SIDE) each. Raises `Disagreement`."""
    exported = SignatureNetwork(content, ("compare", "judge"))
    compare, judge = network.compare_model(), network.judge_model(heads)
    for clip in pictures:
        pair = {"earlier": clip[:-1], "later": clip[1:]}
        expected = compare.predict_on_batch([pair["earlier"], pair["later"]])
        sums = exported.run("compare", **pair)["sums"]
        if not np.allclose(sums, expected, rtol=1e-4, atol=1.0):
            raise Disagreement("the block sums differ")
    differences = [0.0]
    for window in windows:
        ready = stacked([window])
        logit = judge.predict_on_batch([ready["sums"], ready["present"]])[0, 0]
        differences.append(abs(float(exported.run("judge", **ready)["logits"][0]) - float(logit)))
    if max(differences) > TOLERANCE:
        raise Disagreement(f"logits differ by {max(differences):.4f}")
    return max(differences)
