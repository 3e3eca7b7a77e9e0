"""The model: standardised features, one logistic regression, one calibration, read from a small JSON file.

numpy only. It must not know where windows come from. Training is `shared.detection.train`, which nothing at run time
imports. Calibration: J. Platt, "Probabilistic Outputs for Support Vector Machines", 1999.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shared.detection.features import FEATURE_NAMES, Vector
from shared.errors import SettingsError

FORMAT = 1

# What lies further from the training data than this says no more than "far": a linear model must not extrapolate.
_MAX_DEVIATIONS = 4.0
# Keeps the exponential finite for any weights; the probability there is 0 or 1 to all digits anyway.
_MAX_LOGIT = 60.0


@dataclass(frozen=True)
class LinearModel:
    """`weights`, `means`, `scales` follow `features`; probability = sigmoid(calibration_slope · logit + _offset)."""

    name: str
    version: str
    class_name: str
    features: tuple[str, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float
    calibration_slope: float
    calibration_offset: float

    def logit(self, vector: Vector) -> float:
        """The score before calibration of one feature vector (float64, in the order of `features`)."""
        standardised = (vector - np.asarray(self.means)) / np.asarray(self.scales)
        standardised = np.clip(standardised, -_MAX_DEVIATIONS, _MAX_DEVIATIONS)
        return float(standardised @ np.asarray(self.weights)) + self.bias

    def probability(self, vector: Vector) -> float:
        """The calibrated probability, 0 to 1, that the window shows the class."""
        calibrated = self.calibration_slope * self.logit(vector) + self.calibration_offset
        return 1 / (1 + math.exp(-min(max(calibrated, -_MAX_LOGIT), _MAX_LOGIT)))


def read_model(path: Path) -> LinearModel:
    """The model in the JSON file at `path`. Raises `SettingsError`, saying what is wrong with it."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"The model {path.name} can't be read: {error.strerror}.") from error
    except ValueError as error:
        raise SettingsError(f"The model {path.name} is not JSON.") from error
    problem = _problem(data)
    if problem:
        raise SettingsError(f"The model {path.name} can't be used: {problem}.")
    return LinearModel(
        name=data["name"],
        version=data["version"],
        class_name=data["class_name"],
        features=tuple(data["features"]),
        means=tuple(data["means"]),
        scales=tuple(data["scales"]),
        weights=tuple(data["weights"]),
        bias=data["bias"],
        calibration_slope=data["calibration_slope"],
        calibration_offset=data["calibration_offset"],
    )


def write_model(model: LinearModel, path: Path) -> None:
    """Writes what `read_model` reads."""
    path.write_text(json.dumps({"format": FORMAT, **asdict(model)}, indent=1) + "\n", encoding="utf-8")


_TEXTS = ("name", "version", "class_name")
_LISTS = ("means", "scales", "weights")
_NUMBERS = ("bias", "calibration_slope", "calibration_offset")


def _problem(data: Any) -> str | None:
    """What keeps the decoded JSON from being a model, or None."""
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        return f'it is not an object with "format": {FORMAT}'
    if wrong := [name for name in _TEXTS if not isinstance(data.get(name), str) or not data[name]]:
        return f"{', '.join(wrong)} must be text"
    if data.get("features") != list(FEATURE_NAMES):
        return "its features are not those that this program measures, in their order"
    if wrong := [name for name in _LISTS if not _is_vector(data.get(name))]:
        return f"{', '.join(wrong)} must be {len(FEATURE_NAMES)} finite numbers"
    if wrong := [name for name in _NUMBERS if not _is_number(data.get(name))]:
        return f"{', '.join(wrong)} must be a finite number"
    return None if min(data["scales"]) > 0 else "its scales must be above 0"


def _is_vector(value: Any) -> bool:
    return isinstance(value, list) and len(value) == len(FEATURE_NAMES) and all(map(_is_number, value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
