"""The stage that lets a context model describe the video: objects, emotions, scenes, two sentences, a threat level (V).

An extra. Whatever goes wrong with it is written into the ledger and ends the stage at the latest with its last
attempt; the analysis completes without it and says so. An answer that was blocked, empty or unreadable is never taken
for "clean".
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial

from shared.delivery import Attempt, Consumer, Outcome, Work, work_for
from shared.domain.assets import Asset
from shared.domain.context import PROMPT, RESPONSE_SCHEMA, Context
from shared.domain.moderation.findings import MediaKind
from shared.domain.reuse import ReuseMode, may_share_context
from shared.domain.stages import STILL_IMAGE, Stage, StageState
from shared.errors import AnalyserFailed, BudgetExhausted, NotReady, Retryable
from shared.handlers import describing
from shared.handlers.spending import Spending
from shared.messages import MediaDescribed, MediaDetected, decode
from shared.ports import Blobs, ContactSheets, ContextModel, ContextRequest, Documents
from shared.repositories import assets

log = logging.getLogger(__name__)

NO_MODEL = "GEMINI_MODEL is none, so Gemini was not asked."
STILL_SENTENCE = "Gemini describes videos; this is a still picture."

CONTENT_TYPES = {
    "mp4": "video/mp4",
    "mov": "video/quicktime",
    "matroska": "video/x-matroska",
    "webm": "video/webm",
    "avi": "video/avi",
}
"""What a container is called on the way to the model: what it is, not what the client said it was."""


@dataclass(frozen=True)
class Deps:
    """What context needs of the world. `model` None: none is configured, and `why_no_model` says why."""

    documents: Documents
    media: Blobs
    model: ContextModel | None
    sheets: ContactSheets
    spending: Spending
    why_no_model: str = ""
    reuse: ReuseMode = ReuseMode.SIMILAR


def prepare(message: MediaDetected, _: Deps) -> Work | None:
    """The piece of work of this object's generation."""
    return work_for(message, Stage.CONTEXT)


def handle(message: MediaDetected, deps: Deps, attempt: Attempt) -> Outcome:
    """Asks the model, as closely as the budget allows.

    Raises `Retryable` where asking again later is worth it, and `NotReady` without facts.
    """
    if message.kind is MediaKind.IMAGE:
        return Outcome(state=StageState.SKIPPED, error_code=STILL_IMAGE, error_message=STILL_SENTENCE)
    if deps.model is None:
        return Outcome(state=StageState.SKIPPED, error_code="not_configured", error_message=deps.why_no_model)
    asset = assets.get(deps.documents, attempt.asset_id)
    earlier = None if message.replay else _said_before(asset, deps.model, deps)
    if earlier is not None and earlier.context is not None:
        return _described(asset, message, earlier.context, earlier.id)
    try:
        asking = describing.Deps(deps.media, deps.model, deps.sheets, deps.spending)
        context = describing.describe(asset, _request(asset, message), asking, attempt)
    except AnalyserFailed as error:
        return _given_up(error, attempt, deps.model)
    return _described(asset, message, context)


def _said_before(asset: Asset, model: ContextModel, deps: Deps) -> Asset | None:
    """The earlier upload whose context is this one's too: of the same model, which looked as closely as it can."""
    seen = asset.seen_before
    earlier = None if seen is None else assets.find(deps.documents, seen.asset_id)
    if earlier is None or earlier.context is None or not may_share_context(asset, earlier, deps.reuse):
        return None
    same = (earlier.context.model, earlier.context.depth) == (model.name, next(iter(model.depths), None))
    done = assets.stage_record(earlier, Stage.CONTEXT).state is StageState.DONE
    return earlier if same and done else None


def _described(asset: Asset, message: MediaDetected, context: Context, reused_from: str | None = None) -> Outcome:
    described = MediaDescribed(
        asset_id=asset.id,
        bucket=message.bucket,
        object_name=message.object_name,
        generation=message.generation,
        objects=context.objects,
        emotions=context.emotions,
        scenes=context.scenes,
        description=context.description,
        threat_level=context.threat_level,
        model=context.model,
    )
    return Outcome(
        writes=(assets.context_update(asset.id, context),),
        messages=(described,),
        version=context.model,
        reused_from=reused_from,
    )


def _request(asset: Asset, message: MediaDetected) -> ContextRequest:
    if asset.facts is None:
        raise NotReady("no_facts", "The upload was never identified.")
    return ContextRequest(
        object_name=message.object_name,
        generation=message.generation,
        content_type=CONTENT_TYPES.get(asset.facts.container, "video/mp4"),
        size=asset.facts.size,
        duration=asset.facts.duration,
        prompt=PROMPT,
        schema=RESPONSE_SCHEMA,
    )


def _given_up(error: AnalyserFailed, attempt: Attempt, model: ContextModel) -> Outcome:
    if attempt.number < error.tries and not attempt.is_last:
        raise Retryable(f"context: {error}") from error
    log.warning("no context: %s", error)
    state = StageState.SKIPPED if isinstance(error, BudgetExhausted) else StageState.FAILED
    return Outcome(state=state, version=model.name, error_code=error.code, error_message=error.sentence)


consumer: Consumer[MediaDetected, Deps] = Consumer(Stage.CONTEXT, partial(decode, MediaDetected), prepare, handle)
