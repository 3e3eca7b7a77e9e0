"""What a release keeps, it gives back unchanged, in a folder and in a bucket; and what the record allows."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra import release
from infra.release import Busy, Deployment, Manifest, Record, ReleaseError, Store
from shared.adapters.embedded.blob_keys import LocalSigningKey
from tests.contract.blob_fixtures import Home, Host, clock, home, host, signing_key

__all__ = ["Host", "LocalSigningKey", "clock", "home", "host", "signing_key"]

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NAMES = st.sampled_from(["a-1", "b-2", "c-3"])


def deployment(name: str = "a-1", *, hours: float = 0) -> Deployment:
    return Deployment(release=name, by="ana", since=NOW + timedelta(hours=hours))


def checkout(folder: Path, version: str = "1") -> Path:
    (folder / "infra" / "modules").mkdir(parents=True)
    (folder / "infra" / "main.tf").write_text(f"# {version}")
    (folder / "infra" / "modules" / "same.tf").write_text("# the same")
    (folder / "notify.zip").write_bytes(bytes(range(256)))
    return folder


@pytest.fixture
def store(home: Home) -> Store:
    """In a folder, and through Google's client library against a storage server."""
    return Store(home.blobs)


def test_a_release_comes_back_as_it_was(store: Store, tmp_path: Path) -> None:
    source = checkout(tmp_path / "source")
    kept = store.save(source, environment="example", commit="0123456789abcdef", now=NOW)
    store.restore(store.load("example", kept.name), tmp_path / "restored")
    for path in kept.files:
        assert (tmp_path / "restored" / path).read_bytes() == (source / path).read_bytes()
    assert set(kept.files) == {"infra/main.tf", "infra/modules/same.tf", "notify.zip"}
    assert kept.name.startswith("0123456789ab-")


def test_the_same_release_is_kept_once_and_another_one_beside_it(store: Store, tmp_path: Path) -> None:
    first = store.save(checkout(tmp_path / "1"), environment="example", commit="aaa", now=NOW)
    again = store.save(checkout(tmp_path / "2"), environment="example", commit="aaa", now=NOW + timedelta(hours=1))
    other = store.save(checkout(tmp_path / "3", "2"), environment="example", commit="aaa", now=NOW + timedelta(days=1))
    assert again == first
    assert other.name != first.name
    assert [one.name for one in store.list("example")] == [other.name, first.name]
    assert store.list("elsewhere") == []


def test_a_plan_is_fetched_by_its_sum_alone(store: Store, tmp_path: Path) -> None:
    kept = store.save(checkout(tmp_path / "1"), environment="example", commit="aaa", now=NOW)
    digest = store.save_plan(kept, b"a plan")
    assert store.save_plan(kept, b"a plan") == digest
    assert store.plan(kept, digest) == b"a plan"
    for wrong in ("0" * 64, "../" + digest, ""):
        with pytest.raises(ReleaseError, match="there is no plan"):
            store.plan(kept, wrong)


@pytest.mark.parametrize("path", ["../out", "/etc/passwd", "a/../../b", "", "a\0b"])
def test_a_release_writes_nothing_outside_its_folder(path: str, store: Store, tmp_path: Path) -> None:
    kept = store.save(checkout(tmp_path / "1"), environment="example", commit="aaa", now=NOW)
    hostile = kept.model_copy(update={"files": {path: next(iter(kept.files.values()))}})
    with pytest.raises(ReleaseError, match="no path below its folder"):
        store.restore(hostile, tmp_path / "restored")


def test_what_is_damaged_or_gone_is_not_restored(store: Store, home: Home, tmp_path: Path) -> None:
    kept = store.save(checkout(tmp_path / "1"), environment="example", commit="aaa", now=NOW)
    digest = kept.files["infra/main.tf"]
    home.blobs.put(f"objects/{digest}", b"something else", content_type="text/plain")
    with pytest.raises(ReleaseError, match=r"infra/main\.tf of release .* is damaged"):
        store.restore(kept, tmp_path / "restored")
    home.blobs.delete(f"objects/{digest}")
    with pytest.raises(ReleaseError, match=r"infra/main\.tf of release .* is gone"):
        store.restore(kept, tmp_path / "again")


def test_a_folder_that_holds_something_is_left_alone(store: Store, tmp_path: Path) -> None:
    kept = store.save(checkout(tmp_path / "1"), environment="example", commit="aaa", now=NOW)
    with pytest.raises(ReleaseError, match="is not empty"):
        store.restore(kept, tmp_path / "1")


@pytest.mark.parametrize("name", ["../x", "aaa-0123456789ab", "", "A-1"])
def test_an_unknown_release_is_named(name: str, store: Store) -> None:
    with pytest.raises(ReleaseError, match="release"):
        store.load("example", name)


def test_a_record_that_is_damaged_stops_everything(store: Store, home: Home) -> None:
    home.blobs.put("environments/example.json", b"{", content_type="text/plain")
    with pytest.raises(ReleaseError, match=r"environments/example\.json of the store is damaged"):
        store.record("example")


def test_of_many_who_begin_at_once_one_deploys(store: Store) -> None:
    outcomes: list[str] = []

    def begin(name: str) -> None:
        try:
            store.change("example", lambda record: record.begun(deployment(name)))
            outcomes.append("begun")
        except Busy:
            outcomes.append("busy")

    threads = [threading.Thread(target=begin, args=(f"r-{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["begun", *["busy"] * 5]


def test_a_deployment_that_died_is_forgotten_after_its_lease_and_its_end_comes_too_late() -> None:
    dead, next_one = deployment("a-1"), deployment("b-2", hours=2)
    with pytest.raises(Busy, match="ana has been deploying a-1 since 2026-03-01 12:00 UTC"):
        Record().begun(dead).begun(deployment("b-2", hours=1.9))
    taken_over = Record().begun(dead).begun(next_one)
    assert taken_over.deploying == next_one
    assert taken_over.ended(dead) == taken_over
    assert taken_over.ended(next_one).deploying is None
    assert taken_over.ended(None).deploying is None


@given(st.lists(NAMES, max_size=40), NAMES)
def test_the_last_good_release_is_the_one_approved_last(approved: list[str], but: str) -> None:
    record = Record()
    for name in approved:
        record = record.approved(name)
    assert record.last_good(but=None) == (approved[-1] if approved else None)
    others = [name for name in approved if name != but]
    assert record.last_good(but=but) == (others[-1] if others else None)
    assert len(record.good) == len(set(approved))


def test_only_so_many_good_releases_are_remembered() -> None:
    record = Record()
    for number in range(release.MOST_GOOD + 5):
        record = record.approved(f"r-{number}")
    assert len(record.good) == release.MOST_GOOD
    assert record.good[-1] == f"r-{release.MOST_GOOD + 4}"


def test_the_command_lists_marks_restores_and_unlocks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["--environment", "example", "--store", str(tmp_path / "store")]
    assert release.main(["list", *place]) == 0
    assert capsys.readouterr().out == "No releases of example.\n"
    kept = saved(tmp_path)
    with release.opened(str(tmp_path / "store")) as store:
        store.change("example", lambda record: record.begun(deployment(kept.name)))
    assert release.main(["good", *place, kept.name]) == 0
    assert release.main(["restore", *place, kept.name, "--into", str(tmp_path / "restored")]) == 0
    assert (tmp_path / "restored" / "infra" / "main.tf").read_text() == "# 1"
    capsys.readouterr()
    assert release.main(["list", *place]) == 0
    assert capsys.readouterr().out == (f"{kept.name}  2026-03-01 12:00  3 files  good\nana is deploying {kept.name}\n")
    assert release.main(["unlock", *place]) == 0
    assert release.main(["good", *place, "aaa-0123456789ab"]) == 1
    assert "there is no release aaa-0123456789ab of example" in capsys.readouterr().err


def saved(tmp_path: Path) -> Manifest:
    with release.opened(str(tmp_path / "store")) as store:
        return store.save(checkout(tmp_path / "source"), environment="example", commit="aaa", now=NOW)


@pytest.mark.parametrize("name", ["../x", "", "Prod", "a/b"])
def test_an_environment_is_a_plain_word(name: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        release.main(["list", "--environment", name, "--store", str(tmp_path)])
