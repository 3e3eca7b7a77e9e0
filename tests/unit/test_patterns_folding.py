"""What folding makes of disguised letters, and what it leaves alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.moderation.folding import (
    fold,
    fold_with_origins,
    has_long_run,
    letters_for_signs,
    lines_with_long_runs,
    squeeze,
)


@pytest.mark.parametrize(
    ("written", "folded"),
    [
        ("KILL", "kill"),
        ("Straße", "strasse"),
        ("İstanbul", "istanbul"),
        ("ılık", "ilik"),
        ("heroína, Kärnten, façade, niño", "heroina, karnten, facade, nino"),
        ("ki\u0301ll\u0300", "kill"),
        ("k\u200bi\u00adl\u2060l\ufe0f", "kill"),
        ("кіll", "kill"),
        ("κill", "kill"),
        ("ｋｉｌｌ 𝐤𝐢𝐥𝐥 𝕂𝕀𝕃𝕃 ⓚⓘⓛⓛ 🅺🅸🅻🅻", "kill kill kill kill kill"),
        ("ᴋɪʟʟ", "kill"),
        ("ﬁre Ærø þorn łódź", "fire aero thorn lodz"),
        ("line\nbreak\ttab", "line\nbreak\ttab"),
        ("漢字 שלום", "漢字 שלום"),
        ("", ""),
    ],
)
def test_fold(written: str, folded: str) -> None:
    assert fold(written) == folded


@given(st.text())
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text())
def test_folding_neither_adds_nor_removes_lines(text: str) -> None:
    assert fold(text).count("\n") == text.count("\n")


@given(st.text())
def test_every_folded_character_has_its_origin(text: str) -> None:
    folded, origins = fold_with_origins(text)
    assert folded == fold(text)
    assert list(origins) == sorted(origins)
    assert all(letter in fold(text[origin]) for letter, origin in zip(folded, origins, strict=True))


@pytest.mark.parametrize(
    ("written", "readings"),
    [
        ("k1ll", ("kill", "klll")),
        ("h3r01n", ("heroin", "heroln")),
        ("a$$", ("ass",)),
        ("p@$5w0rt", ("passwort",)),
        ("b!tch", ("bitch",)),
        ("kill", ()),
        ("2024", ()),
        ("$100k", ()),
        ("", ()),
    ],
)
def test_letters_for_signs(written: str, readings: tuple[str, ...]) -> None:
    assert letters_for_signs(written) == readings


def test_squeeze_leaves_each_letter_once() -> None:
    assert squeeze("kiiiill") == squeeze("kill") == squeeze("kil") == "kil"


def test_long_runs_are_of_three_letters_and_more() -> None:
    assert not has_long_run("Schritt 111 ...")
    assert has_long_run("kiiill")


@given(st.lists(st.sampled_from(["kiiill", "kill", "", "aaaaaa", "a b", "noooo !"])))
def test_the_lines_with_long_runs(lines: list[str]) -> None:
    assert lines_with_long_runs("\n".join(lines)) == {line for line in lines if has_long_run(line)}
