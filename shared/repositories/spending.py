"""What an analyser spent on a day, over all instances: sharded counters, so that no document becomes hot.

Whole millionths of a dollar, because sums of those are exact.
"""

from __future__ import annotations

import math
import zlib
from datetime import date

from shared.ports import Documents, Increment

COLLECTION = "spending"
SHARDS = 10
FIELD = "micro_usd"


def micro(usd: float) -> int:
    """Millionths of a dollar, rounded up."""
    return math.ceil(round(usd * 1e6, 3))


def addition(analyser: str, day: date, amount: int, spread_by: str) -> Increment:
    """The write that adds `amount` (it may be below 0) to the day; `spread_by` chooses the shard."""
    shard = zlib.crc32(spread_by.encode()) % SHARDS
    return Increment(COLLECTION, _id(analyser, day, shard), FIELD, amount)


def total(documents: Documents, analyser: str, day: date) -> int:
    """The day's sum in millionths of a dollar, of every addition whose commit returned before. Raises `Retryable`."""
    found = documents.get_many([(COLLECTION, _id(analyser, day, shard)) for shard in range(SHARDS)])
    return sum(document.data[FIELD] for document in found if document is not None)


def _id(analyser: str, day: date, shard: int) -> str:
    return f"{analyser}:{day.isoformat()}:{shard}"
