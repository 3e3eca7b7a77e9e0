"""The multipart form as it arrives: in whatever pieces, in whatever order, from whoever."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import Malformed, Permanent, TooLarge
from shared.web.form_parts import MAX_PARTS
from shared.web.forms import MAX_FIELD_BYTES, FileForm

BOUNDARY = b"edge"
MAX_FILE = 4096


def form(content_type: str | None = "multipart/form-data; boundary=edge") -> FileForm:
    return FileForm(
        content_type,
        file_names=("video", "file"),
        parsers={"sensitivity": float, "step": int},
        file_too_large=TooLarge("file_too_large", "Too large."),
        max_file_bytes=MAX_FILE,
    )


def part(name: str, content: bytes, *, filename: str | None = None, headers: bytes = b"") -> bytes:
    named = f'Content-Disposition: form-data; name="{name}"'
    named += "" if filename is None else f'; filename="{filename}"'
    return b"--edge\r\n" + named.encode() + b"\r\n" + headers + b"\r\n" + content + b"\r\n"


END = b"--edge--\r\n"


def read(body: bytes, pieces: Iterable[int] = ()) -> tuple[FileForm, bytes]:
    """The form after its whole body, which arrived in pieces of these lengths, and its file."""
    made, file, at = form(), b"", 0
    for length in [*pieces, len(body)]:
        file += b"".join(made.feed(body[at : at + length]))
        at += length
    made.finish()
    return made, file


FILE = part("video", b"bytes", filename="clip.mp4", headers=b"Content-Type: video/mp4\r\n")


@pytest.mark.parametrize("body", [part("sensitivity", b" 0.7 ") + FILE + END, FILE + part("sensitivity", b"0.7") + END])
def test_fields_may_come_in_any_order(body: bytes) -> None:
    made, file = read(body)
    assert (made.values, made.filename, file) == ({"sensitivity": 0.7}, "clip.mp4", b"bytes")


def test_a_file_needs_neither_a_name_nor_a_closing_line_break() -> None:
    made, file = read(part("file", b"bytes") + b"--edge--")
    assert (made.filename, file) == (None, b"bytes")


def test_other_fields_and_what_follows_the_end_mean_nothing() -> None:
    made, file = read(b"\r\n" + part("csrf", b"token") + FILE + END + b"more")
    assert (made.values, file) == ({}, b"bytes")


@given(
    st.binary(min_size=1, max_size=300)
    | st.sampled_from([b"\r\n--edg", b"\r\n--edge-", b"\r\n--edgeX\r\n", b"--edge--", b"\r\n\r\n--"]),
    st.lists(st.integers(1, 40), max_size=40),
)
def test_the_file_is_what_was_sent_however_it_is_cut(content: bytes, pieces: list[int]) -> None:
    if b"\r\n--edge\r\n" in content or b"\r\n--edge--" in content or b"\r\n--edge " in content:
        return
    made, file = read(part("step", b"2") + part("video", content) + part("sensitivity", b"0.5") + END, pieces)
    assert file == content
    assert made.values == {"step": 2, "sensitivity": 0.5}
    assert made.file_bytes == len(content)


@given(st.binary(max_size=200), st.lists(st.integers(1, 40), max_size=10))
def test_no_bytes_raise_anything_but_a_refusal(noise: bytes, pieces: list[int]) -> None:
    for body in (noise, FILE + noise, part("video", b"x")[:60] + noise + END):
        try:
            read(body, pieces)
        except (Permanent, ValueError):  # ValueError: what the fields' parsers raise goes through
            continue


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "application/json",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/mixed; boundary=edge",
        "multipart/form-data; boundary=" + "x" * 257,
        "x-www-form-urlencoded; boundary=edge",
    ],
)
def test_another_content_type_is_refused(content_type: str | None) -> None:
    with pytest.raises(Malformed) as refused:
        form(content_type)
    assert refused.value.code == "not_multipart"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (END, "no_file"),
        (part("sensitivity", b"0.5") + END, "no_file"),
        (FILE + FILE + END, "two_files"),
        (FILE + part("file", b"x") + END, "two_files"),
        (part("video", b"", filename="x") + END, "empty_file"),
        (FILE, "truncated_form"),
        (FILE + b"--edge", "truncated_form"),
        (FILE[:-10], "truncated_form"),
        (b"", "truncated_form"),
        (b"--other\r\n", "malformed_form"),
        (b"no form at all", "malformed_form"),
        (b"--edge\r\nno header\r\n\r\n", "malformed_form"),
        (b"--edge\r\n\r\nnameless\r\n" + END, "malformed_form"),
        (b"--edge\r\nContent-Disposition: form-data\r\n\r\nx\r\n" + END, "malformed_form"),
        (b'--edge\r\nContent-Disposition: attachment; name="video"\r\n\r\nx\r\n' + END, "malformed_form"),
        (part("video", b"x", headers=b"X: " + b"y" * 5000 + b"\r\n") + END, "malformed_form"),
        (part("video", b"x", headers=b"X: y\r\n" * 20) + END, "malformed_form"),
        (part("note", b"x" * (MAX_FIELD_BYTES + 1)) + FILE + END, "field_too_long"),
        (part("note", b"x") * (MAX_PARTS + 1) + END, "too_many_parts"),
        (part("step", b"1") * 2 + FILE + END, "repeated_field"),
        (part("video", b"x" * (MAX_FILE + 1)) + END, "file_too_large"),
    ],
)
@pytest.mark.parametrize("piece", [1, 7, 100_000])
def test_a_wrong_form_is_refused_by_name(body: bytes, code: str, piece: int) -> None:
    with pytest.raises(Permanent) as refused:
        read(body, [piece] * (len(body) // piece))
    assert refused.value.code == code


def test_a_file_of_just_the_limit_is_taken() -> None:
    assert len(read(part("video", b"x" * MAX_FILE) + END)[1]) == MAX_FILE


@pytest.mark.parametrize("filename", ["../../etc/passwd", "C:\\\\clips\\\\a.mp4", "türe.mp4", "", "a;b=c"])
def test_any_filename_is_accepted(filename: str) -> None:
    assert read(part("video", b"x", filename=filename) + END)[0].filename is not None
