"""The shadow profile: what it would have said of what was judged, and which verdicts it would flip (SPEC §5)."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.domain.moderation.findings import Evidence
from shared.domain.moderation.profiles import Profile
from shared.domain.moderation.receipts import Verdict
from shared.domain.moderation.verdicts import judge
from shared.errors import SightlineError
from shared.ports import Clock, Documents
from shared.repositories import shadows
from shared.repositories.shadows import Comparison

log = logging.getLogger(__name__)

MAX_FLIPS = 100
MAX_COMPARISONS = 5000
"""Read for one report, the newest."""


@dataclass(frozen=True)
class Report:
    """What was compared since `since`. `verdicts`: how often what was said, by what the shadow would have said.

    `flips`: the newest `MAX_FLIPS`. `complete` is False where there was more than is read for one report.
    """

    since: datetime
    compared: int
    flipped: int
    verdicts: Mapping[str, Mapping[str, int]]
    flips: tuple[Comparison, ...]
    complete: bool


def record(
    media_id: str, evidence: Evidence, verdict: Verdict, shadow: Profile, store: Documents, now: datetime
) -> None:
    """Judges the evidence by the shadow profile, too, and stores the comparison. It never costs a verdict."""
    other = judge(evidence, shadow)
    comparison = Comparison(
        media_id=media_id,
        profile=f"{verdict.profile} {verdict.profile_version}",
        shadow=f"{other.profile} {other.profile_version}",
        status=verdict.status,
        shadow_status=other.status,
        rule=verdict.rule,
        shadow_rule=other.rule,
        flips=verdict.status is not other.status,
        created_at=now,
        reasons=other.reasons,
    )
    try:
        store.commit([shadows.record(comparison)])
    except SightlineError as error:
        log.warning("a comparison with the shadow profile was not stored: %s", type(error).__name__)


def report(documents: Documents, clock: Clock, hours: float) -> Report:
    """What was compared in the last `hours`, by whichever shadow profile was set then. Raises `Retryable`."""
    since = clock.now() - timedelta(hours=hours)
    table: dict[str, Counter[str]] = {}
    flips: list[Comparison] = []
    compared = 0
    complete = True
    for each in _newest(documents, since):
        if compared == MAX_COMPARISONS:
            complete = False
            break
        compared += 1
        table.setdefault(each.status, Counter())[each.shadow_status] += 1
        if each.flips:
            flips.append(each)
    return Report(since, compared, len(flips), table, tuple(flips[:MAX_FLIPS]), complete)


def _newest(documents: Documents, since: datetime) -> Iterator[Comparison]:
    cursor: str | None = None
    while True:
        found, cursor = shadows.since(documents, since, limit=500, cursor=cursor)
        yield from found
        if cursor is None:
            return
