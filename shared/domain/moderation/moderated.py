"""The moderation of one upload: its verdict, whether that is final, and what becomes of the file (SPEC §5).

A video's verdict is *provisional* while Video Intelligence still looks at it. The file of a final FAIL goes into
quarantine, and comes out again when a replay, which is an operator's order, gives PASS:

    due ───────── copied, the asset names the copy ──▶ moved ── original deleted ──▶ held ── after its days ──▶ deleted
    release_due ─ copied, the asset names the copy ──▶ moved ── original deleted ──▶ released

The sweeper takes each step, and may repeat any.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from shared.domain import stages
from shared.domain.incidents import Priority
from shared.domain.moderation.findings import Evidence
from shared.domain.moderation.profiles import Profile
from shared.domain.moderation.receipts import Status, Verdict

ANNOTATIONS_PREFIX = "annotations/"
QUARANTINE_PREFIX = "quarantine/"
RELEASED_PREFIX = "released/"
"""Beside `media/`, so that what is moved there starts no pipeline."""

FIRST_LOOK = "first"
"""What a look is called that no replay ordered; the others are called by their replay's id."""


@dataclass(frozen=True)
class Operation:
    """A look of Video Intelligence that was started; its result will be the object `output_name`. `usd`: estimated."""

    name: str
    output_name: str
    requested_at: datetime
    witness: str
    usd: float = 0.0


@dataclass(frozen=True)
class Look:
    """What the witnesses saw of one upload for one profile, kept until the verdict is final and for replays.

    `generation` is the object's, `attempts` how often the witnesses were asked. `operation`: what was started after
    it, so that nobody starts it twice.
    """

    asset_id: str
    name: str
    generation: int
    profile_version: str
    evidence: Evidence
    attempts: int = 1
    operation: Operation | None = None


@dataclass(frozen=True)
class Moderation:
    """The verdict on an upload. `look` names the look it rests on; `reused_from` the asset whose verdict it is.

    Not `final` while `operation` runs. `strict`, `full_look`: so it was asked for. What its profile wants: `quarantine`
    of the file, and an incident of the priority `incident`.
    """

    verdict: Verdict
    decided_at: datetime
    look: str = FIRST_LOOK
    final: bool = True
    strict: bool = False
    full_look: bool = False
    operation: Operation | None = None
    reused_from: str | None = None
    quarantine: bool = False
    incident: Priority | None = None


def moderation_of(verdict: Verdict, profile: Profile, decided_at: datetime, detector: str | None = None) -> Moderation:
    """The moderation, with what the profile wants of such a verdict.

    What our own `detector` saw opens no second incident: that is what `correlate` has reported.
    """
    failed, rule = verdict.status is Status.FAIL, profile.incident
    counted = {finding.category for finding in verdict.findings if finding.counted and finding.witness != detector}
    opens = failed and rule.open and not rule.categories.isdisjoint(counted)
    return Moderation(
        verdict,
        decided_at,
        quarantine=failed and profile.quarantine,
        incident=rule.priority if opens else None,
    )


def categories_of(verdict: Verdict) -> tuple[str, ...]:
    """The categories of the findings that counted, each once, sorted."""
    return tuple(sorted({finding.category for finding in verdict.findings if finding.counted}))


class QuarantineState(StrEnum):
    """Where a flagged file is on its way; the picture at the top of this module."""

    DUE = "due"
    RELEASE_DUE = "release_due"
    MOVED = "moved"
    HELD = "held"
    RELEASED = "released"
    DELETED = "deleted"


UNSETTLED = (QuarantineState.DUE, QuarantineState.RELEASE_DUE, QuarantineState.MOVED)


@dataclass(frozen=True)
class LeftBehind:
    """The object a file was copied from, until it is deleted."""

    object_name: str
    generation: int


def quarantine_after(
    moderation: Moderation, present: QuarantineState | None, object_name: str
) -> QuarantineState | None:
    """What a final verdict makes of the quarantine of a file that is `object_name` now.

    An `ERROR` says nothing, so it changes nothing; nor is a file released because another profile does without.
    """
    inside = object_name.startswith(QUARANTINE_PREFIX)
    if not moderation.final or present is QuarantineState.DELETED:
        return present
    if moderation.verdict.status is Status.PASS:
        return QuarantineState.RELEASE_DUE if inside or present is QuarantineState.DUE else present
    if not moderation.quarantine:
        return present
    settled = present in {QuarantineState.HELD, QuarantineState.MOVED}
    return present if inside and settled else QuarantineState.DUE


def quarantine_name_of(asset_id: str) -> str:
    """The object that holds a flagged file."""
    return f"{QUARANTINE_PREFIX}{asset_id}"


def released_name_of(asset_id: str) -> str:
    """The object that holds a file that was let out of quarantine."""
    return f"{RELEASED_PREFIX}{asset_id}"


def annotation_name(asset_id: str, look: str) -> str:
    """The object in which the result of an operation will lie."""
    return f"{ANNOTATIONS_PREFIX}{asset_id}/{look}.json"


def annotation_of(object_name: str) -> tuple[str, str] | None:
    """The asset and the look that a result object belongs to; None for a name that is not made here."""
    found = _ANNOTATION.fullmatch(object_name)
    return None if found is None else (found["asset"], found["look"])


_ANNOTATION = re.compile(r"annotations/(?P<asset>[0-9a-f-]{36})/(?P<look>first|[0-9a-f-]{36})\.json")


class AnnotateSkip(StrEnum):
    """Why Video Intelligence was not asked; a failure of its own has its own code."""

    NOT_IN_DOUBT = stages.NOT_IN_DOUBT
    NOT_CONFIGURED = "not_configured"
    STILL_IMAGE = stages.STILL_IMAGE
    REUSED = stages.REUSED


SKIP_SENTENCES = {
    AnnotateSkip.NOT_IN_DOUBT: "The frames left no doubt, so Video Intelligence was not asked.",
    AnnotateSkip.NOT_CONFIGURED: "Video Intelligence is not configured, so the frames alone decided.",
    AnnotateSkip.STILL_IMAGE: "A still picture is no case for Video Intelligence.",
    AnnotateSkip.REUSED: "The verdict is that of an earlier upload of the same file.",
}
