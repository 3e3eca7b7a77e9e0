"""Trains the bundled model: `python -m shared.detection.train --data DIR --out models/`.

Measures by nested cross-validation that never splits a recording, then fits on everything, exports to LiteRT, checks
that LiteRT and Keras agree on every clip, and writes the network, its description, the model card and its
plots. Same data, same seed, same numbers. Nothing at run time imports it (it needs TensorFlow).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from shared.detection.motion import Description, write_description
from shared.detection.training import agreement, network
from shared.detection.training.card import Measured, write_card
from shared.detection.training.data import load_clips
from shared.detection.training.evaluation import cross_validate, evened_logits, probabilities
from shared.detection.training.fitting import SMOOTHING, fit

SEED = 20
DESCRIPTION = Description("violence-motion", "1", "violence", "violence-motion-1.tflite", SMOOTHING, rates=())


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line. Prints the card when done."""
    parser = argparse.ArgumentParser(description="Train and measure the bundled model.")
    parser.add_argument("--data", type=Path, required=True, help="folder with scfd.csv and calm/")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model and its card")
    parser.add_argument("--seeds", type=int, default=10, help="repetitions of the cross-validation")
    options = parser.parse_args(arguments)
    clips = load_clips(options.data, SEED)
    runs = [cross_validate(clips, SEED + number) for number in range(options.seeds)]
    fitted = fit(clips, SEED)
    heads, content = fitted.heads, network.export(fitted.heads)
    difference = agreement.largest_difference(content, heads, [c.pictures for c in clips], [c.first for c in clips])
    version = f"{DESCRIPTION.name}-{DESCRIPTION.version}"
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / DESCRIPTION.network).write_bytes(content)
    write_description(replace(DESCRIPTION, rates=fitted.rates), heads.as_data(), options.out / f"{version}.json")
    seen = [probabilities(evened_logits(fitted, clip.own, clip.gap)) for clip in clips]
    card = write_card(Measured(version, clips, runs, seen, len(content), difference, SEED), options.out)
    print(card)  # noqa: T201  # the command's output


if __name__ == "__main__":
    main()
