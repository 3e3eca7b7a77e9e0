"""What the embedded home of the `Documents` port promises besides: many processes, sudden death, indexes."""

from __future__ import annotations

import math
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.adapters.document_order import order_key
from shared.adapters.document_queries import plan
from shared.adapters.document_values import dump, load, original_id, stored_id
from shared.adapters.embedded.document_sql import order_clause, where_clause
from shared.adapters.embedded.documents import SqliteDocuments
from shared.ports import Create, Document, Filter, Order, Query, Set
from tests.contract.conftest import INDEXES

REPOSITORY = Path(__file__).parents[2]

WRITER = """
import os, sys, threading
from pathlib import Path
from shared.adapters.embedded.documents import SqliteDocuments
from shared.ports import Create, Increment, Set

store = SqliteDocuments(Path(sys.argv[1]), [])

def write(thread):
    for number in range(int(sys.argv[3])):
        id = f"{sys.argv[2]}-{thread}-{number}"
        padding = "x" * (number % 50 * 200)
        store.commit([Create("left", id, {"p": padding}), Create("right", id, {}), Increment("totals", "all", "n")])
        os.write(1, id.encode() + b" ")

threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
store.close()
"""


def start_writer(path: Path, name: str, commits: int) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", WRITER, str(path), name, str(commits)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def reported(writer: subprocess.Popen[str]) -> list[str]:
    output, _ = writer.communicate(timeout=60)
    return output.split()


class TestSuddenDeath:
    def test_every_commit_that_returned_is_whole_after_kill_9(self, tmp_path: Path) -> None:
        path = tmp_path / "documents.db"
        chance = random.Random(7)
        written: set[str] = set()
        for life in range(5):
            writer = start_writer(path, f"life{life}", 1_000_000)
            assert writer.stdout is not None
            begun = os.read(writer.stdout.fileno(), 1).decode()  # the rest is for communicate
            time.sleep(chance.uniform(0.05, 0.4))
            writer.send_signal(signal.SIGKILL)
            written.update((begun + writer.communicate(timeout=60)[0]).split())
            self.check(path, written)

    def check(self, path: Path, written: set[str]) -> None:
        store = SqliteDocuments(path, [])
        left = {document.id for document in store.query(Query("left"), limit=1_000_000).documents}
        right = {document.id for document in store.query(Query("right"), limit=1_000_000).documents}
        total = store.get("totals", "all")
        store.close()
        assert written <= left == right
        assert total is not None
        assert total.data["n"] == len(left)
        connection = sqlite3.connect(path)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()


class TestProcesses:
    def test_several_may_open_and_write_at_once(self, tmp_path: Path) -> None:
        path = tmp_path / "documents.db"
        writers = [start_writer(path, f"process{number}", 50) for number in range(4)]
        written = [id for writer in writers for id in reported(writer)]
        assert [writer.returncode for writer in writers] == [0] * 4
        store = SqliteDocuments(path, [])
        assert len(set(written)) == store.count(Query("left")) == 4 * 4 * 50
        store.close()

    def test_a_watch_sees_commits_of_another(self, tmp_path: Path) -> None:
        store = SqliteDocuments(tmp_path / "documents.db", [])
        calls: list[tuple[Document, ...]] = []
        watch = store.watch(Query("totals"), calls.append)
        writer = start_writer(tmp_path / "documents.db", "other", 5)
        assert len(reported(writer)) == 20
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and not (calls and calls[-1] and calls[-1][0].data["n"] == 20):
            time.sleep(0.02)
        assert calls[0] == ()
        assert calls[-1][0].data == {"n": 20}
        watch.close()
        store.close()


class TestWholeCommits:
    def test_a_query_sees_all_of_a_commit_or_nothing(self, tmp_path: Path) -> None:
        # Firestore promises this too, but its emulator doesn't keep it: under load a query there saw half a commit.
        store = SqliteDocuments(tmp_path / "documents.db", [])
        store.commit([Set("things", id, {"n": 0}) for id in "abc"])

        def write() -> None:
            for number in range(1, 200):
                store.commit([Set("things", id, {"n": number}) for id in "abc"])

        with ThreadPoolExecutor(1) as threads:
            writer = threads.submit(write)
            while not writer.done():
                found = store.query(Query("things")).documents
                assert len({document.data["n"] for document in found}) == 1
            writer.result()
        store.close()


class TestOpening:
    def test_what_was_stored_is_there_after_opening_again(self, tmp_path: Path) -> None:
        path = tmp_path / "new folder" / "documents.db"
        store = SqliteDocuments(path, INDEXES)
        store.commit([Create("things", "a", {"x": 1})])
        before = store.get("things", "a")
        store.close()
        store.close()
        store = SqliteDocuments(path, INDEXES)
        assert store.get("things", "a") == before
        store.close()

    def test_closing_ends_the_watches(self, tmp_path: Path) -> None:
        store = SqliteDocuments(tmp_path / "documents.db", INDEXES)
        calls: list[tuple[Document, ...]] = []
        watch = store.watch(Query("things"), calls.append)
        store.close()
        watch.close()


class TestIndexesAreUsed:
    @pytest.mark.parametrize(
        "query",
        [
            Query("things", (Filter("kind", "==", "k"),), (Order("at", descending=True),)),
            Query("things", (Filter("kind", "==", "k"), Filter("at", ">", 5)), (Order("at"),)),
            Query("things", (), (Order("rank", descending=True), Order("at"))),
            Query("things", (), (Order("at", descending=True),)),
            Query("things", (Filter("at", ">", 5), Filter("at", "<=", 9))),
            Query("things", (Filter("state", "==", "open"),)),
            Query("things"),
        ],
    )
    @pytest.mark.parametrize("paged", [False, True])
    def test_no_query_reads_or_sorts_the_whole_collection(
        self, embedded_documents: SqliteDocuments, tmp_path: Path, query: Query, paged: bool
    ) -> None:
        embedded_documents.query(query)
        made = plan(query, INDEXES)
        condition = where_clause(made, ([1] * len(made.orders), "a") if paged else None)
        explain = f"EXPLAIN QUERY PLAN SELECT id FROM documents WHERE {condition.sql} ORDER BY {order_clause(made)}"
        connection = sqlite3.connect(tmp_path / "documents.db")
        steps = [row[3] for row in connection.execute(explain, condition.parameters)]
        connection.close()
        assert all("USING" in step and "INDEX" in step for step in steps), steps
        assert not any("TEMP B-TREE" in step for step in steps), steps
        if paged or query.where:
            assert any(step.startswith("SEARCH") for step in steps), steps


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary()
    | st.datetimes(timezones=st.just(UTC))
)
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="`\\"), min_size=1, max_size=20).filter(
    lambda name: not (name.startswith("__") and name.endswith("__") and len(name) >= 4)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.dictionaries(NAMES, inner, max_size=4)
        | st.lists(inner.filter(lambda value: not isinstance(value, list)), max_size=4)
    ),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteDocuments]:
    store = SqliteDocuments(tmp_path_factory.mktemp("documents") / "documents.db", INDEXES)
    yield store
    store.close()


class TestAnyValue:
    @given(fields=st.dictionaries(NAMES, VALUES, max_size=5))
    @settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def test_any_document_comes_back_exactly(self, shared_store: SqliteDocuments, fields: dict[str, Any]) -> None:
        shared_store.commit([Set("any", "a", fields)])
        document = shared_store.get("any", "a")
        assert document is not None
        assert exact(document.data) == exact(fields)

    @given(id=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=100))
    def test_any_id_comes_back_from_its_stored_form(self, id: str) -> None:
        assert original_id(stored_id(id)) == id
        assert "/" not in stored_id(id)

    @given(value=VALUES)
    def test_the_text_of_a_value_is_the_same_for_equal_values(self, value: Any) -> None:
        assert dump(load(dump(value))) == dump(value)

    @given(pair=st.tuples(*[st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.integers(-9, 9)] * 2))
    def test_numbers_sort_by_value_whatever_their_type(self, pair: tuple[float, float]) -> None:
        first, second = pair
        assert (order_key(first) < order_key(second)) == (first < second)
        assert (order_key(first) == order_key(second)) == (first == second)

    @given(pair=st.tuples(*[st.text(st.characters(exclude_categories=["Cs"]), max_size=9)] * 2))
    def test_texts_sort_by_their_bytes(self, pair: tuple[str, str]) -> None:
        first, second = pair
        assert (order_key(first).encode() < order_key(second).encode()) == (first.encode() < second.encode())


def exact(value: Any) -> Any:
    """A form in which 1, 1.0 and True differ, and NaN equals itself."""
    if isinstance(value, dict):
        return {key: exact(item) for key, item in value.items()}
    if isinstance(value, list):
        return [exact(item) for item in value]
    if isinstance(value, float):
        return ("float", "nan" if math.isnan(value) else value.hex())
    if isinstance(value, datetime):
        return ("datetime", value.isoformat())
    return (type(value).__name__, value)
