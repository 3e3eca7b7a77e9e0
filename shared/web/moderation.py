"""POST /moderate: a batch of pictures and videos goes in, a verdict with its receipt for each comes out (M).

And by which rules: GET /confidence-levels and /moderation-config, which are made of the profiles in force.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field, StrictBool

from shared import ids
from shared.domain.assets import is_shown_text
from shared.domain.moderation.details import Details
from shared.domain.moderation.explaining import confidence_levels, moderation_config
from shared.domain.moderation.findings import MediaKind
from shared.domain.moderation.profiles import Profile
from shared.domain.moderation.receipts import Verdict
from shared.errors import Malformed, Retryable
from shared.handlers import moderation_batch
from shared.handlers.moderation_batch import MAX_ITEMS, Answer, Batch, Item, moderate_batch
from shared.ports import Caller
from shared.web.callers import Operator

MAX_REQUEST_BYTES = 32 << 20
"""Where Cloud Run ends a request; `data:` URLs of 50 pictures may be larger than that."""

MAX_REQUESTS = 4
"""Batches at a time in one process; each has threads of its own."""

MAX_ID_CHARACTERS = 200


class MediaItem(BaseModel):
    """`url`: `https://…`, `http://…`, `data:…;base64,…` or `gs://bucket/object`. Without a `type`, the bytes tell it.

    `id`: the client's own name of the content, by which DELETE /cache/{media_id} finds it; without one, the same URL
    has the same made one each time.
    """

    url: str = Field(min_length=1)
    type: Literal["image", "video"] | None = None
    id: str | None = None


class ModerateRequest(BaseModel):
    """1 to 50 items. `strict_mode`: by the strict profile. `cache_results` false: look anew, and keep nothing."""

    media_list: list[MediaItem] = Field(min_length=1, max_length=MAX_ITEMS)
    strict_mode: StrictBool = False
    cache_results: StrictBool = True


class SeenObject(BaseModel):
    """Something in a picture."""

    name: str
    confidence: float


class SeenLabel(BaseModel):
    """What a picture is about."""

    label: str
    confidence: float


class AnalysisDetails(BaseModel):
    """The source's fields. What was `not_evaluated` is empty, UNKNOWN (level 0) or null, and never means clean."""

    safe_search: dict[str, str | int]
    detected_objects: list[SeenObject]
    faces_detected: int | None
    top_labels: list[SeenLabel]
    scene_labels: list[SeenLabel]
    detected_logos: list[str]
    not_evaluated: list[str]


class ItemError(BaseModel):
    """Why an item has no verdict; `status` is the HTTP status that it would have alone."""

    code: str
    status: int
    detail: str


class ItemReply(BaseModel):
    """One item. `status` ERROR: nobody could say; never a PASS. `confidence` (0-1): how sure the verdict is.

    `receipt` is the whole verdict. `profile` with its version judged, or would have. `cached`: the verdict was there.
    """

    media_id: str
    status: Literal["PASS", "FAIL", "ERROR"]
    confidence: float
    reasons: list[str]
    processing_time_ms: int
    analysis_details: AnalysisDetails | None
    receipt: Verdict | None
    error: ItemError | None
    cached: bool
    profile: str


class ModerateReply(BaseModel):
    """`results` in the order asked. `total_failed` counts FAIL and ERROR, `total_errors` the latter alone."""

    results: list[ItemReply]
    total_processed: int
    total_failed: int
    total_passed: int
    total_errors: int
    processing_time_ms: int


def router(deps: Callable[[], moderation_batch.Deps]) -> APIRouter:
    """The routes over these collaborators, made at the first request."""
    routes = APIRouter(tags=["moderation"])
    desk = _Desk(deps)

    @routes.post("/moderate", max_body_size=MAX_REQUEST_BYTES)
    async def moderate(asked: ModerateRequest, caller: Operator) -> ModerateReply:
        return await desk.serve(asked, caller)

    @routes.get("/confidence-levels")
    def get_confidence_levels() -> dict[str, Any]:
        profiles = deps().profiles
        return dict(confidence_levels([profiles.standard, profiles.strict]))

    @routes.get("/moderation-config")
    def get_moderation_config(strict_mode: bool = False) -> dict[str, Any]:
        return _config(deps(), strict_mode)

    return routes


class _Desk:
    """Serves batches, so many at a time, in threads of its own: a slow batch must not hold up other routes."""

    def __init__(self, deps: Callable[[], moderation_batch.Deps]) -> None:
        self._deps = deps
        self._free = threading.BoundedSemaphore(MAX_REQUESTS)
        self._threads = ThreadPoolExecutor(MAX_REQUESTS, thread_name_prefix="batch")

    async def serve(self, asked: ModerateRequest, caller: Caller) -> ModerateReply:
        items = _items(asked.media_list)
        if not self._free.acquire(blocking=False):
            raise Retryable(f"{MAX_REQUESTS} batches are under way")
        try:
            work = partial(contextvars.copy_context().run, self._moderate, items, asked, caller)
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._free.release()

    def _moderate(self, items: Sequence[Item], asked: ModerateRequest, caller: Caller) -> ModerateReply:
        began = time.monotonic()
        deps = self._deps()
        if caller.places is not None:  # which of the stored objects are of their places, their names don't tell
            deps = replace(deps, sources=replace(deps.sources, shelves=()))
        answers = moderate_batch(Batch(items, asked.strict_mode, asked.cache_results), deps)
        return _reply(answers, deps.profiles.of(strict=asked.strict_mode), time.monotonic() - began)


def _items(asked: Sequence[MediaItem]) -> list[Item]:
    """Raises `Malformed` for ids that can't be shown, or that name two items."""
    seen: set[str] = set()
    for given in (each.id for each in asked if each.id is not None):
        if not is_shown_text(given, MAX_ID_CHARACTERS):
            raise Malformed("invalid_id", f"media_list: an id must be 1 to {MAX_ID_CHARACTERS} printable characters.")
        if given in seen:
            raise Malformed("repeated_id", f"media_list: the id '{given}' is given to more than one item.")
        seen.add(given)
    return [Item(_media_id(each), each.url, MediaKind(each.type) if each.type else None) for each in asked]


def _media_id(asked: MediaItem) -> str:
    """A made one is of the URL: one that is new each time would be stored at every hit, and crowd out others."""
    return asked.id if asked.id is not None else ids.derived_uuid("media", asked.type or "", asked.url)


def _config(deps: moderation_batch.Deps, strict: bool) -> dict[str, Any]:
    profile = deps.profiles.of(strict=strict)
    found: Mapping[str, Any] = moderation_config(profile, deps.witnesses.patterns.version)
    return dict(found)


def _reply(answers: Sequence[Answer], profile: Profile, seconds: float) -> ModerateReply:
    results = [_item(answer, profile) for answer in answers]
    passed = sum(result.status == "PASS" for result in results)
    return ModerateReply(
        results=results,
        total_processed=len(results),
        total_failed=len(results) - passed,
        total_passed=passed,
        total_errors=sum(result.status == "ERROR" for result in results),
        processing_time_ms=round(seconds * 1000),
    )


def _item(answer: Answer, profile: Profile) -> ItemReply:
    made, failure = answer.moderated, answer.failure
    error = ItemError(code=failure.code, status=failure.status, detail=failure.sentence) if failure else None
    return ItemReply(
        media_id=answer.item.media_id,
        status=answer.status.value,
        confidence=made.verdict.confidence if made else 0.0,
        reasons=_reasons(answer),
        processing_time_ms=round(answer.seconds * 1000),
        analysis_details=_details(made.details) if made else None,
        receipt=made.verdict if made else None,
        error=error,
        cached=answer.cached,
        profile=f"{profile.name} {profile.version}",
    )


def _reasons(answer: Answer) -> list[str]:
    if answer.failure is not None:
        return [answer.failure.sentence]
    return list(answer.moderated.verdict.reasons) if answer.moderated else []


def _details(found: Details) -> AnalysisDetails:
    words: dict[str, str | int] = {}
    for category, word in found.safe_search.items():
        words |= {category: word.value, f"{category}_confidence": word.level}
    return AnalysisDetails(
        safe_search=words,
        detected_objects=[SeenObject(name=each.name, confidence=each.confidence) for each in found.objects],
        faces_detected=found.faces,
        top_labels=[SeenLabel(label=each.name, confidence=each.confidence) for each in found.labels],
        scene_labels=[SeenLabel(label=each.name, confidence=each.confidence) for each in found.scenes],
        detected_logos=list(found.logos),
        not_evaluated=[part.value for part in found.not_evaluated],
    )
