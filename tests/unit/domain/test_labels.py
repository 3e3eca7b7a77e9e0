"""Which label follows from a verdict and what a person says of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.assets import Detection
from shared.domain.detections import Segment
from shared.domain.labels import MAX_COMMENT_CHARACTERS, Accuracy, Label, check_comments, label_of
from shared.errors import Malformed

FOUND = Detection((Segment(0, 2, 0.9, "violence"),), 0.9, 2.0, truncated=False, model="m-1")
NOTHING = Detection((), 0.4, 2.0, truncated=False, model="m-1")


@pytest.mark.parametrize(
    ("detection", "accuracy", "label"),
    [
        (FOUND, Accuracy.ACCURATE, Label.VIOLENCE),
        (FOUND, Accuracy.FALSE_POSITIVE, Label.CALM),
        (NOTHING, Accuracy.ACCURATE, Label.CALM),
        (NOTHING, Accuracy.FALSE_NEGATIVE, Label.VIOLENCE),
    ],
)
def test_the_label_is_what_the_video_shows(detection: Detection, accuracy: Accuracy, label: Label) -> None:
    assert label_of(detection, accuracy) is label


@pytest.mark.parametrize(
    ("detection", "accuracy", "sentence"),
    [
        (FOUND, Accuracy.FALSE_NEGATIVE, "It can't be a false negative: something was detected in this video."),
        (NOTHING, Accuracy.FALSE_POSITIVE, "It can't be a false positive: nothing was detected in this video."),
    ],
)
def test_what_contradicts_the_verdict_is_refused(detection: Detection, accuracy: Accuracy, sentence: str) -> None:
    with pytest.raises(Malformed) as refused:
        label_of(detection, accuracy)
    assert refused.value.sentence == sentence


@pytest.mark.parametrize("comments", ["", "Two boys play.\r\nNobody is hurt.\n\t- a parent", "Ça va ✓", "x" * 2000])
def test_comments_may_have_line_breaks(comments: str) -> None:
    check_comments(comments)


@pytest.mark.parametrize("comments", ["x" * 2001, "bell\x07", "null\x00", "half \ud800", "right\u202eleft", "\x1b[31m"])
def test_comments_that_cannot_be_kept_or_shown_are_refused(comments: str) -> None:
    with pytest.raises(Malformed):
        check_comments(comments)


@given(st.text(max_size=2 * MAX_COMMENT_CHARACTERS))
def test_what_is_accepted_can_be_stored_and_shown(comments: str) -> None:
    try:
        check_comments(comments)
    except Malformed:
        return
    assert len(comments.encode()) <= 4 * MAX_COMMENT_CHARACTERS
    assert all(character.isprintable() or character in "\r\n\t" for character in comments)
