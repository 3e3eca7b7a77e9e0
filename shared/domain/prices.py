"""What the services cost by list price, as dated entries (SPEC §1, §9). Data and lookups; no bill is made here.

An entry holds from its `since` on until a later one of the same service and unit. The date of the youngest entry in
force names the version of the table: the ledger keeps it beside each cost, so that an old estimate can be worked out
again. A correction is therefore a new entry, and none is ever changed.

No entry was read on a live page: each says in `source` which copy it is from, and `as_of` which date the copy bears.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from functools import cache

LONG_PROMPT_TOKENS = 200_000
"""Some models cost more, for the whole request, from the first token after these."""

CLOUD_RUN = "cloud-run"
VIDEO_INTELLIGENCE = "video-intelligence"
VISION = "vision"
LANGUAGE = "language"


class Unit(StrEnum):
    """What is counted."""

    INPUT = "million input tokens"
    AUDIO_INPUT = "million input tokens of sound"
    OUTPUT = "million output tokens"
    LONG_INPUT = "million input tokens of a long prompt"
    LONG_OUTPUT = "million output tokens after a long prompt"
    VCPU_SECOND = "vCPU-second"
    GIB_SECOND = "GiB-second"
    REQUEST = "million requests"
    LABEL_MINUTE = "minute of label detection (shot detection is free with it)"
    EXPLICIT_MINUTE = "minute of explicit content detection"
    TEXT_MINUTE = "minute of text detection"
    LABELLED_IMAGES = "thousand pictures with label detection (safe search is free with it)"
    SAFE_SEARCH_IMAGES = "thousand pictures with safe search alone"
    OBJECT_IMAGES = "thousand pictures with object localization"
    FACE_IMAGES = "thousand pictures with face detection"
    LOGO_IMAGES = "thousand pictures with logo detection"
    TEXT_IMAGES = "thousand pictures with text detection"
    MODERATED_HUNDRED = "hundred characters of text moderation, begun"
    SENTIMENT_THOUSAND = "thousand characters of sentiment analysis, begun"


@dataclass(frozen=True)
class Source:
    """Where a figure was read: `as_of` is the date the copy bears, None where it bears none."""

    place: str
    as_of: date | None


@dataclass(frozen=True)
class Price:
    """`usd` for one `unit` of `service`, in force from `since` on; `read` is the day on which we read `source`."""

    service: str
    unit: Unit
    usd: float
    source: Source
    since: date = date(2026, 11, 21)
    read: date = date(2026, 11, 21)


TRANSCRIPT = Source(
    "https://ai.google.dev/gemini-api/docs/pricing, as transcribed in github.com/api-evangelist/deepmind, "
    "plans/deepmind-plans-pricing.yml",
    date(2026, 10, 7),
)
COLLECTION = Source("github.com/simonw/llm-prices, data/google.json, which quotes Google's page without a date", None)
MEMORY = Source("from memory: no copy of Google's page with this figure was found", None)
CLOUD_RUN_PAGE = Source("https://cloud.google.com/run/pricing (request-based, tier 1), a stored copy", None)
CLOUD_RUN_QUOTED = Source(
    "https://cloud.google.com/run/pricing (request-based, tier 1), as quoted by "
    "https://cloudchipr.com/blog/cloud-run-pricing (of 2025)",
    None,
)
VIDEO_PAGE = Source(
    "https://cloud.google.com/video-intelligence/pricing (after 1,000 free minutes), a stored copy", None
)

VISION_PAGE = Source("https://cloud.google.com/vision/pricing (after 1,000 free units), a stored copy", None)
LANGUAGE_PAGE = Source("https://cloud.google.com/natural-language/pricing (after the free units), a stored copy", None)

NEW_YEAR = date(2027, 1, 1)

PRICES: tuple[Price, ...] = (
    Price("gemini-2.0-flash", Unit.INPUT, 0.10, COLLECTION),
    Price("gemini-2.0-flash", Unit.AUDIO_INPUT, 0.70, MEMORY),
    Price("gemini-2.0-flash", Unit.OUTPUT, 0.40, COLLECTION),
    Price("gemini-2.0-flash-lite", Unit.INPUT, 0.075, COLLECTION),
    Price("gemini-2.0-flash-lite", Unit.OUTPUT, 0.30, COLLECTION),
    Price("gemini-2.5-flash", Unit.INPUT, 0.30, TRANSCRIPT),
    Price("gemini-2.5-flash", Unit.AUDIO_INPUT, 1.00, TRANSCRIPT),
    Price("gemini-2.5-flash", Unit.OUTPUT, 2.50, COLLECTION),
    Price("gemini-2.5-flash-lite", Unit.INPUT, 0.10, COLLECTION),
    Price("gemini-2.5-flash-lite", Unit.AUDIO_INPUT, 0.30, MEMORY),
    Price("gemini-2.5-flash-lite", Unit.OUTPUT, 0.40, TRANSCRIPT),
    Price("gemini-2.5-pro", Unit.INPUT, 1.25, TRANSCRIPT),
    Price("gemini-2.5-pro", Unit.LONG_INPUT, 2.50, TRANSCRIPT),
    Price("gemini-2.5-pro", Unit.OUTPUT, 10.00, COLLECTION),
    Price("gemini-2.5-pro", Unit.LONG_OUTPUT, 15.00, COLLECTION),
    Price("gemini-3.1-pro-preview", Unit.INPUT, 2.00, TRANSCRIPT),
    Price("gemini-3.1-pro-preview", Unit.LONG_INPUT, 4.00, TRANSCRIPT),
    Price("gemini-3.1-pro-preview", Unit.OUTPUT, 12.00, TRANSCRIPT),
    Price("gemini-3.1-pro-preview", Unit.LONG_OUTPUT, 18.00, TRANSCRIPT),
    Price("gemini-3.5-flash", Unit.INPUT, 1.50, TRANSCRIPT),
    Price("gemini-3.5-flash", Unit.OUTPUT, 9.00, TRANSCRIPT),
    Price("gemini-3.5-flash-lite", Unit.INPUT, 0.30, TRANSCRIPT),
    Price("gemini-3.5-flash-lite", Unit.OUTPUT, 2.50, TRANSCRIPT),
    Price("gemini-3.8-flash", Unit.INPUT, 0.75, TRANSCRIPT),
    Price("gemini-3.8-flash", Unit.OUTPUT, 3.75, TRANSCRIPT),
    Price("gemini-3.8-flash", Unit.INPUT, 1.50, TRANSCRIPT, since=NEW_YEAR),
    Price("gemini-3.8-flash", Unit.OUTPUT, 7.50, TRANSCRIPT, since=NEW_YEAR),
    Price(CLOUD_RUN, Unit.VCPU_SECOND, 0.000024, CLOUD_RUN_PAGE),
    Price(CLOUD_RUN, Unit.GIB_SECOND, 0.0000025, CLOUD_RUN_QUOTED),
    Price(CLOUD_RUN, Unit.REQUEST, 0.40, CLOUD_RUN_QUOTED),
    Price(VIDEO_INTELLIGENCE, Unit.LABEL_MINUTE, 0.10, VIDEO_PAGE),
    Price(VIDEO_INTELLIGENCE, Unit.EXPLICIT_MINUTE, 0.10, VIDEO_PAGE),
    Price(VIDEO_INTELLIGENCE, Unit.TEXT_MINUTE, 0.15, VIDEO_PAGE),
    Price(VISION, Unit.LABELLED_IMAGES, 1.50, VISION_PAGE),
    Price(VISION, Unit.SAFE_SEARCH_IMAGES, 1.50, VISION_PAGE),
    Price(VISION, Unit.OBJECT_IMAGES, 2.25, VISION_PAGE),
    Price(VISION, Unit.FACE_IMAGES, 1.50, VISION_PAGE),
    Price(VISION, Unit.LOGO_IMAGES, 1.50, VISION_PAGE),
    Price(VISION, Unit.TEXT_IMAGES, 1.50, VISION_PAGE),
    Price(LANGUAGE, Unit.MODERATED_HUNDRED, 0.0005, LANGUAGE_PAGE),
    Price(LANGUAGE, Unit.SENTIMENT_THOUSAND, 0.001, LANGUAGE_PAGE),
)

MODELS = frozenset(price.service for price in PRICES if price.unit is Unit.INPUT)


@dataclass(frozen=True)
class TokenPrices:
    """USD for a million tokens. `assumed`: the model has no entry, so these are the dearest of all that have one."""

    input: float
    audio_input: float
    output: float
    assumed: bool = False


def table_date(at: datetime) -> date:
    """Which version of the table is in force at `at`: the date of its youngest entry then."""
    return _version(_day(at))


def price(service: str, unit: Unit, at: datetime) -> float:
    """The list price in force at `at`; of a time before the first entry, the first. Raises `KeyError`."""
    usd = _in_force(service, unit, _day(at))
    if usd is None:
        raise KeyError(f"{service} has no price for a {unit}")
    return usd


def token_prices(model: str, prompt_tokens: int, at: datetime) -> TokenPrices:
    """What `model` charges for a request of `prompt_tokens`; a model without an entry is taken for the dearest."""
    long, day = prompt_tokens > LONG_PROMPT_TOKENS, _day(at)
    known = known_model(model)
    if known is not None:
        return _prices_of(known, long, day)
    all_known = [_prices_of(each, long, day) for each in MODELS]
    return TokenPrices(
        input=max(each.input for each in all_known),
        audio_input=max(each.audio_input for each in all_known),
        output=max(each.output for each in all_known),
        assumed=True,
    )


def known_model(model: str) -> str | None:
    """The entry that a model's name stands for: a path before it, and a version or preview after it, do not matter."""
    name = model.rsplit("/", 1)[-1]
    if name in MODELS:
        return name
    bare = _VERSION.sub("", name)
    return bare if bare in MODELS else None


_VERSION = re.compile(r"(-\d{3}|-preview(-\d\d-\d\d(\d\d)?)?)$")


@cache
def _prices_of(model: str, long: bool, day: date) -> TokenPrices:
    input_usd = _in_force(model, Unit.INPUT, day) or 0.0
    output_usd = _in_force(model, Unit.OUTPUT, day) or 0.0
    audio_usd = _in_force(model, Unit.AUDIO_INPUT, day) or input_usd
    if not long:
        return TokenPrices(input_usd, audio_usd, output_usd)
    long_input = _in_force(model, Unit.LONG_INPUT, day) or input_usd
    return TokenPrices(long_input, max(audio_usd, long_input), _in_force(model, Unit.LONG_OUTPUT, day) or output_usd)


@cache
def _in_force(service: str, unit: Unit, day: date) -> float | None:
    entries = sorted((e for e in PRICES if (e.service, e.unit) == (service, unit)), key=lambda entry: entry.since)
    begun = [entry for entry in entries if entry.since <= day]
    chosen = begun[-1:] or entries[:1]
    return chosen[0].usd if chosen else None


@cache
def _version(day: date) -> date:
    dates = sorted({entry.since for entry in PRICES})
    return max((since for since in dates if since <= day), default=dates[0])


def _day(at: datetime) -> date:
    return at.astimezone(UTC).date()
