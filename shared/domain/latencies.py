"""How long replies took, as a DDSketch: counts by bin, from which any quantile is told within 1 % of its value.

The bins are those of `LogarithmicMapping` of Datadog's library `ddsketch`, which the tests compare them with. A sketch
is nothing but its counts, so merging is adding, in any order. There are under 1,000 bins: what is shorter than the
shortest time or longer than the longest counts as that.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping

ACCURACY = 0.01
SHORTEST_MS = 0.01
LONGEST_MS = 3_600_000.0

_GAMMA = (1 + ACCURACY) / (1 - ACCURACY)
_LOG_GAMMA = math.log(_GAMMA)

Bins = Mapping[int, int]
"""How many replies fell into each bin."""


def bin_of(milliseconds: float) -> int:
    """The bin of a reply. What is no number counts as the shortest."""
    if not milliseconds > SHORTEST_MS:
        milliseconds = SHORTEST_MS
    return math.ceil(math.log(min(milliseconds, LONGEST_MS)) / _LOG_GAMMA)


def milliseconds_of(bin_number: int) -> float:
    """What stands for every reply of a bin: no more than `ACCURACY` from any of them, as a share."""
    return 2 * math.pow(_GAMMA, bin_number) / (1 + _GAMMA)


def merged(sketches: Iterable[Bins]) -> dict[int, int]:
    """All replies of several sketches in one."""
    total: Counter[int] = Counter()
    for bins in sketches:
        total.update(bins)
    return dict(total)


def quantile(bins: Bins, share: float) -> float | None:
    """How long (ms) at most that `share` (0-1) of the replies took; None without any.

    Of n replies sorted, it is the one of rank floor(share * (n - 1)), as `ddsketch` has it.
    """
    rank = share * (sum(bins.values()) - 1)
    seen = 0
    for number in sorted(bins):
        seen += bins[number]
        if seen > rank:
            return milliseconds_of(number)
    return None
