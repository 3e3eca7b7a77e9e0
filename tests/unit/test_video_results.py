"""What Video Intelligence writes, read as it arrives: spellings, what is missing, what is hostile, what it costs."""

from __future__ import annotations

import io
import itertools
import json
import random
from collections.abc import Iterator
from typing import Any

import ijson
import psutil
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.adapters.google.analyser_calls import LIKELIHOODS
from shared.adapters.google.video_results import _CONFIDENCES, KEPT, KEPT_TEXTS, MAX_NAME, read_result
from shared.domain.moderation.findings import Likelihood
from shared.errors import Malformed, Retryable
from shared.ports import Spotted, VideoAnnotation
from tests.google_ai_server import Spelling, result_json, video

BACKENDS = {name: ijson.get_backend(name) for name in ("yajl2_c", "python")}
LOOKED: dict[str, Any] = {"explicit_annotation": {"frames": [{"pornography_likelihood": 1}]}, "shot_annotations": [{}]}
"""An entry of a video in which there is nothing to see."""


@pytest.fixture(params=list(BACKENDS))
def backend(request: pytest.FixtureRequest) -> Any:
    """Both of ijson's backends that a machine can have: the fast one is a binary, which not every machine has."""
    return BACKENDS[request.param]


def read(document: object, backend: Any = ijson) -> VideoAnnotation:
    return read_result(io.BytesIO(json.dumps(document).encode()), backend)


def entry(**kinds: Any) -> dict[str, Any]:
    return {"annotation_results": [LOOKED | kinds]}


def label(name: str, confidence: float, start: Any = None, end: Any = None) -> dict[str, Any]:
    offsets = {"start_time_offset": start, "end_time_offset": end}
    span = {name: offset for name, offset in offsets.items() if offset is not None}
    return {"entity": {"description": name}, "segments": [{"segment": span, "confidence": confidence}]}


# --------------------------------------------------------------------------- spellings

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=20)
QUARTERS = st.integers(0, 40_000).map(lambda number: number / 4)
SEEN = st.tuples(NAMES, st.integers(0, 8).map(lambda eighths: eighths / 8), QUARTERS, QUARTERS)
UNIQUE = st.lists(SEEN, max_size=5, unique_by=lambda seen: seen[0])


def arranged(seen: list[tuple[str, float, float, float]]) -> tuple[Spotted, ...]:
    spotted = [Spotted(name, sure, start, max(start, end)) for name, sure, start, end in seen]
    return tuple(sorted(spotted, key=lambda each: (-each.confidence, each.start, each.name)))


@given(
    labels=UNIQUE,
    texts=UNIQUE,
    shots=st.integers(1, 5),
    explicit=st.lists(
        st.tuples(st.sampled_from(LIKELIHOODS[1:]), QUARTERS), min_size=1, max_size=5, unique_by=lambda seen: seen[1]
    ),
    spelling=st.sampled_from(list(Spelling)),
    name=st.sampled_from(list(BACKENDS)),
)
def test_what_was_seen_is_what_is_read_in_both_spellings(
    labels: list[tuple[str, float, float, float]],
    texts: list[tuple[str, float, float, float]],
    shots: int,
    explicit: list[tuple[str, float]],
    spelling: Spelling,
    name: str,
) -> None:
    written = result_json(video(explicit=explicit, labels=labels, shots=shots, texts=texts), spelling)
    found = read_result(io.BytesIO(written), BACKENDS[name])
    assert (found.labels, found.texts, found.shots, found.problems) == (arranged(labels), arranged(texts), shots, {})
    likely = [(word, _CONFIDENCES[word], at, at) for word, at in explicit if word in _CONFIDENCES]
    assert found.explicit == arranged(likely)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("1.5s", 1.5),
        ("0s", 0.0),
        ("3.000000001s", 3.000000001),
        ({"seconds": 1, "nanos": 500_000_000}, 1.5),
        ({"seconds": "7"}, 7.0),
        ({"nanos": 250_000_000}, 0.25),
        ({}, 0.0),
        (None, 0.0),
        ("soon", 0.0),
        ("-2s", 0.0),
        (7, 0.0),
        ([1], 0.0),
        ({"seconds": {"seconds": 1}}, 0.0),
        ({"seconds": "1e999"}, 0.0),
    ],
)
def test_every_way_to_write_a_time(written: Any, seconds: float, backend: Any) -> None:
    found = read(entry(shot_label_annotations=[label("Fire", 0.5, end=written)]), backend)
    assert found.labels == (Spotted("Fire", 0.5, 0.0, seconds),)


@pytest.mark.parametrize(
    ("written", "word"),
    [(4, "LIKELY"), ("LIKELY", "LIKELY"), ("5", None), (9, None), (-1, None), ("HUGE", None), (1, None), (None, None)],
)
def test_every_way_to_write_a_likelihood(written: Any, word: str | None, backend: Any) -> None:
    frames = [{"time_offset": "1s", "pornography_likelihood": written}, {"pornography_likelihood": 1}]
    found = read(entry(explicit_annotation={"frames": frames}), backend)
    assert [each.name for each in found.explicit or ()] == ([word] if word else [])


def test_the_words_have_the_confidences_that_they_have_everywhere() -> None:
    for word in LIKELIHOODS:
        at_least_unlikely = LIKELIHOODS.index(word) >= 2
        assert _CONFIDENCES.get(word) == (Likelihood(word).confidence if at_least_unlikely else None)


def test_the_order_of_the_keys_does_not_matter() -> None:
    backwards = dict(reversed(label("Fire", 0.5, "1s", "2s").items()))
    assert read(entry(shot_label_annotations=[backwards])).labels == (Spotted("Fire", 0.5, 1.0, 2.0),)


def test_a_text_of_no_known_place_or_confidence_is_still_a_text() -> None:
    assert read(entry(text_annotations=[{"text": "EXIT"}])).texts == (Spotted("EXIT", 0.0, 0.0, 0.0),)


@pytest.mark.parametrize("name", [{}, {"description": ""}, {"description": 7}, None, "Fire"])
def test_a_label_without_a_name_is_none(name: Any, backend: Any) -> None:
    nameless = label("Fire", 0.5) | {"entity": name}
    assert read(entry(shot_label_annotations=[nameless]), backend).labels == ()


@pytest.mark.parametrize("order", list(itertools.permutations([(0.5, "1s"), (0.9, "8s"), (0.6, "4s")])))
def test_of_one_name_the_most_confident_place_counts(order: Any) -> None:
    segments = [{"segment": {"start_time_offset": at}, "confidence": sure} for sure, at in order]
    long = {"entity": {"description": "Fire"}, "segments": segments}
    found = read(entry(shot_label_annotations=[long], segment_label_annotations=[label("Fire", 0.7)]))
    assert found.labels == (Spotted("Fire", 0.9, 8.0, 8.0),)


# --------------------------------------------------------------------------- what is missing


def test_results_in_several_entries_are_one() -> None:
    entries = [
        {"explicit_annotation": {"frames": [{"pornography_likelihood": 4}]}},
        {"shot_annotations": [{}, {}]},
        {"shot_label_annotations": [label("Fire", 0.5)]},
        {"text_annotations": []},
    ]
    found = read({"annotation_results": entries})
    assert [each.name for each in found.explicit or ()] == ["LIKELY"]
    assert (found.shots, found.texts, found.problems) == (2, (), {})


def test_no_labels_and_no_texts_are_not_written_and_that_is_fine() -> None:
    found = read(entry())
    assert (found.labels, found.texts, found.problems) == ((), (), {})


def test_frames_and_shots_are_always_there_or_were_not_evaluated() -> None:
    found = read({"annotation_results": [{"shot_label_annotations": [label("Fire", 0.5)]}]})
    assert (found.explicit, found.shots, found.texts) == (None, None, None)
    assert set(found.problems) == {"explicit", "shots", "texts"}
    assert [each.name for each in found.labels or ()] == ["Fire"]


@pytest.mark.parametrize("explicit", [{}, {"frames": []}, {"frames": [{}, {"pornography_likelihood": "UNKNOWN"}]}])
def test_frames_that_say_nothing_are_not_clean(explicit: dict[str, Any], backend: Any) -> None:
    found = read(entry(explicit_annotation=explicit), backend)
    assert (found.explicit, set(found.problems)) == (None, {"explicit"})


def test_an_entry_that_says_nothing_is_never_clean() -> None:
    found = read({"annotation_results": [{}]})
    assert (found.explicit, found.labels, found.shots, found.texts) == (None, None, None, None)
    assert set(found.problems) == {"explicit", "labels", "shots", "texts"}


@pytest.mark.parametrize("error", [{"code": 8}, {"code": "13"}, {"message": "the secret", "details": [{"a": 1}]}])
def test_what_an_error_leaves_out_is_not_evaluated(error: dict[str, Any], backend: Any) -> None:
    found = read({"annotation_results": [LOOKED, {"error": error}]}, backend)
    assert (found.shots, found.labels, found.texts) == (1, None, None)
    assert set(found.problems) == {"labels", "texts"}
    assert "secret" not in str(found)


def test_what_stands_beside_an_error_is_kept_and_called_incomplete() -> None:
    found = read(
        {"annotation_results": [LOOKED, {"shot_label_annotations": [label("Fire", 0.5)], "error": {"code": 3}}]}
    )
    assert [each.name for each in found.labels or ()] == ["Fire"]
    assert "part" in found.problems["labels"]


@pytest.mark.parametrize("error", [{}, {"code": 0}, {"code": 0, "message": ""}, None, "none"])
def test_an_error_that_is_none(error: Any) -> None:
    assert read(entry(error=error)).problems == {}


# --------------------------------------------------------------------------- what is no result

WHOLE = result_json(video(labels=[("F\u00eb\u00fcr", 0.5, 0.0, 1.0)], texts=[("EXIT", 0.5, 0.0, 1.0)]), Spelling.CAMEL)
NO_RESULTS = {
    "empty": b"",
    "blank": b" \n",
    "html": b"<html>502</html>",
    "a list": b"[" + WHOLE + b"]",
    "a number": b"7",
    "null": b"null",
    "no results": b"{}",
    "results of another kind": b'{"annotation_results": 7}',
    "an empty list of results": b'{"annotation_results": []}',
    "more after it": WHOLE + b"}",
    "two of them": WHOLE + WHOLE,
    "no UTF-8": WHOLE.replace(b"EXIT", b"\xff\xfe\xff"),
    "UTF-16": WHOLE.decode().encode("utf-16"),
    "deep lists": b'{"annotation_results": ' + b"[" * 100_000,
    "deep objects": b'{"annotation_results":' + b'{"a":' * 100_000,
    "deep where nobody looks": b'{"other": ' + b"[" * 100_000,
    "a text without an end": b'{"annotation_results": [{"text_annotations": [{"text": "' + b"a" * 3_000_000,
    "a key without an end": b'{"' + b"a" * 3_000_000,
    "a number without an end": b'{"other": ' + b"9" * 3_000_000,
    "a gap without an end": b"{" + b" " * 3_000_000,
}


@pytest.mark.parametrize("document", NO_RESULTS.values(), ids=NO_RESULTS)
def test_what_is_no_result_is_refused(document: bytes, backend: Any) -> None:
    with pytest.raises(Malformed) as refused:
        read_result(io.BytesIO(document), backend)
    assert (refused.value.code, refused.value.sentence[-1]) == ("malformed_result", ".")


def test_half_a_result_never_passes_for_one(backend: Any) -> None:
    for length in range(len(WHOLE)):
        with pytest.raises(Malformed):
            read_result(io.BytesIO(WHOLE[:length]), backend)


KEYS = st.sampled_from(
    [
        "annotation_results", "annotationResults", "error", "code", "message", "explicit_annotation", "frames",
        "time_offset", "timeOffset", "pornography_likelihood", "shot_annotations", "shotLabelAnnotations", "entity",
        "description", "segments", "segment", "confidence", "end_time_offset", "seconds", "text_annotations", "text",
        "best", "",
    ]
)  # fmt: skip
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(1 - 2**63, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=30,
)


@given(kinds=st.dictionaries(KEYS, ANYTHING), beside=st.dictionaries(KEYS, ANYTHING))
@example(kinds={"text_annotations": [{"text": "a", "segments": [{"confidence": "1e999"}]}]}, beside={})
def test_whatever_is_in_it_the_answer_has_the_form_it_must_have(kinds: dict[str, Any], beside: dict[str, Any]) -> None:
    found = [read(beside | {"annotation_results": [kinds]}, backend) for backend in BACKENDS.values()]
    assert found[0] == found[1]
    for spotted in [*(found[0].explicit or ()), *(found[0].labels or ()), *(found[0].texts or ())]:
        assert 0 <= spotted.confidence <= 1
        assert 0 <= spotted.start <= spotted.end


@pytest.mark.parametrize("number", ["9" * 5_000, "1e999999999", "-1e-999999999", "0." + "1" * 5_000])
def test_monstrous_numbers_do_no_harm(number: str, backend: Any) -> None:
    segment = f'{{"confidence": {number}, "segment": {{"end_time_offset": {{"seconds": {number}}}}}}}'
    labels = f'[{{"entity": {{"description": "Fire"}}, "segments": [{segment}]}}]'
    document = f'{{"annotation_results": [{{"shot_annotations": [{{}}], "shot_label_annotations": {labels}}}]}}'
    try:
        found = read_result(io.BytesIO(document.encode()), backend)
    except Malformed:
        return
    assert [(each.name, 0 <= each.confidence <= 1) for each in found.labels or ()] == [("Fire", True)]


def test_lone_halves_of_characters_and_long_names_become_storable(backend: Any) -> None:
    found = read(entry(text_annotations=[{"text": "\ud83d" + "a" * 600, "segments": [{"confidence": 0.5}]}]), backend)
    (text,) = found.texts or ()
    assert len(text.name.encode()) <= 3 + MAX_NAME


def test_what_the_stream_raises_passes_through(backend: Any) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if size and self.tell():
                raise Retryable("the bucket does not answer")
            return super().read(size)

    with pytest.raises(Retryable):
        read_result(Broken(WHOLE + b" " * 200_000), backend)


# --------------------------------------------------------------------------- what it takes


def test_the_most_confident_are_kept_whatever_the_order() -> None:
    names = [(f"label {number}", number / 1000) for number in range(1000)]
    random.Random(7).shuffle(names)
    found = read(entry(shot_label_annotations=[label(name, sure) for name, sure in names])).labels or ()
    assert [each.name for each in found] == [f"label {number}" for number in range(999, 999 - KEPT, -1)]


@pytest.mark.parametrize(("more", "problems"), [(0, set()), (1, {"texts"}), (KEPT_TEXTS, {"texts"})])
def test_texts_that_are_too_many_to_keep_are_a_problem_and_not_forgotten(more: int, problems: set[str]) -> None:
    texts = [{"text": f"line {number}", "segments": [{"confidence": 0.9}]} for number in range(KEPT_TEXTS + more)]
    found = read(entry(text_annotations=texts))
    assert len(found.texts or ()) == KEPT_TEXTS
    assert found.problems.keys() == problems


def test_one_name_everywhere_does_not_push_the_others_out() -> None:
    crowd = [label("person", 0.99, f"{second}s") for second in range(5 * KEPT)]
    found = read(entry(shot_label_annotations=[*crowd, label("gun", 0.6)])).labels or ()
    assert [each.name for each in found] == ["person", "gun"]


class _Endless(io.RawIOBase):
    """A result of `size` bytes that is made as it is read; remembers the most memory that the process had."""

    def __init__(self, size: int) -> None:
        self._parts = self._made(size)
        self._rest = b""
        self._process = psutil.Process()
        self.bytes_read, self.most_memory = 0, 0

    @staticmethod
    def _made(size: int) -> Iterator[bytes]:
        yield b'{"annotation_results": [{"explicit_annotation": {"frames": [{}]}, "shot_annotations": [{}],'
        yield b'"text_annotations": ['
        corner = b'{"x": 0.123456789, "y": 0.987654321}'
        frame = b'{"rotated_bounding_box": {"vertices": [%b]}, "time_offset": "1.5s"}' % b",".join([corner] * 4)
        frames = b",".join([frame] * 20)
        made = 0
        for number in itertools.count():
            text = b'{"text": "line %d", "segments": [{"confidence": 0.%06d, "frames": [%b]}]}'
            part = text % (number, number % 999_983, frames)
            made += len(part)
            if made > size:
                yield part + b"]}]}"
                return
            yield part + b","

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while len(self._rest) < size:
            part = next(self._parts, b"")
            if not part:
                break
            self._rest += part
        data, self._rest = self._rest[:size], self._rest[size:]
        self.bytes_read += len(data)
        if self.bytes_read % (1 << 20) < size:
            self.most_memory = max(self.most_memory, self._process.memory_info().rss)
        return data


def test_a_hundred_megabytes_are_read_in_little_memory() -> None:
    """A third of it at most, since what else goes on in the process counts too."""
    before = psutil.Process().memory_info().rss
    stream = _Endless(100_000_000)
    found = read_result(stream)  # type: ignore[arg-type]
    assert stream.bytes_read > 100_000_000
    assert len(found.texts or ()) == KEPT_TEXTS
    assert stream.most_memory - before < 33_000_000
