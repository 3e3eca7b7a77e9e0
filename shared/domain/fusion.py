"""Several witnesses of one incident: how sure they are together.

Each kind of signal is one witness, and speaks with the strongest of its signals: a hundred repetitions of one device
are no hundred witnesses, and two neighbouring places hear the same scream. Independent witnesses are combined by the
noisy-or, 1 − Π(1 − c) (J. Pearl, Probabilistic Reasoning in Intelligent Systems, 1988, §4.3.2). What the stages found
in one upload rests on the same pixels and is no independent witness: of the signals that count, no two come from the
same asset. Of all choices that keep to this the most certain one is taken, so a further signal never lowers the result.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from shared.domain.incidents import Signal, SignalKind

STRONGEST = len(SignalKind)
"""How many signals of a kind must be known: the others of a choice can rule out one fewer (an asset has one a kind)."""


@dataclass(frozen=True)
class Part:
    """What one kind contributes. `signals`: how many of the kind there are; the others say who spoke for it.

    `counted` False: it rests on the same upload as a stronger part.
    """

    kind: SignalKind
    confidence: float
    signal_id: int
    beacon_id: str
    device_id: str | None
    asset_id: str | None
    signals: int
    counted: bool = True


@dataclass(frozen=True)
class Fused:
    """The combined `confidence` (0-1), and its parts, the strongest first. Without a signal: 0 and none."""

    confidence: float
    parts: tuple[Part, ...]


def fuse(strongest: Mapping[SignalKind, Sequence[Signal]], counts: Mapping[SignalKind, int]) -> Fused:
    """Combines the kinds. `strongest`: at least the `STRONGEST` most confident signals of each, as far as there are."""
    kinds = [kind for kind in SignalKind if strongest.get(kind)]
    options = [[*sorted(strongest[kind], key=_weight, reverse=True)[:STRONGEST], None] for kind in kinds]
    choices = [choice for choice in product(*options) if _is_independent(choice)]
    best = max(choices, key=_merit)
    parts = []
    for kind, chosen, offered in zip(kinds, best, options, strict=True):
        shown = chosen or offered[0]
        if shown is not None:
            parts.append(_part(kind, shown, counts[kind], counted=chosen is not None))
    return Fused(_combined(best), tuple(sorted(parts, key=lambda part: (-part.confidence, part.kind))))


Choice = tuple[Signal | None, ...]


def _weight(signal: Signal) -> tuple[float, int]:
    """The most confident first, and of those the earliest: ids are ordered by time."""
    return signal.observation.confidence, -signal.id


def _is_independent(choice: Choice) -> bool:
    assets = [signal.observation.asset_id for signal in choice if signal is not None and signal.observation.asset_id]
    return len(assets) == len(set(assets))


def _combined(choice: Choice) -> float:
    confidences = [signal.observation.confidence for signal in choice if signal is not None]
    # Rounding may make the product's complement a hair less than its strongest part.
    return max([0.0, *confidences, 1.0 - math.prod(1.0 - confidence for confidence in confidences)])


def _merit(choice: Choice) -> tuple[float, int, tuple[int, ...]]:
    """What is most certain, then what leaves fewest out; then the earliest signals, so that the order says nothing."""
    known = [signal.id for signal in choice if signal is not None]
    return _combined(choice), len(known), tuple(-id for id in known)


def _part(kind: SignalKind, signal: Signal, signals: int, *, counted: bool) -> Part:
    observation = signal.observation
    return Part(
        kind=kind,
        confidence=observation.confidence,
        signal_id=signal.id,
        beacon_id=observation.beacon_id,
        device_id=observation.device_id,
        asset_id=observation.asset_id,
        signals=signals,
        counted=counted,
    )
