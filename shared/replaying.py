"""What a replay's end writes: its outcome beside the asset's new state, in the commit that settles the stage.

While it runs, and when it fails, only the replay's own document says so: the asset keeps the result it had.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from shared.domain.replays import is_announced, replaces_result, verdict_of
from shared.domain.stages import StageRecord, StageState
from shared.ports import Documents, Write
from shared.repositories import assets, replays


@dataclass(frozen=True)
class Settlement:
    """What is committed with the end of a run, and whether its messages are published."""

    writes: tuple[Write, ...]
    announced: bool


def settle_replay(
    documents: Documents, replay_id: str, asset_id: str, ended: StageRecord, writes: Sequence[Write]
) -> Settlement:
    """The settlement of a run that `ended` so and wants `writes`.

    "New" is worked out from these writes, not read back later: by then another replay may have written. "Old" is what
    they replace, which may be younger than the order. Raises `NotFound`.
    """
    replay = replays.get(documents, asset_id, replay_id)
    if not replaces_result(ended):
        return Settlement((replays.record_update(replay_id, ended),), announced=False)
    slot = replays.held_slot(documents, replay)
    if slot is None:
        return Settlement((replays.record_update(replay_id, _superseded(ended)),), announced=False)
    # Their own first: a version that one of them names is that of the asset as it was read.
    changes = [*writes, assets.stage_update(asset_id, replay.stage, ended)]
    before, after = assets.before_and_after(documents, asset_id, changes)
    old, new = verdict_of(before, replay.stage), verdict_of(after, replay.stage)
    outcome = replays.settlement(replay_id, ended, old, new)
    announced = is_announced(replay.stage, old.record)
    # The stages behind a first result have yet to run: until they have, the sweeper must look at the asset again.
    reopened = (assets.reopening(asset_id),) if announced else ()
    return Settlement((*changes, *reopened, outcome, slot), announced)


def _superseded(ended: StageRecord) -> StageRecord:
    sentence = "A later replay of this asset was let in before this one ended, so it changed nothing."
    return replace(ended, state=StageState.FAILED, error_code="superseded", error_message=sentence)
