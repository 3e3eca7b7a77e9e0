"""Profiles as files: the bundled ones, and a user's own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from shared.errors import ProfileError, SettingsError
from shared.policies import MAX_BYTES, PROFILES, load_in_force, load_profile


def write(folder: Path, name: str, content: str) -> Path:
    path = folder / f"{name}.toml"
    path.write_text(content, encoding="utf-8")
    return path


@pytest.mark.parametrize("path", sorted(PROFILES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_bundled_profile_is_in_order(path: Path) -> None:
    assert load_profile(path.stem).name == path.stem
    assert load_profile(path) == load_profile(str(path)) == load_profile(path.stem)


def test_a_file_of_ones_own_extends_a_bundled_one(tmp_path: Path) -> None:
    path = write(tmp_path, "night", 'extends = "strict"\n[crowd]\nmore_than = 1\n')

    night = load_profile(path)

    assert (night.name, night.crowd, night.shots) == ("night", 1, load_profile("strict").shots)


def test_files_extend_each_other_from_their_own_folder(tmp_path: Path) -> None:
    (tmp_path / "sites").mkdir()
    write(tmp_path, "ours", 'extends = "balanced"\n[crowd]\nmore_than = 7\n[shots]\nmore_than = 8\n')
    path = write(tmp_path / "sites", "gate", 'extends = "../ours.toml"\n[shots]\nmore_than = 9\n')

    gate = load_profile(path)

    assert (gate.crowd, gate.shots) == (7, 9)


def test_a_relative_path_begins_at_the_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)

    assert load_profile("policies/profiles/strict.toml") == load_profile("strict")


def test_a_circle_is_told_as_such(tmp_path: Path) -> None:
    path = write(tmp_path, "a", 'extends = "./b.toml"')
    write(tmp_path, "b", 'extends = "./a.toml"')

    with pytest.raises(ProfileError, match="extends: a extends b extends a, in a circle"):
        load_profile(path)


def test_a_file_that_extends_itself_by_another_path_is_a_circle_too(tmp_path: Path) -> None:
    path = write(tmp_path, "a", f'extends = "../{tmp_path.name}/a.toml"')

    with pytest.raises(ProfileError, match="in a circle"):
        load_profile(path)


def test_not_more_than_eight_files_extend_each_other(tmp_path: Path) -> None:
    for number in range(9):
        write(tmp_path, f"p{number}", f'extends = "./p{number + 1}.toml"')
    write(tmp_path, "p9", 'extends = "balanced"')

    with pytest.raises(ProfileError, match="more than 8 files"):
        load_profile(tmp_path / "p0.toml")
    assert load_profile(tmp_path / "p3.toml").crowd == 5


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("weights = ", "can't be read: Invalid value"),
        ("extends = 7", "extends: 7 is no profile's name or path"),
        ('extends = "nothing"', "those that come along are balanced, strict"),
        ('extends = "a\\u0000b"', "can't be the name of a file"),
        ("", "version: is missing"),
    ],
)
def test_a_file_that_is_no_profile_is_told_as_such(tmp_path: Path, content: str, complaint: str) -> None:
    with pytest.raises(ProfileError, match=complaint):
        load_profile(write(tmp_path, "wrong", content))


def test_a_file_that_is_no_text_is_told_as_such(tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(SettingsError, match=r"profile wrong: .* can't be read"):
        load_profile(path)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = write(tmp_path, "huge", "#" * (MAX_BYTES + 1))

    with pytest.raises(ProfileError, match="has more than 1000000 bytes"):
        load_profile(path)


@pytest.mark.parametrize("name", ["balance", "/no/such/file.toml", "", ".", "../../etc/passwd"])
def test_a_profile_that_is_not_there_is_told_as_such(name: str) -> None:
    with pytest.raises(ProfileError, match=r"can't be read|those that come along are balanced, strict"):
        load_profile(name)


def test_another_folder_has_its_own_bundled_profiles(tmp_path: Path) -> None:
    shutil.copy(PROFILES / "balanced.toml", tmp_path / "balanced.toml")
    write(tmp_path, "loud", 'extends = "balanced"\n[crowd]\nmore_than = 99\n')

    assert load_profile("loud", tmp_path).crowd == 99


def test_who_asks_for_strictness_gets_the_strict_profile_of_this_place(tmp_path: Path) -> None:
    mine = write(tmp_path, "harsh", 'extends = "strict"\n[crowd]\nmore_than = 1\n')
    in_force = load_in_force("balanced", str(mine), "strict")
    assert in_force.of(strict=True).name == "harsh"
    assert in_force.of(strict=False).name == "balanced"
    assert in_force.shadow is not None
    assert in_force.shadow.name == "strict"
