"""Text survives a header, whatever it is, and what people wrote there by hand stays what it is."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.blob_names import upload_headers
from shared.domain.header_text import decode_header_text, encode_header_text

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=100)


@given(TEXT)
def test_any_text_comes_back(text: str) -> None:
    assert decode_header_text(encode_header_text(text)) == text


@given(TEXT)
def test_what_travels_is_what_a_signed_header_can_carry(text: str) -> None:
    value = encode_header_text(text)
    assert upload_headers("video/mp4", 1, {"source-id": value})["x-goog-meta-source-id"] == value
    assert re.sub(r"\s+", " ", value).strip() == value  # as a signature folds it


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("gate 7", "gate 7"),
        ("100%25", "100%25"),
        ("café", "UTF-8''caf%C3%A9"),
        ("two  blanks", "UTF-8''two%20%20blanks"),
        (" ", "UTF-8''%20"),
        ("utf-8''caf%C3%A9", "UTF-8''utf-8%27%27caf%25C3%25A9"),
    ],
)
def test_only_what_must_be_is_encoded(text: str, value: str) -> None:
    assert encode_header_text(text) == value


def test_a_value_that_only_looks_encoded_stays() -> None:
    assert decode_header_text("UTF-8''%FF%FE") == "UTF-8''%FF%FE"
