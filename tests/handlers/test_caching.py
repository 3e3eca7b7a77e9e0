"""One verdict for the same content: claimed, made once, served again, expired, cleared."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from infra import topology
from shared.adapters.embedded.documents import SqliteDocuments
from shared.adapters.system_clock import SystemClock
from shared.errors import MediaUnusable, Retryable
from shared.handlers import caching
from shared.handlers.caching import Made
from shared.ports import Write
from shared.repositories import verdict_cache
from shared.repositories.verdict_cache import Claim, Counts
from tests.fakes import NOON, ManualClock

KEY = "a" * 64
HOUR = 3600.0


class Maker:
    """Makes verdicts, numbered, and knows how many."""

    def __init__(self, seconds: float = 0.0, duration: timedelta | None = timedelta(hours=24)) -> None:
        self.made = 0
        self._seconds = seconds
        self._duration = duration
        self._lock = threading.Lock()

    def __call__(self) -> Made:
        with self._lock:
            self.made += 1
            number = self.made
        threading.Event().wait(self._seconds)
        return Made({"number": number}, self._duration)


@pytest.fixture
def clock() -> ManualClock:
    """Noon."""
    return ManualClock()


@pytest.fixture
def deps(documents: SqliteDocuments, clock: ManualClock) -> caching.Deps:
    """A cache whose time stands still."""
    return caching.Deps(documents, clock)


def number(served: caching.Served) -> tuple[Any, bool]:
    return served.result["number"], served.cached


class TestServing:
    def test_the_second_one_gets_what_the_first_made(self, deps: caching.Deps) -> None:
        make = Maker()
        assert number(caching.serve(KEY, ("one",), make, deps)) == (1, False)
        assert number(caching.serve(KEY, ("two",), make, deps)) == (1, True)
        assert make.made == 1

    def test_other_content_is_looked_at_for_itself(self, deps: caching.Deps) -> None:
        make = Maker()
        caching.serve(KEY, ("one",), make, deps)
        assert number(caching.serve("b" * 64, ("one",), make, deps)) == (2, False)

    def test_an_expired_one_is_never_served_though_it_is_still_there(
        self, deps: caching.Deps, clock: ManualClock
    ) -> None:
        make = Maker()
        caching.serve(KEY, ("one",), make, deps)
        clock.advance(24 * HOUR - 1)
        assert number(caching.serve(KEY, ("one",), make, deps)) == (1, True)
        clock.advance(1)
        assert number(caching.serve(KEY, ("one",), make, deps)) == (2, False)
        assert number(caching.serve(KEY, ("one",), make, deps)) == (2, True)

    def test_a_verdict_of_no_duration_is_returned_and_not_kept(self, deps: caching.Deps) -> None:
        make = Maker(duration=None)
        assert number(caching.serve(KEY, ("one",), make, deps)) == (1, False)
        assert number(caching.serve(KEY, ("one",), make, deps)) == (2, False)

    def test_what_could_not_be_made_leaves_nothing_behind(self, deps: caching.Deps) -> None:
        def fail() -> Made:
            raise MediaUnusable("no_picture", "There is no picture.")

        with pytest.raises(MediaUnusable):
            caching.serve(KEY, ("one",), fail, deps)
        assert number(caching.serve(KEY, ("one",), Maker(), deps)) == (1, False)

    def test_a_store_that_fails_after_the_making_costs_the_cache_and_not_the_verdict(
        self, documents: SqliteDocuments, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        deps = caching.Deps(documents, clock)
        commit = documents.commit

        def make() -> Made:
            def away(writes: list[Write]) -> None:
                raise Retryable("away")

            monkeypatch.setattr(documents, "commit", away)
            return Made({"number": 1}, timedelta(hours=1))

        assert number(caching.serve(KEY, ("one",), make, deps)) == (1, False)
        monkeypatch.setattr(documents, "commit", commit)
        assert verdict_cache.look(documents, KEY).entry is None


class TestTogether:
    """Instances are simulated by stores of their own over one file."""

    @pytest.fixture
    def instances(self, tmp_path: Path) -> Iterator[list[caching.Deps]]:
        indexes = topology.load().document_indexes()
        stores = [SqliteDocuments(tmp_path / "shared.sqlite3", indexes) for _ in range(2)]
        yield [caching.Deps(store, SystemClock(), lease=timedelta(seconds=0.6)) for store in stores]
        for store in stores:
            store.close()

    def test_sixteen_at_once_on_two_instances_cost_one_analysis(self, instances: list[caching.Deps]) -> None:
        make = Maker(seconds=1.5)  # longer than the lease: the claim is renewed
        together = threading.Barrier(16)

        def ask(position: int) -> caching.Served:
            together.wait()
            return caching.serve(KEY, (f"client-{position}",), make, instances[position % 2])

        with ThreadPoolExecutor(16) as pool:
            served = list(pool.map(ask, range(16)))
        assert make.made == 1
        assert [each.result["number"] for each in served] == [1] * 16
        assert sorted(each.cached for each in served) == [False] + [True] * 15
        entry = verdict_cache.look(instances[0].documents, KEY).entry
        assert entry is not None
        assert set(entry.media_ids) == {f"client-{position}" for position in range(16)}

    def test_a_dead_claimant_is_replaced_by_one_of_those_who_wait(self, instances: list[caching.Deps]) -> None:
        first, second = instances
        dead = Claim(KEY, "dead", ("x",), first.clock.now() + timedelta(seconds=0.5))
        first.documents.commit([verdict_cache.claiming(dead, None)])
        make = Maker(seconds=0.1)
        with ThreadPoolExecutor(8) as pool:
            served = list(pool.map(lambda n: caching.serve(KEY, ("y",), make, [first, second][n % 2]), range(8)))
        assert make.made == 1
        assert {each.result["number"] for each in served} == {1}

    def test_the_dead_that_come_back_to_life_replace_nothing(self, instances: list[caching.Deps]) -> None:
        first, second = instances

        def slow() -> Made:  # its lease is taken over while it works, as if its process had stood still
            seen = verdict_cache.look(first.documents, KEY)
            taken = Claim(KEY, "other", ("x",), first.clock.now() + timedelta(seconds=30))
            second.documents.commit([verdict_cache.claiming(taken, seen.claim_document)])
            return Made({"number": 7}, timedelta(hours=1))

        assert number(caching.serve(KEY, ("x",), slow, first)) == (7, False)
        seen = verdict_cache.look(first.documents, KEY)
        assert seen.entry is None
        assert seen.claim is not None
        assert seen.claim.owner == "other"

    def test_who_waited_long_enough_makes_it_alone(self, documents: SqliteDocuments, clock: ManualClock) -> None:
        busy = Claim(KEY, "busy", ("x",), NOON + timedelta(seconds=30))
        documents.commit([verdict_cache.claiming(busy, None)])
        deps = caching.Deps(documents, clock, patience=timedelta(seconds=0.2))
        assert number(caching.serve(KEY, ("y",), Maker(), deps)) == (1, False)
        assert verdict_cache.look(documents, KEY).entry is None  # the claim is the other's


class TestClearing:
    def test_all_of_it_over_several_pages(self, deps: caching.Deps, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(verdict_cache, "PAGE", 3)
        for position in range(10):
            caching.serve(f"{position:064}", (f"id-{position}",), Maker(), deps)
        assert verdict_cache.clear(deps.documents) == 10
        assert verdict_cache.clear(deps.documents) == 0

    def test_by_any_of_its_clients_names(self, deps: caching.Deps) -> None:
        make = Maker()
        caching.serve(KEY, ("one", "uno"), make, deps)
        caching.serve(KEY, ("two",), make, deps)
        assert verdict_cache.forget(deps.documents, "three") == 0
        assert verdict_cache.forget(deps.documents, "uno") == 1
        assert verdict_cache.forget(deps.documents, "two") == 0
        assert number(caching.serve(KEY, ("one",), make, deps)) == (2, False)

    @pytest.mark.parametrize(
        "clear", [verdict_cache.clear, lambda documents: verdict_cache.forget(documents, "one")], ids=["all", "one"]
    )
    def test_what_is_being_made_meanwhile_is_not_cached_either(
        self, clear: Callable[[SqliteDocuments], int], deps: caching.Deps, documents: SqliteDocuments
    ) -> None:
        def make() -> Made:
            clear(documents)
            return Made({"number": 1}, timedelta(hours=1))

        assert number(caching.serve(KEY, ("one",), make, deps)) == (1, False)
        assert number(caching.serve(KEY, ("one",), Maker(), deps)) == (1, False)

    def test_an_entry_remembers_the_latest_names_only(self, deps: caching.Deps) -> None:
        for position in range(verdict_cache.MAX_MEDIA_IDS + 1):
            caching.serve(KEY, (f"id-{position}",), Maker(), deps)
        assert verdict_cache.forget(deps.documents, "id-0") == 0
        assert verdict_cache.forget(deps.documents, "id-1") == 1

    def test_the_sweeper_removes_what_expired_and_claims_of_the_dead(
        self, deps: caching.Deps, clock: ManualClock
    ) -> None:
        documents = deps.documents
        caching.serve(KEY, ("old",), Maker(), deps)
        documents.commit([verdict_cache.claiming(Claim("c" * 64, "dead", ("x",), NOON), None)])
        clock.advance(12 * HOUR)
        caching.serve("b" * 64, ("young",), Maker(), deps)
        clock.advance(13 * HOUR)
        assert verdict_cache.remove_expired(documents, clock.now()) == 2
        assert verdict_cache.look(documents, KEY).entry is None
        assert verdict_cache.look(documents, "b" * 64).entry is not None
        assert verdict_cache.look(documents, "c" * 64).claim is None


def test_counts_of_all_instances_add_up(deps: caching.Deps) -> None:
    for _ in range(30):
        caching.count(Counts(hits=2, misses=1), deps)
    assert verdict_cache.counts(deps.documents) == Counts(hits=60, misses=30)


def test_counting_never_costs_a_reply(deps: caching.Deps, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(writes: list[Write]) -> None:
        raise Retryable("away")

    monkeypatch.setattr(deps.documents, "commit", away)
    caching.count(Counts(1, 1), deps)


def test_the_oldest_and_newest_are_of_those_that_may_be_served(deps: caching.Deps, clock: ManualClock) -> None:
    documents = deps.documents
    assert verdict_cache.first_fresh(documents, clock.now(), newest=True) is None
    for position, hours in enumerate([0, 1, 2]):
        clock.advance(hours * HOUR)
        caching.serve(f"{position:064}", ("id",), Maker(duration=timedelta(hours=4)), deps)
    now = NOON + timedelta(hours=4.5)
    oldest = verdict_cache.first_fresh(documents, now, newest=False)
    newest = verdict_cache.first_fresh(documents, now, newest=True)
    assert oldest is not None
    assert newest is not None
    assert (oldest.created_at, newest.created_at) == (NOON + timedelta(hours=1), NOON + timedelta(hours=3))
    assert verdict_cache.number_of_fresh(documents, now) == 2
