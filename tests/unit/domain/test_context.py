"""What is kept of a context model's answer, whatever it says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.domain.context import (
    MAX_DESCRIPTION_CHARACTERS,
    MAX_EMOTIONS,
    MAX_OBJECTS,
    MAX_SCENES,
    MAX_TERM_CHARACTERS,
    THREAT_LEVELS,
    Context,
    clean_description,
    clean_terms,
    read_answer,
)
from shared.errors import AnalyserFailed

FULL: dict[str, Any] = {
    "objects": ["Bench", "bicycle"],
    "emotions": ["Calm"],
    "scenes": ["parking lot"],
    "description": "Two people talk.",
    "threat_level": 1,
}


def answer(**changes: Any) -> str:
    return json.dumps(FULL | changes)


def test_an_answer_of_the_schema() -> None:
    assert read_answer(answer()) == Context(
        ("bench", "bicycle"), ("calm",), ("parking lot",), "Two people talk.", threat_level=1
    )


@pytest.mark.parametrize("fence", ["```json\n{}\n```", "```\n{}\n```", "  {}\n", "```JSON {}```"])
def test_code_fences_and_space_around_it_are_no_part_of_it(fence: str) -> None:
    assert read_answer(fence.replace("{}", answer())) == read_answer(answer())


@pytest.mark.parametrize(
    "text",
    [
        "OBJECTS: car, Tree\nEMOTIONS: fear, anger\nSCENES: street",
        "OBJECTS: car, Tree EMOTIONS: fear, anger SCENES: street",
        "**OBJECTS:** car, tree\n**Emotions**: fear, anger\n- scenes: street",
        "```\nObjects: car, tree, car\nEmotions: fear, anger.\nScenes: street\n```",
        "OBJECTS: car\nOBJECTS: tree\nEMOTIONS: fear, anger\nSCENES: street\n\nThe scene is: tense.",
    ],
)
def test_the_form_of_lines(text: str) -> None:
    read = read_answer(text)
    assert (read.objects, read.emotions, read.scenes) == (("car", "tree"), ("fear", "anger"), ("street",))
    assert (read.description, read.threat_level) == ("", None)


def test_each_list_is_cut_at_its_limit() -> None:
    many = [f"thing {n}" for n in range(40)]
    read = read_answer(answer(objects=many, emotions=many, scenes=many))
    assert (len(read.objects), len(read.emotions), len(read.scenes)) == (15, 10, 10)
    assert read.objects == tuple(many[:15])


def test_terms_are_trimmed_lowered_and_said_once() -> None:
    said = ["  Car ", "car", "CAR.", "\tTwo\n words ", "", "None", "n/a", 7, None, ["x"], "'quoted'", "\x00\x07bell"]
    assert clean_terms(said, 10) == ("car", "two words", "quoted", "bell")


def test_a_long_term_is_cut() -> None:
    (term,) = clean_terms(["a" * 59 + " " + "b" * 1000, "a" * 59 + " c"], 1)
    assert term == "a" * 59


def test_a_description_has_two_sentences_on_one_line() -> None:
    assert clean_description("One\n two.  Three!\tFour? Five.") == "One two. Three!"
    long = clean_description("word " * 500)
    assert len(long) <= MAX_DESCRIPTION_CHARACTERS
    assert long.endswith("…")


@pytest.mark.parametrize(
    "text", ["", "  \n", "```json\n```", answer(objects=[], emotions=[], scenes=[], description="")]
)
def test_an_answer_that_says_nothing_is_not_read_as_nothing_to_see(text: str) -> None:
    with pytest.raises(AnalyserFailed) as failed:
        read_answer(text)
    assert (failed.value.code, failed.value.tries) == ("empty_answer", 2)


@pytest.mark.parametrize(
    "text",
    [
        "I can't help with that.",
        "[]",
        '{"objects": ["car"',
        "{" * 100_000,
        '{"objects":' * 100_000,
        answer(objects="car"),
        answer(emotions={"calm": 1}),
        answer(description=None),
        answer(threat_level=3),
        answer(threat_level=-1),
        answer(threat_level=True),
        answer(threat_level="0"),
        answer(threat_level=0.5),
        answer(threat_level=[0]),
        answer(threat_level=None),
        answer(threat_level=float("nan")),
        answer().replace(": 1}", ": " + "9" * 5000 + "}"),
        json.dumps({"objects": ["car"]}),
    ],
    ids=range(18),
)
def test_an_answer_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(AnalyserFailed) as failed:
        read_answer(text)
    assert (failed.value.code, failed.value.tries) == ("malformed_answer", 2)


def test_what_the_schema_does_not_know_is_left_out() -> None:
    assert read_answer(answer(overallRisk="low", violenceDetections=[], instructions="ignore")) == read_answer(answer())


def check_limits(read: Context) -> None:
    limits = ((read.objects, MAX_OBJECTS), (read.emotions, MAX_EMOTIONS), (read.scenes, MAX_SCENES))
    for terms, most in limits:
        assert len(terms) <= most
        assert len(set(terms)) == len(terms)
        for term in terms:
            assert 0 < len(term) <= MAX_TERM_CHARACTERS
            assert term == term.strip()
            assert term.isprintable()
    assert len(read.description) <= MAX_DESCRIPTION_CHARACTERS
    assert read.description.isprintable()
    assert read.threat_level in {None, *THREAT_LEVELS}
    assert read.objects or read.emotions or read.scenes or read.description


def read_or_refuse(text: str) -> None:
    try:
        read = read_answer(text)
    except AnalyserFailed:
        return
    check_limits(read)


@given(st.text(st.characters(exclude_categories=[])))
@example("\ufeff{}")
@example("OBJECTS: \ud800")
def test_any_text_is_read_within_the_limits_or_refused(text: str) -> None:
    read_or_refuse(text)
    read_or_refuse(f"OBJECTS: {text}")
    read_or_refuse(f"OBJECTS: a\nEMOTIONS: {text}\nSCENES: b")


WORDS = st.lists(st.one_of(st.text(st.characters(exclude_categories=[])), st.integers(), st.none()), max_size=40)


@given(WORDS, WORDS, WORDS, st.text(st.characters(exclude_categories=[])), st.sampled_from([0, 1, 2, 3, None, "2"]))
def test_any_json_is_read_within_the_limits_or_refused(
    objects: list[Any], emotions: list[Any], scenes: list[Any], description: str, threat: Any
) -> None:
    read_or_refuse(
        answer(objects=objects, emotions=emotions, scenes=scenes, description=description, threat_level=threat)
    )


@given(WORDS)
def test_cleaning_is_done_once(terms: list[Any]) -> None:
    cleaned = clean_terms(terms, 100)
    assert clean_terms(cleaned, 100) == cleaned
