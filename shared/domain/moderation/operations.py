"""What the sweeper does about a verdict that waits for Video Intelligence: pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from shared.ports import OperationState

LONGEST_OPERATION = timedelta(hours=6)
"""After that an operation is given up: Video Intelligence takes minutes, for the longest videos a few hours."""


class OperationReason(StrEnum):
    """Why a provisional verdict is left alone, its result announced again, or made final as it is."""

    TOO_EARLY = "too_early"
    STAGE_AT_WORK = "stage_at_work"
    RUNNING = "running"
    RESULT_UNHEARD = "result_unheard"
    STAGE_ENDED = "stage_ended"
    FAILED = "operation_failed"
    LOST = "operation_lost"
    NO_RESULT = "no_result"
    TIMED_OUT = "operation_timed_out"

    @property
    def finalises(self) -> bool:
        """Whether the verdict of the frames becomes final."""
        return self is OperationReason.STAGE_ENDED or self in SENTENCES


SENTENCES: Mapping[OperationReason, str] = {
    OperationReason.FAILED: "Video Intelligence could not look at the video; the verdict is that of its frames.",
    OperationReason.LOST: "Video Intelligence knows nothing of the operation; the verdict is that of the frames.",
    OperationReason.NO_RESULT: "Video Intelligence ended without a result; the verdict is that of the frames.",
    OperationReason.TIMED_OUT: "Video Intelligence took longer than 6 hours; the verdict is that of the frames.",
}


@dataclass(frozen=True)
class Waiting:
    """How things stand with a provisional verdict.

    `ended`: the stage has. `claimed`: there is work for the result. `result_at`: when the result object was written.
    `state`: what the service says of the operation, None where it was not asked or did not answer.
    """

    requested_at: datetime
    ended: bool = False
    claimed: bool = False
    result_at: datetime | None = None
    state: OperationState | None = None


_ENDS: Mapping[OperationState, OperationReason] = {
    OperationState.FAILED: OperationReason.FAILED,
    OperationState.LOST: OperationReason.LOST,
    OperationState.SUCCEEDED: OperationReason.NO_RESULT,
}


def decide_operation(waiting: Waiting, now: datetime, grace: timedelta) -> OperationReason:
    """What to do now. A result that is there counts for more than what the service says of the operation."""
    if waiting.ended:
        return OperationReason.STAGE_ENDED
    if waiting.claimed:
        return OperationReason.STAGE_AT_WORK
    if waiting.result_at is not None:
        return OperationReason.RESULT_UNHEARD if waiting.result_at + grace <= now else OperationReason.TOO_EARLY
    if waiting.requested_at + grace > now:
        return OperationReason.TOO_EARLY
    if waiting.state is not None and waiting.state in _ENDS:
        return _ENDS[waiting.state]
    return OperationReason.TIMED_OUT if waiting.requested_at + LONGEST_OPERATION <= now else OperationReason.RUNNING
