"""What every home of the `Documents` port promises about watches."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from shared.ports import Create, Delete, Document, Documents, Filter, Order, Query, Set, Update

OPEN = Query("things", (Filter("state", "==", "open"),))


class Seen:
    """Collects what a watch tells, and waits for it."""

    def __init__(self) -> None:
        self.calls: list[tuple[Document, ...]] = []
        self._changed = threading.Condition()

    def __call__(self, documents: tuple[Document, ...]) -> None:
        with self._changed:
            self.calls.append(documents)
            self._changed.notify_all()

    def wait_for(self, ids: list[str]) -> tuple[Document, ...]:
        """Returns the last call once it holds just these documents, in this order."""

        def present() -> bool:
            return bool(self.calls) and [document.id for document in self.calls[-1]] == ids

        with self._changed:
            assert self._changed.wait_for(present, 30), f"waited for {ids}, saw {self.calls[-1:]}"
            return self.calls[-1]


def eventually(holds: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not holds():
        time.sleep(0.02)
    return holds()


def test_begins_with_what_is_there(documents: Documents) -> None:
    documents.commit([Create("things", "a/1", {"state": "open", "n": 1}), Create("things", "b", {"state": "shut"})])
    seen = Seen()
    watch = documents.watch(OPEN, seen)
    (document,) = seen.wait_for(["a/1"])
    assert document == documents.get("things", "a/1")
    watch.close()


def test_begins_with_nothing_if_nothing_is_there(documents: Documents) -> None:
    seen = Seen()
    watch = documents.watch(OPEN, seen)
    seen.wait_for([])
    watch.close()


def test_tells_of_every_kind_of_change(documents: Documents) -> None:
    seen = Seen()
    watch = documents.watch(OPEN, seen)
    seen.wait_for([])
    documents.commit([Create("things", "a", {"state": "open"}), Create("things", "b", {"state": "open"})])
    seen.wait_for(["a", "b"])
    documents.commit([Update("things", "a", {"state": "shut"})])
    seen.wait_for(["b"])
    documents.commit([Set("things", "a", {"state": "open", "n": 2})])
    assert seen.wait_for(["a", "b"])[0].data == {"state": "open", "n": 2}
    documents.commit([Delete("things", "b")])
    seen.wait_for(["a"])
    watch.close()


def test_keeps_the_order_of_the_query(documents: Documents) -> None:
    seen = Seen()
    query = Query("things", (), (Order("rank", descending=True), Order("at")))
    watch = documents.watch(query, seen)
    rows = {"low": (1, 1), "late": (2, 2), "early": (2, 1), "early2": (2, 1)}
    documents.commit([Create("things", id, {"rank": rank, "at": at}) for id, (rank, at) in rows.items()])
    documents.commit([Create("things", "unranked", {"at": 1})])
    seen.wait_for(["early", "early2", "late", "low"])
    documents.commit([Update("things", "low", {"rank": 3.5})])
    seen.wait_for(["low", "early", "early2", "late"])
    watch.close()


def test_is_silent_about_what_it_does_not_match(documents: Documents) -> None:
    seen = Seen()
    watch = documents.watch(OPEN, seen)
    seen.wait_for([])
    documents.commit([Create("things", "a", {"state": "shut"}), Create("others", "b", {"state": "open"})])
    documents.commit([Create("things", "c", {"state": "open"})])
    seen.wait_for(["c"])
    assert [len(call) for call in seen.calls] == [0, 1]
    watch.close()


def test_two_watches_see_the_same(documents: Documents) -> None:
    first, second = Seen(), Seen()
    watches = [documents.watch(OPEN, first), documents.watch(OPEN, second)]
    documents.commit([Create("things", "a", {"state": "open"})])
    first.wait_for(["a"])
    second.wait_for(["a"])
    watches[0].close()
    documents.commit([Delete("things", "a")])
    second.wait_for([])
    assert [document.id for document in first.calls[-1]] == ["a"]
    watches[1].close()


def test_no_callback_runs_after_close(documents: Documents) -> None:
    running = threading.Event()
    ended = threading.Event()

    def slow(_documents: tuple[Document, ...]) -> None:
        running.set()
        time.sleep(0.3)
        ended.set()

    watch = documents.watch(OPEN, slow)
    assert running.wait(10)
    watch.close()
    assert ended.is_set()
    ended.clear()
    documents.commit([Create("things", "a", {"state": "open"})])
    watch.close()
    assert not ended.wait(0.5)


def test_a_callback_may_close_its_own_watch(documents: Documents) -> None:
    calls: list[int] = []
    opened = threading.Event()

    def close(documents: tuple[Document, ...]) -> None:
        calls.append(len(documents))
        opened.wait(10)
        watch.close()

    watch = documents.watch(OPEN, close)
    opened.set()
    assert eventually(lambda: calls == [0])
    documents.commit([Create("things", "a", {"state": "open"})])
    time.sleep(0.3)
    assert calls == [0]


def test_calls_come_one_at_a_time_and_a_failing_one_ends_nothing(documents: Documents) -> None:
    busy = threading.Lock()
    overlaps: list[bool] = []
    last: list[int] = []

    def fail(documents: tuple[Document, ...]) -> None:
        overlaps.append(not busy.acquire(blocking=False))
        time.sleep(0.02)
        last.append(len(documents))
        busy.release()
        raise RuntimeError("the callback's own mistake")

    watch = documents.watch(OPEN, fail)
    for number in range(10):
        documents.commit([Create("things", str(number), {"state": "open"})])
    assert eventually(lambda: bool(last) and last[-1] == 10)
    assert not any(overlaps)
    watch.close()
