"""What a piece of work is estimated to cost: the time of a function's instance, and the tokens of a context model.

All estimates lean to the dear side: an instance that serves several requests at once is counted for each of them, and a
video is taken to have sound. The embedded home runs on a machine that is paid anyway: no machine, no cost.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.domain.prices import CLOUD_RUN, Unit, price, token_prices
from shared.ports import ContextAnswer, Depth

# --------------------------------------------------------------------------- computing

BILLED_SECONDS = 0.1
"""Instance time is rounded up to this."""


@dataclass(frozen=True)
class Machine:
    """What an instance of a function is given: `cpu` in vCPU, `memory` in MiB."""

    cpu: float
    memory: float


def compute_cost(seconds: float, machine: Machine | None, at: datetime) -> float:
    """USD for one request that takes `seconds`; 0 without a machine that is billed."""
    if machine is None:
        return 0.0
    billed = math.ceil(round(max(seconds, 0.0) / BILLED_SECONDS, 6)) * BILLED_SECONDS
    a_second = machine.cpu * price(CLOUD_RUN, Unit.VCPU_SECOND, at)
    a_second += machine.memory / 1024 * price(CLOUD_RUN, Unit.GIB_SECOND, at)
    return billed * a_second + price(CLOUD_RUN, Unit.REQUEST, at) / 1e6


# --------------------------------------------------------------------------- tokens

INPUT_TOKEN_LIMIT = 1_000_000
"""What the Gemini models read at once (https://ai.google.dev/gemini-api/docs/tokens)."""

VIDEO_TOKENS: Mapping[Depth, int] = {Depth.VIDEO: 300, Depth.VIDEO_LOW: 100}
"""A second of video with sound, as https://ai.google.dev/gemini-api/docs/video-understanding sums it up: one frame (258
tokens, at low resolution 66), 32 of sound, and its time. Read in quotations of that page, of 2025-09-24 and later."""

AUDIO_TOKENS = 32
"""Of these, a second of sound, which some models charge more for."""

TILE_TOKENS = 258
SMALL_IMAGE_PIXELS = 384
"""A picture up to this on both sides is one tile."""

STILLS_PIXELS = (1320, 644)
"""A contact sheet of twelve pictures."""

OUTPUT_TOKENS = 2_000
"""An assumption until a model said how many: about 300 for the answer, the rest for what it thinks before, which is
billed as output."""

CHARACTERS_A_TOKEN = 4


@dataclass(frozen=True)
class Tokens:
    """What one question takes: `audio` is a part of `input`."""

    input: int
    output: int
    audio: int = 0


@dataclass(frozen=True)
class Cost:
    """An estimate in USD. `note` says what had to be assumed."""

    usd: float
    note: str | None = None


def image_tokens(width: int, height: int) -> int:
    """The tokens of one picture: tiles about two thirds as wide as its shorter side, at most 768 pixels, 258 each."""
    if max(width, height) <= SMALL_IMAGE_PIXELS:
        return TILE_TOKENS
    tile = min(max(math.floor(min(width, height) / 1.5), 256), 768)
    return math.ceil(width / tile) * math.ceil(height / tile) * TILE_TOKENS


def estimated_tokens(depth: Depth, duration: float, prompt: str) -> Tokens:
    """What asking about `duration` seconds at `depth` is expected to take."""
    text = math.ceil(len(prompt) / CHARACTERS_A_TOKEN)
    if depth is Depth.STILLS:
        return Tokens(text + image_tokens(*STILLS_PIXELS), OUTPUT_TOKENS)
    seconds = math.ceil(max(duration, 0.0))
    return Tokens(text + seconds * VIDEO_TOKENS[depth], OUTPUT_TOKENS, seconds * AUDIO_TOKENS)


def question_cost(model: str, tokens: Tokens, at: datetime) -> Cost:
    """USD for one question."""
    prices = token_prices(model, tokens.input, at)
    audio = min(tokens.audio, tokens.input)
    silent = tokens.input - audio
    usd = (silent * prices.input + audio * prices.audio_input + tokens.output * prices.output) / 1e6
    note = f"No list price of {model} is known; that of the dearest known model was taken." if prices.assumed else None
    return Cost(usd, note)


def answer_cost(answer: ContextAnswer, expected: Tokens, at: datetime) -> Cost:
    """USD for an answer by what the model counted; what it did not count is taken as expected."""
    counted = Tokens(_counted(answer.input_tokens, expected.input), _counted(answer.output_tokens, expected.output))
    cost = question_cost(answer.model, Tokens(counted.input, counted.output, expected.audio), at)
    if answer.input_tokens is not None and answer.output_tokens is not None:
        return cost
    note = "The model did not say how many tokens it took; they were estimated."
    return Cost(cost.usd, f"{note} {cost.note}" if cost.note else note)


def _counted(said: int | None, expected: int) -> int:
    return expected if said is None else max(said, 0)


NOT_BILLED = frozenset({"not_permitted", "quota_exceeded", "refused", "too_large_for_model", "unavailable"})
"""Codes of `AnalyserFailed` with which the service refused before it looked. Every other failure (blocked, empty, too
slow, ...) may be on the bill, and is estimated as a whole question."""
