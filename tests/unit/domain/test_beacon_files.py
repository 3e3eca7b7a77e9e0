"""Beacons as CSV: what spreadsheets write is read, what is written is read back, every wrong line is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.beacon_files import MAX_ROWS, read, written
from shared.domain.incidents import Beacon
from shared.domain.neighbourhoods import Stated

PLAIN = b"id,location,active,neighbours\r\ngate,Front gate,true,hall;yard\r\nhall,Hall,false,\r\n"
GATE = Stated("gate", "Front gate", True, ("hall", "yard"), line=2)
HALL = Stated("hall", "Hall", False, (), line=3)


@pytest.mark.parametrize(
    "data",
    [
        PLAIN,
        b"\xef\xbb\xbf" + PLAIN,
        PLAIN.replace(b"\r\n", b"\n"),
        b'id;location;active;neighbours\ngate;Front gate;true;"hall;yard"\nhall;Hall;false;\n',
        b'ID, Location, Active, Neighbours\n"gate", "Front gate", TRUE, hall; yard\nhall, Hall, no, \n',
    ],
    ids=["commas", "byte order mark", "line feeds", "semicolons", "spaces"],
)
def test_what_spreadsheets_write_is_read(data: bytes) -> None:
    file = read(data)
    assert (file.stated, file.problems) == ((GATE, HALL), ())


def test_columns_that_are_left_out_say_nothing() -> None:
    assert read(b"location,id\nFront gate,gate\n").stated == (Stated("gate", "Front gate", line=2),)


def test_quotes_hold_separators_and_quotes() -> None:
    file = read(b'id,location\nsafe:uuid:402/402,"Gate ""A"", north"\n')
    assert file.stated[0] == Stated("safe:uuid:402/402", 'Gate "A", north', line=2)


def test_every_wrong_line_is_named() -> None:
    lines = [
        "id,location,active,neighbours",
        "gate,Front gate,perhaps,",
        ",Nowhere,true,",
        "",
        "hall,,true,hall",
        "gate,Front gate,true,",
        "yard,Yard,true,,,",
    ]
    assert [(problem.line, problem.sentence) for problem in read("\n".join(lines).encode()).problems] == [
        (2, "active must be true or false."),
        (3, "id must be 1 to 256 printable characters, with no space at its ends."),
        (5, "location must be 1 to 500 printable characters."),
        (5, "A beacon is no neighbour of itself."),
        (6, "The id is that of line 2, too."),
        (7, "There are 6 cells and 4 columns."),
    ]


@pytest.mark.parametrize(
    ("data", "line", "beginning"),
    [
        (b"", 1, "The first line must name"),
        (b"gate,Front gate\n", 1, "The first line must name"),
        (b"id,location,colour\n", 1, "The first line must name"),
        (b"id,id,location\n", 1, "The first line must name"),
        (b"id,location\ngate,\xff\n", 2, "The file is not UTF-8."),
        ("id,location\ngate,Gate\n".encode("utf-16"), 1, "The file is not UTF-8."),
        (b'id,location\na,A\ngate,"Front\ngate\n', 3, "The quotes of a cell are not closed"),
        (b'id,location\ngate,"Front\ngate"\n', 2, "location must be"),
        (b"id,location\ngate,a\x00b\n", 2, ""),
        (b"id,location\ngate," + b"x" * 200_000 + b"\n", 2, "The quotes of a cell are not closed, or it is too long."),
    ],
)
def test_what_is_no_such_file_is_refused(data: bytes, line: int, beginning: str) -> None:
    (problem,) = read(data).problems
    assert problem.line == line
    assert problem.sentence.startswith(beginning)


def test_a_file_has_at_most_ten_thousand_rows() -> None:
    rows = [f"b{number},Place {number}" for number in range(MAX_ROWS + 1)]
    file = read("\n".join(["id,location", *rows]).encode())
    assert [(problem.line, problem.sentence) for problem in file.problems] == [
        (MAX_ROWS + 2, f"A file has at most {MAX_ROWS} beacons.")
    ]


@given(st.binary(max_size=200))
def test_whatever_comes_there_is_an_answer(data: bytes) -> None:
    file = read(data)
    assert all(problem.line >= 1 for problem in file.problems)


shown = st.text(min_size=1, max_size=20).filter(lambda text: text.isprintable() and text.strip() == text)


@given(st.dictionaries(shown, st.tuples(shown, st.booleans(), st.lists(shown, max_size=4, unique=True)), max_size=5))
def test_what_is_written_is_read_back(told: dict[str, tuple[str, bool, list[str]]]) -> None:
    beacons = [
        Beacon(id, location, active, tuple(neighbour for neighbour in neighbours if neighbour != id))
        for id, (location, active, neighbours) in told.items()
    ]
    file = read("".join(written(beacons)).encode())
    assert file.problems == ()
    assert [Beacon(one.id, one.location, bool(one.active), one.neighbours or ()) for one in file.stated] == beacons
