"""Limits of the services beside what a fleet asks of them, and which breaks first. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.load_on_paper.day import Totals
from bench.load_on_paper.demand import Demand
from bench.load_on_paper.fleet import Day
from infra import topology
from shared.domain.moderation.profiles import Profile

BEST_PRACTICES = "cloud.google.com/firestore/docs/best-practices, a stored copy"
VISION_QUOTAS = "cloud.google.com/vision/quotas, as quoted by errorhandle.ai"
RUN_QUOTAS = "cloud.google.com/run/quotas, a stored copy: 1,000 with 1 CPU and 1 GiB, it depends on the region"
DESIGN = "the project's design: three videos at a time by default"
MEMORY = "from memory"

SEQUENTIAL_A_SECOND = 500
DOCUMENT_A_SECOND = 1
IMAGES_A_MINUTE = 1_800
TEXTS_A_MINUTE = 600
VIDEOS_AT_ONCE = 3
OBJECTS_A_SECOND = 1_000
INSTANCES = 1_000

REWRITTEN = frozenset({"work"})
"""Collections of whose documents every write changes an indexed time (a lease); of others, just their creation does."""


@dataclass(frozen=True)
class Strain:
    """How much of a limit is asked for: `share` 1 is all of it.

    `ours`: the topology's own limit, not Google's. `grows`: more cameras ask for more of it.
    """

    limit: str
    asked: float
    allowed: float
    unit: str
    source: str
    way_out: str
    ours: bool = False
    grows: bool = True

    @property
    def share(self) -> float:
        """Asked for, of what is allowed."""
        return self.asked / self.allowed

    def breaks_at(self, cameras: int) -> float:
        """How many cameras of the same kind use all of it; storms and evenings grow with them."""
        return cameras / self.share if self.share and self.grows else float("inf")


def strains(
    day: Day, totals: Totals, demands: Mapping[str, Demand], profile: Profile, declared: topology.Topology
) -> tuple[Strain, ...]:
    """All that is known, the worst first."""
    seconds = totals.seconds
    found = [*_functions(day), *_documents(day, demands, seconds), *_services(day, profile)]
    found.append(_timers(totals, declared))
    return tuple(sorted(found, key=lambda strain: -strain.share))


def _functions(day: Day) -> list[Strain]:
    every = sum(line.needed for line in day.lines)
    lines = [
        Strain(
            f"instances of {line.function}",
            line.needed,
            line.allowed,
            "at the busiest minute",
            "infra/pipeline.yaml, max_instances",
            f"clips wait up to {line.delay:,.0f} s; raise max_instances" if line.delay > 1 else "nobody waits",
            ours=True,
        )
        for line in day.lines
    ]
    return [*lines, Strain("instances of a region", every, INSTANCES, "of all stages", RUN_QUOTAS, "ask for more")]


def _documents(day: Day, demands: Mapping[str, Demand], seconds: Mapping[str, float]) -> list[Strain]:
    clip = demands["calm upload"]
    rates = {
        collection: day.peak_second * (clip.writes if collection in REWRITTEN else clip.created).get(collection, 0)
        for collection in clip.writes
    }
    busiest = max(rates, key=lambda collection: rates[collection])
    lifetime = sum(seconds[line.function] for line in day.lines)
    hottest = max(clip.hottest, key=lambda collection: clip.hottest[collection])
    return [
        Strain(
            f"writes to `{busiest}`, which indexes a time",
            rates[busiest],
            SEQUENTIAL_A_SECOND,
            "a second",
            BEST_PRACTICES,
            "writes wait and are retried; shard the indexed time, or drop the index",
        ),
        Strain(
            f"writes to one document of `{hottest}`",
            clip.hottest[hottest] / lifetime,
            DOCUMENT_A_SECOND,
            "a second, while its clip is worked on",
            "cloud.google.com/firestore/quotas, " + MEMORY,
            "writes wait for each other; it does not grow with cameras",
            grows=False,
        ),
    ]


def _services(day: Day, profile: Profile) -> list[Strain]:
    fleet = day.fleet
    minute = day.peak_minute
    return [
        Strain(
            "pictures for Vision",
            minute * profile.video.frames,
            IMAGES_A_MINUTE,
            "a minute and feature",
            VISION_QUOTAS,
            "refused, asked again, then verdicts lack Vision and say so; ask for more",
        ),
        Strain(
            "texts for Natural Language",
            minute * fleet.with_text * 2,
            TEXTS_A_MINUTE,
            "a minute",
            MEMORY,
            "patterns alone judge, and the receipt says so; ask for more",
        ),
        Strain(
            "videos in Video Intelligence",
            minute / 60 * fleet.doubtful * fleet.clip_seconds,
            VIDEOS_AT_ONCE,
            "at a time, taken to last as long as the clip",
            DESIGN,
            "the verdict stays provisional for longer; ask for more, or narrow the doubt band",
        ),
        Strain(
            "objects written to the media bucket",
            day.peak_second,
            OBJECTS_A_SECOND,
            "a second, before it has warmed up",
            "cloud.google.com/storage/docs/request-rate, " + MEMORY,
            "names are random, so the bucket grows with the load",
        ),
    ]


def _timers(totals: Totals, declared: topology.Topology) -> Strain:
    return Strain(
        "tasks of the queue of timers",
        totals.tasks / 86_400 * totals.fleet.evening,
        declared.queues["timers"].rate,
        "a second",
        "infra/pipeline.yaml, rate",
        "alerts go on later; raise it (Google's own limit, from memory: 500)",
        ours=True,
    )
