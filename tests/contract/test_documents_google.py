"""What the Google home of the `Documents` port promises besides: watches that reconnect, and what errors mean."""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest
from google.api_core import exceptions
from google.cloud import firestore

from shared.adapters.google.documents import FirestoreDocuments
from shared.errors import AlreadyExists, Retryable, TooLarge, UndeclaredIndex, VersionConflict
from shared.ports import Create, Document, Documents, Filter, Order, Query, Set, Update, Write


class Line:
    """A TCP line to the emulator that can be cut and mended."""

    def __init__(self, target: str) -> None:
        host, port = target.split(":")
        self._target = (host, int(port))
        self._cut = False
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._cut = True
        for end in self._open:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def mend(self) -> None:
        self._cut = False

    def close(self) -> None:
        self.cut()
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if self._cut:
                    near.close()
                    continue
                far = socket.create_connection(self._target)
                self._open += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while chunk := source.recv(65536):
                sink.sendall(chunk)
        source.close()
        sink.close()


@pytest.fixture
def line(firestore_host: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    made = Line(firestore_host)
    yield made
    made.close()


@pytest.fixture
def pair(line: Line, firestore_host: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Documents, Documents]]:
    """The same documents twice: over the line that can be cut, and directly."""
    project = f"demo-{uuid4().hex[:20]}"
    direct = firestore.Client(project=project)
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", line.address)
    over_line = firestore.Client(project=project)
    yield FirestoreDocuments(over_line), FirestoreDocuments(direct)
    over_line.close()
    direct.close()


def wait_for(calls: list[tuple[Document, ...]], ids: list[str], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if calls and [document.id for document in calls[-1]] == ids:
            return
        time.sleep(0.02)
    pytest.fail(f"waited for {ids}, saw {calls[-1:]}")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # how the library ends a stream
def commit_in_the_end(documents: Documents, write: Set) -> None:
    """The emulator may fail a commit, CANCELLED, because somebody else's watch has just lost its line."""
    for _ in range(20):
        try:
            documents.commit([write])
        except Retryable:
            continue
        return
    pytest.fail("the emulator refused every commit")


class TestReconnecting:
    def test_a_watch_outlives_a_cut_line(self, pair: tuple[Documents, Documents], line: Line) -> None:
        over_line, direct = pair
        calls: list[tuple[Document, ...]] = []
        watch = over_line.watch(Query("things"), calls.append)
        wait_for(calls, [])
        line.cut()
        commit_in_the_end(direct, Set("things", "a", {}))
        used = time.process_time()
        time.sleep(2)
        assert time.process_time() - used < 0.5, "a watch without a network must not keep the processor busy"
        line.mend()
        wait_for(calls, ["a"])
        direct.commit([Create("things", "b", {})])
        wait_for(calls, ["a", "b"])
        assert len(calls) == 3
        watch.close()

    def test_a_stream_that_ends_for_good_is_opened_again(
        self, google_documents: Documents, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        streams: list[firestore.Watch] = []
        listen = firestore.Query.on_snapshot

        def remember(query: firestore.Query, callback: Callable[..., None]) -> firestore.Watch:
            streams.append(listen(query, callback))
            return streams[-1]

        monkeypatch.setattr(firestore.Query, "on_snapshot", remember)
        calls: list[tuple[Document, ...]] = []
        watch = google_documents.watch(Query("things"), calls.append)
        wait_for(calls, [])
        streams[0].unsubscribe()
        google_documents.commit([Create("things", "a", {})])
        wait_for(calls, ["a"])
        assert len(streams) == 2
        watch.close()
        assert not streams[1].is_active

    def test_a_watch_opened_while_the_line_is_cut_begins_later(
        self, pair: tuple[Documents, Documents], line: Line
    ) -> None:
        over_line, direct = pair
        line.cut()
        calls: list[tuple[Document, ...]] = []
        watch = over_line.watch(Query("things"), calls.append)
        direct.commit([Create("things", "a", {})])
        time.sleep(0.5)
        assert calls == []
        line.mend()
        wait_for(calls, ["a"])
        watch.close()


class TestErrors:
    @pytest.mark.parametrize(
        ("error", "write", "meaning"),
        [
            (exceptions.AlreadyExists("x"), Create("things", "a", {}), AlreadyExists),
            (exceptions.Aborted("x"), Create("things", "a", {}), Retryable),
            (exceptions.FailedPrecondition("x"), Update("things", "a", {"x": 1}), VersionConflict),
            (exceptions.NotFound("x"), Update("things", "a", {"x": 1}), VersionConflict),
            (exceptions.NotFound("no such database"), Set("things", "a", {}), exceptions.NotFound),
            (exceptions.InvalidArgument("its size (1,048,577 bytes) exceeds the maximum allowed size"),
             Update("things", "a", {"x": 1}), TooLarge),
            (exceptions.InvalidArgument("something else"), Set("things", "a", {}), exceptions.InvalidArgument),
            (exceptions.ServiceUnavailable("x"), Set("things", "a", {}), Retryable),
            (exceptions.DeadlineExceeded("x"), Set("things", "a", {}), Retryable),
            (exceptions.ResourceExhausted("x"), Set("things", "a", {}), Retryable),
            (exceptions.PermissionDenied("x"), Set("things", "a", {}), exceptions.PermissionDenied),
        ],
    )  # fmt: skip
    def test_a_failed_commit_is_not_repeated_and_says_what_it_means(
        self,
        google_documents: Documents,
        monkeypatch: pytest.MonkeyPatch,
        error: Exception,
        write: Write,
        meaning: type[Exception],
    ) -> None:
        asked: list[object] = []

        def fail(_batch: firestore.WriteBatch, retry: object, timeout: float) -> None:
            asked.append(retry)
            raise error

        monkeypatch.setattr(firestore.WriteBatch, "commit", fail)
        with pytest.raises(meaning):
            google_documents.commit([write])
        assert asked == [None]

    def test_a_commit_over_a_cut_line_may_be_tried_again(self, pair: tuple[Documents, Documents], line: Line) -> None:
        over_line, direct = pair
        line.cut()
        with pytest.raises(Retryable):
            over_line.commit([Create("things", "a", {})])
        assert direct.get("things", "a") is None

    def test_a_read_is_repeated_as_a_whole(self, google_documents: Documents, monkeypatch: pytest.MonkeyPatch) -> None:
        google_documents.commit([Create("things", id, {}) for id in "ab"])
        stream = firestore.Query.stream
        failures = [exceptions.ServiceUnavailable("x"), exceptions.InternalServerError("x")]

        def break_off(query: firestore.Query, **options: Any) -> Iterator[Any]:
            documents = stream(query, **options)
            if failures:
                yield next(iter(documents))
                raise failures.pop()
            yield from documents

        monkeypatch.setattr(firestore.Query, "stream", break_off)
        assert [document.id for document in google_documents.query(Query("things")).documents] == ["a", "b"]
        assert failures == []

    @pytest.mark.parametrize(
        ("error", "meaning"),
        [
            (exceptions.FailedPrecondition("The query requires an index."), UndeclaredIndex),
            (exceptions.ResourceExhausted("x"), Retryable),
            (exceptions.PermissionDenied("x"), exceptions.PermissionDenied),
        ],
    )
    def test_a_failed_query_says_what_it_means(
        self,
        google_documents: Documents,
        monkeypatch: pytest.MonkeyPatch,
        error: Exception,
        meaning: type[Exception],
    ) -> None:
        def fail(_query: firestore.Query, **_options: Any) -> None:
            raise error

        monkeypatch.setattr(firestore.Query, "stream", fail)
        with pytest.raises(meaning):
            google_documents.query(Query("things"))

    def test_without_declared_indexes_the_server_judges(self, firestore_host: str) -> None:
        client = firestore.Client(project="demo-no-indexes")
        query = Query("things", (Filter("x", "==", 1),), (Order("y"),))
        assert FirestoreDocuments(client).query(query).documents == ()
        client.close()
