"""Quarantine, operations and annotations: what is decided, without any store."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from shared.domain.assets import begins_like_a_picture
from shared.domain.moderation.annotations import evidence_of_annotation
from shared.domain.moderation.findings import Evidence, MediaKind, Part, combined
from shared.domain.moderation.moderated import (
    FIRST_LOOK,
    Moderation,
    QuarantineState,
    annotation_name,
    annotation_of,
    moderation_of,
    quarantine_after,
    quarantine_name_of,
    released_name_of,
)
from shared.domain.moderation.operations import LONGEST_OPERATION, OperationReason, Waiting, decide_operation
from shared.domain.moderation.receipts import Status
from shared.domain.moderation.verdicts import judge
from shared.policies import load_profile
from shared.ports import OperationState, Spotted, VideoAnnotation
from tests.fakes import NOON

BALANCED = load_profile("balanced")
GRACE = timedelta(minutes=5)
ASSET = "01234567-89ab-4cde-8f01-23456789abcd"
OUTSIDE, INSIDE, RELEASED = f"media/{ASSET}", quarantine_name_of(ASSET), released_name_of(ASSET)
DUE, RELEASE_DUE, MOVED = QuarantineState.DUE, QuarantineState.RELEASE_DUE, QuarantineState.MOVED
HELD, LET_OUT, DELETED = QuarantineState.HELD, QuarantineState.RELEASED, QuarantineState.DELETED


def moderation(status: Status, *, quarantine: bool = True, final: bool = True) -> Moderation:
    verdict = replace(judge(Evidence(MediaKind.VIDEO), BALANCED), status=status)
    return Moderation(verdict, NOON, final=final, quarantine=quarantine and status is Status.FAIL)


@pytest.mark.parametrize(
    ("status", "present", "object_name", "after"),
    [
        (Status.PASS, None, OUTSIDE, None),
        (Status.FAIL, None, OUTSIDE, DUE),
        (Status.FAIL, DUE, OUTSIDE, DUE),
        (Status.FAIL, MOVED, INSIDE, MOVED),
        (Status.FAIL, HELD, INSIDE, HELD),
        (Status.FAIL, RELEASE_DUE, INSIDE, DUE),
        (Status.FAIL, MOVED, RELEASED, DUE),
        (Status.FAIL, LET_OUT, RELEASED, DUE),
        (Status.FAIL, DELETED, INSIDE, DELETED),
        (Status.PASS, DUE, OUTSIDE, RELEASE_DUE),
        (Status.PASS, MOVED, INSIDE, RELEASE_DUE),
        (Status.PASS, HELD, INSIDE, RELEASE_DUE),
        (Status.PASS, LET_OUT, RELEASED, LET_OUT),
        (Status.PASS, DELETED, INSIDE, DELETED),
        (Status.ERROR, None, OUTSIDE, None),
        (Status.ERROR, HELD, INSIDE, HELD),
    ],
)
def test_what_a_final_verdict_makes_of_the_quarantine(
    status: Status, present: QuarantineState | None, object_name: str, after: QuarantineState | None
) -> None:
    assert quarantine_after(moderation(status), present, object_name) is after


def test_a_verdict_that_is_not_final_moves_nothing() -> None:
    assert quarantine_after(moderation(Status.FAIL, final=False), None, OUTSIDE) is None


def test_a_profile_without_quarantine_neither_takes_nor_releases() -> None:
    failed = moderation(Status.FAIL, quarantine=False)
    assert quarantine_after(failed, None, OUTSIDE) is None
    assert quarantine_after(failed, HELD, INSIDE) is HELD


def test_results_are_named_by_asset_and_look_and_nothing_else_is_taken_for_one() -> None:
    for look in (FIRST_LOOK, "89abcdef-0123-4567-89ab-cdef01234567"):
        assert annotation_of(annotation_name(ASSET, look)) == (ASSET, look)
    for name in (f"annotations/{ASSET}/other.json", f"annotations/{ASSET}/first.json/x", "annotations/../first.json"):
        assert annotation_of(name) is None


@pytest.mark.parametrize(
    ("waiting", "reason"),
    [
        (Waiting(NOON, ended=True), OperationReason.STAGE_ENDED),
        (Waiting(NOON, claimed=True, state=OperationState.FAILED), OperationReason.STAGE_AT_WORK),
        (Waiting(NOON, result_at=NOON, state=OperationState.LOST), OperationReason.RESULT_UNHEARD),
        (Waiting(NOON, result_at=NOON + timedelta(minutes=9)), OperationReason.TOO_EARLY),
        (Waiting(NOON + timedelta(minutes=9), state=OperationState.LOST), OperationReason.TOO_EARLY),
        (Waiting(NOON, state=OperationState.LOST), OperationReason.LOST),
        (Waiting(NOON, state=OperationState.FAILED), OperationReason.FAILED),
        (Waiting(NOON, state=OperationState.SUCCEEDED), OperationReason.NO_RESULT),
        (Waiting(NOON, state=OperationState.RUNNING), OperationReason.RUNNING),
        (Waiting(NOON), OperationReason.RUNNING),
        (Waiting(NOON - LONGEST_OPERATION, state=OperationState.RUNNING), OperationReason.TIMED_OUT),
        (Waiting(NOON - LONGEST_OPERATION), OperationReason.TIMED_OUT),
    ],
)
def test_a_verdict_that_waits(waiting: Waiting, reason: OperationReason) -> None:
    now: datetime = NOON + timedelta(minutes=10)
    assert decide_operation(waiting, now, GRACE) is reason


def test_what_makes_the_frames_verdict_final() -> None:
    finalising = {reason for reason in OperationReason if reason.finalises}
    assert finalising == {
        OperationReason.STAGE_ENDED,
        OperationReason.FAILED,
        OperationReason.LOST,
        OperationReason.NO_RESULT,
        OperationReason.TIMED_OUT,
    }


def test_an_annotation_is_evidence_with_what_failed_as_gaps() -> None:
    found = VideoAnnotation(
        explicit=(Spotted("LIKELY", 0.0, 1.0, 1.5), Spotted("UNKNOWN", 0.0, 2.0, 2.5), Spotted("nonsense", 1.0, 0, 1)),
        labels=(Spotted("Gun", 0.9, 0.0, 3.0),),
        shots=7,
        problems={"texts": "The service failed to read text.", "unheard of": "Nobody knows."},
    )
    seen = evidence_of_annotation(found, "video-1", 0.35)
    assert [(each.part, each.name, each.confidence) for each in seen.sightings] == [
        (Part.OBJECTS, "Gun", 0.9),
        (Part.LABELS, "Gun", 0.9),
        (Part.ADULT, "adult", 0.8),
    ]
    assert seen.shots is not None
    assert seen.shots.number == 7
    assert dict(seen.coverage) == {Part.ADULT: 1.0, Part.OBJECTS: 1.0, Part.LABELS: 1.0, Part.SHOTS: 1.0}
    assert {gap.part for gap in seen.gaps} == {Part.PATTERNS, Part.CATEGORIES, Part.SENTIMENT}
    assert (seen.witnesses, seen.cost_usd) == (("video-1",), 0.35)


def test_what_was_annotated_of_a_part_of_the_video_counts_and_covers_nothing() -> None:
    found = VideoAnnotation(
        explicit=(Spotted("LIKELY", 0.8, 1.0, 1.0),), shots=2, problems={"explicit": "Only a part of the video."}
    )
    seen = evidence_of_annotation(found, "video-1", 0.35)
    assert dict(seen.coverage) == {Part.SHOTS: 1.0}
    assert [each.name for each in seen.sightings] == ["adult"]
    assert Part.ADULT in {gap.part for gap in combined(Evidence(MediaKind.VIDEO), seen).gaps}


def test_nothing_annotated_covers_nothing() -> None:
    assert evidence_of_annotation(VideoAnnotation(), "video-1", 0.0).coverage == {}


def test_what_our_detector_saw_opens_no_second_incident() -> None:
    found = VideoAnnotation(explicit=(), labels=(Spotted("Gun", 0.9, 0.0, 3.0),), shots=1, texts=())
    verdict = judge(evidence_of_annotation(found, "video-1", 0.0), BALANCED)
    assert verdict.status is Status.FAIL
    assert moderation_of(verdict, BALANCED, NOON).incident is BALANCED.incident.priority
    assert moderation_of(verdict, BALANCED, NOON, detector="video-1").incident is None
    closed = replace(BALANCED, incident=replace(BALANCED.incident, open=False))
    assert moderation_of(verdict, closed, NOON).incident is None


@pytest.mark.parametrize(
    ("head", "picture"),
    [
        (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01", True),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\r", True),
        (b"GIF89a\x01\x00\x01\x00\x00\x00", True),
        (b"RIFF\x24\x00\x00\x00WEBP", True),
        (b"RIFF\x24\x00\x00\x00AVI ", False),
        (b"BM\x36\x00\x00\x00\x00\x00\x00\x00\x36\x00", True),
        (b"II*\x00\x08\x00\x00\x00\x00\x00\x00\x00", True),
        (b"\x00\x00\x00\x20ftypisom", False),
        (b"\x1a\x45\xdf\xa3\x01\x00\x00\x00\x00\x00\x00\x1f", False),
        (b"", False),
    ],
)
def test_a_picture_is_known_by_its_first_bytes(head: bytes, picture: bool) -> None:
    assert begins_like_a_picture(head) is picture
