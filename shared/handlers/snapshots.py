"""Makes the snapshots of metrics: what all instances counted in five minutes, told once for a week.

Made after the five minutes are over, under an id made of their end, so that ticks which come twice, late or at two
places at once make one. Minutes that were written afterwards (an instance that was idle, a store that was away) are
added to the snapshot as long as it is there. Five minutes in which nobody made one stay a gap, not a zero.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from shared.domain import metrics
from shared.domain.metrics import SLOT, Snapshot
from shared.ports import Documents
from shared.repositories import metrics as stored

LOOK_BACK = 3 * SLOT
"""How long after it was written a late minute is still noticed: a few ticks may be lost."""


def take(documents: Documents, now: datetime) -> int:
    """Makes the snapshot of the last whole five minutes if it is not there, and corrects earlier ones; how many.

    Between them it costs one read. Raises `Retryable`.
    """
    latest = metrics.slot_of(now)
    if stored.find_snapshot(documents, latest) is not None:
        return 0
    written = stored.minutes_written_since(documents, now - LOOK_BACK)
    late = {metrics.slot_of(minute) + SLOT for minute in written}
    corrected = sum(_correct(documents, at) for at in sorted(late) if at < latest)
    # Last, for it says that everything before was seen to.
    made = _made(documents, latest)
    sessions = stored.live_sessions(documents, now)
    return corrected + stored.save_snapshot(documents, replace(made, sessions=sessions), None)


def _correct(documents: Documents, at: datetime) -> bool:
    """Makes a snapshot anew if it misses something. One that is not there stays so."""
    found = stored.find_snapshot(documents, at)
    if found is None:
        return False
    present, version = found
    made = _made(documents, at)
    if made.totals.count <= present.totals.count:
        return False
    return stored.save_snapshot(documents, replace(made, sessions=present.sessions), version)


def _made(documents: Documents, at: datetime) -> Snapshot:
    windows = stored.windows_since(documents, at - SLOT, at)
    return metrics.snapshot(at, metrics.merged_routes(each.routes for each in windows), metrics.LiveSessions())
