"""The bill of a month, line by line: what a day asks for, times list prices. Pure.

It leans to the dear side: no free tier, no discount, and a function that serves several requests at once is counted for
each of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bench.load_on_paper import prices
from bench.load_on_paper.day import Totals
from bench.load_on_paper.prices import ListPrice
from infra import topology
from shared.domain.context import PROMPT
from shared.domain.costs import Machine, compute_cost, estimated_tokens, question_cost
from shared.domain.moderation.prices_of_looks import image_cost, text_cost, video_cost
from shared.domain.moderation.profiles import Profile
from shared.ports import Depth
from shared.settings import DEFAULT_GEMINI_MODEL

DAYS = 30.4
TEXT_CHARACTERS = 500
DOCUMENT_BYTES = 1_500
"""Of a document with its index entries; an assumption."""

DOCUMENT_DAYS = 365.0
"""How long a document is kept on the average: incidents and their records have no end, assets none yet."""

LOG_BYTES = 600
"""Of one line of a function's log; an assumption, as is one line and the platform's own a call."""

REPLY_KILOBYTES = 20.0
SEEN_SHARE = 0.01
"""Of all clips, somebody looks at so many through a signed link."""

ARMOR_RULES = 12
GIB = float(1 << 30)


@dataclass(frozen=True)
class BillLine:
    """One line: USD a month, and what it was worked out from."""

    what: str
    usd: float
    basis: str


def bill(totals: Totals, profile: Profile, declared: topology.Topology, at: datetime) -> tuple[BillLine, ...]:
    """The lines; their sum is the bill."""
    return (*_analysers(totals, profile, at), *_computing(totals, declared, at), *_stores(totals), *_network(totals))


def _analysers(totals: Totals, profile: Profile, at: datetime) -> tuple[BillLine, ...]:
    fleet, clips = totals.fleet, totals.fleet.clips * DAYS
    plan = profile.video
    gemini = question_cost(DEFAULT_GEMINI_MODEL, estimated_tokens(Depth.VIDEO, fleet.clip_seconds, PROMPT), at).usd
    return (
        BillLine("Gemini", clips * gemini, f"{DEFAULT_GEMINI_MODEL}, every clip, whole video"),
        BillLine("Vision", clips * image_cost(plan.frames, plan.features, at), f"{plan.frames} frames of every clip"),
        BillLine(
            "Natural Language",
            clips * fleet.with_text * text_cost(TEXT_CHARACTERS, at),
            f"{fleet.with_text:.0%} of clips show text",
        ),
        BillLine(
            "Video Intelligence",
            clips * fleet.doubtful * video_cost(fleet.clip_seconds, at),
            f"{fleet.doubtful:.1%} of clips in doubt",
        ),
    )


def _computing(totals: Totals, declared: topology.Topology, at: datetime) -> tuple[BillLine, ...]:
    usd = 0.0
    for name, calls in totals.calls.items():
        function = declared.functions[name]
        usd += calls * compute_cost(totals.seconds[name], Machine(function.cpu, function.memory), at)
    return (BillLine("Cloud Run functions", usd * DAYS, f"{_number(sum(totals.calls.values()))} calls a day"),)


def _stores(totals: Totals) -> tuple[BillLine, ...]:
    fleet = totals.fleet
    stored = totals.created * DOCUMENT_DAYS * DOCUMENT_BYTES / GIB
    kept = fleet.clips * fleet.clip_megabytes / 1000 * fleet.kept_days
    documents = (
        _priced(prices.DOCUMENT_READS, totals.reads / 1e5 * DAYS)
        + _priced(prices.DOCUMENT_WRITES, totals.writes / 1e5 * DAYS)
        + _priced(prices.DOCUMENT_DELETES, totals.deletes / 1e5 * DAYS)
    )
    keeping = _priced(prices.DOCUMENT_STORAGE, stored) + _priced(prices.BACKUP_STORAGE, 7 * stored)
    operations = _priced(prices.CLASS_A, totals.class_a / 1e3 * DAYS)
    operations += _priced(prices.CLASS_B, totals.class_b / 1e3 * DAYS)
    return (
        BillLine(
            "Firestore, operations", documents, f"{_number(totals.reads)} reads, {_number(totals.writes)} writes a day"
        ),
        BillLine("Firestore, storage", keeping, f"{stored:,.0f} GiB after a year, and seven daily backups"),
        BillLine(
            "Cloud Storage, clips",
            _priced(prices.OBJECT_STORAGE, kept),
            f"{kept:,.0f} GB, kept {fleet.kept_days:g} days",
        ),
        BillLine("Cloud Storage, operations", operations, f"{_number(totals.class_a)} of class A a day"),
        BillLine(
            "Pub/Sub",
            _priced(prices.MESSAGES, totals.message_bytes * DAYS / (1 << 40)),
            f"{_number(totals.messages)} messages a day",
        ),
    )


def _network(totals: Totals) -> tuple[BillLine, ...]:
    fleet = totals.fleet
    replies = totals.requests * REPLY_KILOBYTES / 1e6
    looked_at = fleet.clips * SEEN_SHARE * fleet.clip_megabytes / 1000
    balancer = _priced(prices.FORWARDING_RULES, 24 * DAYS) + _priced(prices.BALANCED, replies * DAYS)
    armor = _priced(prices.ARMOR_POLICY, 1) + _priced(prices.ARMOR_RULE, ARMOR_RULES)
    armor += _priced(prices.ARMOR_REQUESTS, totals.requests / 1e6 * DAYS)
    logged = 2 * sum(totals.calls.values()) * LOG_BYTES / GIB
    small = _priced(prices.SCHEDULED_JOB, 1) + _priced(prices.SECRET_VERSION, 2)
    small += _priced(prices.TASKS, totals.tasks / 1e6 * DAYS)
    return (
        BillLine("Load balancer", balancer, f"{_number(totals.requests)} requests a day"),
        BillLine("Cloud Armor", armor, f"{ARMOR_RULES} rules"),
        BillLine(
            "Traffic to people",
            _priced(prices.EGRESS, (replies + looked_at) * DAYS),
            f"{SEEN_SHARE:.0%} of clips are looked at",
        ),
        BillLine("Logging", _priced(prices.LOGS, logged * DAYS), f"{logged:,.2f} GiB a day"),
        BillLine("Scheduler, secrets, tasks", small, f"{_number(totals.tasks)} tasks a day"),
    )


def _priced(price: ListPrice, units: float) -> float:
    return price.usd * units


def _number(value: float) -> str:
    return f"{value:,.0f}"
