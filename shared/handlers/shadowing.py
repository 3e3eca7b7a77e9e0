"""The shadow profile: what it would have said of what was judged, and which verdicts it would flip (SPEC §5)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from shared.domain.moderation.findings import Evidence
from shared.domain.moderation.profiles import Profile
from shared.domain.moderation.receipts import Verdict
from shared.domain.moderation.shadow import Summary, compare, summarize
from shared.domain.moderation.verdicts import judge
from shared.errors import SightlineError
from shared.handlers import caching
from shared.ports import Documents
from shared.repositories import shadows
from shared.repositories.shadows import Comparison

log = logging.getLogger(__name__)

MAX_FLIPS = 100
MAX_COMPARISONS = 5000
"""Read for one report, the newest."""


@dataclass(frozen=True)
class Report:
    """What was compared since `since`. `flips`: the newest `MAX_FLIPS`.

    `complete` is False where there was more than is read for one report; all numbers are of the newest then.
    """

    since: datetime
    summary: Summary
    flips: tuple[Comparison, ...]
    complete: bool


def record(media_id: str, evidence: Evidence, verdict: Verdict, shadow: Profile, store: caching.Deps) -> None:
    """Judges the evidence by the shadow profile, too, and stores the comparison. It never costs a verdict.

    A verdict of that very profile is compared with nothing.
    """
    if shadow.version == verdict.profile_version:
        return
    comparison = compared_with(shadow, media_id, evidence, verdict, store.clock.now())
    try:
        store.documents.commit([shadows.record(comparison)])
    except SightlineError as error:
        log.warning("a comparison with the shadow profile was not stored: %s", type(error).__name__)


def compared_with(shadow: Profile, media_id: str, evidence: Evidence, verdict: Verdict, now: datetime) -> Comparison:
    """The verdict beside that of the shadow profile on the same evidence, as it is stored."""
    other = judge(evidence, shadow)
    compared = compare(verdict, other)
    return Comparison(
        media_id=media_id,
        profile=f"{verdict.profile} {verdict.profile_version}",
        shadow=f"{other.profile} {other.profile_version}",
        status=compared.status,
        shadow_status=compared.shadow_status,
        rule=compared.rule,
        shadow_rule=compared.shadow_rule,
        flips=compared.flips,
        created_at=now,
        reasons=other.reasons,
        causes=compared.causes,
    )


def report(store: caching.Deps, hours: float) -> Report:
    """What was compared in the last `hours`, by whichever shadow profile was set then. Raises `Retryable`."""
    since = store.clock.now() - timedelta(hours=hours)
    newest = list(islice(_newest(store.documents, since), MAX_COMPARISONS + 1))
    read = newest[:MAX_COMPARISONS]
    flips = tuple(islice((each for each in read if each.flips), MAX_FLIPS))
    return Report(since, summarize(read), flips, complete=len(newest) == len(read))


def _newest(documents: Documents, since: datetime) -> Iterator[Comparison]:
    cursor: str | None = None
    while True:
        found, cursor = shadows.since(documents, since, limit=500, cursor=cursor)
        yield from found
        if cursor is None:
            return
