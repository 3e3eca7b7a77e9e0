"""The fan-in: once every stage of an asset has ended, in whatever order, that is said exactly once.

Whoever ends a stage looks, after its own commit, whether it was the last. Reads see every commit that returned before,
so of stages that end together at least one sees all of them; several may, and the first to create the piece of work
that stands for this end of the ledger wins. Its message lies in that piece's outbox, so that a death between the two
is mended as any other. A stage that runs again (a replay, a dead letter) gives the ledger another end, and another
message.
"""

from __future__ import annotations

import hashlib
import json
import logging
from datetime import datetime

from shared import ids
from shared.domain.analysis import analysis_of, attention_of, cost_of
from shared.domain.assets import Asset
from shared.domain.stages import Stage, WorkRecord, WorkState, asset_state, is_complete, missing, whole_ledger
from shared.errors import AlreadyExists, Retryable, VersionConflict
from shared.messages import MediaAnalysed
from shared.outbox import outbox_of, publish_outbox, publish_saved
from shared.ports import Bus, Clock, Documents
from shared.repositories import assets, work

log = logging.getLogger(__name__)

MAX_CONFLICTS = 50
"""Changes of an asset while its end is announced, before that gives way to a redelivery."""


def announce_if_complete(documents: Documents, bus: Bus, clock: Clock, asset_id: str) -> bool:
    """Publishes `media-analysed.v1` if the asset is complete and nobody has said so yet; whether this call did.

    Raises `Retryable`; repeating it is harmless.
    """
    for _ in range(MAX_CONFLICTS):
        asset, version = assets.find_with_version(documents, asset_id)
        if asset is None or not is_complete(asset.stages):
            return False
        key = completion_key(asset)
        now = clock.now()
        outbox = outbox_of(key, [_announcement(asset)], now)
        record = WorkRecord(WorkState.DONE, ids.new_uuid(), 1, now, published=False)
        try:
            documents.commit([work.finished(key, record, outbox), assets.completion(asset.id, version)])
        except AlreadyExists:
            return publish_saved(documents, bus, key)  # whoever was first may have died in between
        except VersionConflict:
            continue  # a stage was claimed again meanwhile: to call that complete would hide it from the sweeper
        publish_outbox(documents, bus, key, outbox)
        _log_first_end(asset, now)
        return True
    raise Retryable("the asset changed each time its end was to be announced")


def completion_key(asset: Asset) -> str:
    """The same for everybody who sees the same end of the same ledger: each run of a stage has its own beginning."""
    ends = [(stage, record.state, str(record.started)) for stage, record in whole_ledger(asset.stages).items()]
    return hashlib.sha256(json.dumps([asset.id, "analysed", ends]).encode()).hexdigest()


def _log_first_end(asset: Asset, now: datetime) -> None:
    """How long a client waited for the whole, from the upload on; what a replay adds nobody waited for."""
    began = asset.stages[Stage.INGEST].started if Stage.INGEST in asset.stages else None
    if began is not None and not asset.complete:
        log.info("analysed in %.1f s for %.6f USD", (now - began).total_seconds(), cost_of(asset))


def _announcement(asset: Asset) -> MediaAnalysed:
    data = analysis_of(asset)
    return MediaAnalysed(
        asset_id=asset.id,
        object_name=asset.object_name,
        generation=asset.generation,
        state=asset_state(asset.stages),
        overall_risk=data["overallRisk"],
        confidence=data["confidence"],
        attention=attention_of(asset),
        missing={stage.value: record.error_code or record.state for stage, record in missing(asset.stages).items()},
        cost_usd=cost_of(asset),
    )
