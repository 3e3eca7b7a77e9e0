"""The benchmark of copies: that it counts what it says, and calls a mistake one."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import twins
from bench.twins import Encoding, Print, Tally, encode_anew, grouped, read
from tests.unit.detection.videos import blobs, encode, moving_square


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    for name, paint in (("yard/one.mp4", blobs(1)), ("yard/two.mp4", blobs(2)), ("hall/three.mp4", moving_square)):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encode(paint=paint, seconds=3))
    return tmp_path


def test_cameras_are_those_of_the_table_else_the_folders(clips: Path) -> None:
    (clips / "list.csv").write_text("clip,group\nyard/one.mp4,g1\n")
    (clips / "other.csv").write_text("name,size\nx,1\n")
    found = {path.name: group for path, group in grouped(clips).items()}
    assert found == {"one.mp4": "g1", "two.mp4": "yard", "three.mp4": "hall"}


def test_a_folder_without_clips_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        grouped(tmp_path)


def test_a_copy_is_counted_as_found_and_the_same(clips: Path) -> None:
    original, target = clips / "yard" / "one.mp4", clips / "copy.matroska"
    encode_anew(original, target, Encoding(container="matroska", scale=0.5))
    tally = Tally()
    tally.add(read(original, "hall"), read(target, "copy"))
    assert (tally.pairs, tally.found, tally.same) == (1, 1, 1)
    assert tally.row("copy")[:4] == ["copy", "1", "1", "1"]


def test_what_is_too_short_has_no_difference() -> None:
    tally = Tally()
    tally.add(Print("g", 0.4, "f" * 16, b""), Print("g", 0.4, "f" * 16, b""))
    assert tally.row("short") == ["short", "1", "1", "0", "-", "-"]


def test_the_table_is_printed_and_a_mistake_is_a_failure(clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert twins.main(["--data", str(clips), "--sample", "1"]) == 0
    assert "one camera" in capsys.readouterr().out
    (clips / "yard" / "copy.mp4").write_bytes((clips / "yard" / "one.mp4").read_bytes())
    assert twins.main(["--data", str(clips), "--sample", "1"]) == 1
