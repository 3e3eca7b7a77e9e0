"""One contract for the `Blobs` port, over both homes, with its signed URLs used as strangers would use them.

`embedded` is the folder itself, its signed URLs served by uvicorn; `google` is Cloud Storage's client library against
the embedded blob server, which speaks Cloud Storage's protocol.
"""

from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import BinaryIO, cast

import psutil
import pytest

from shared.adapters.embedded import blobs as embedded_blobs
from shared.adapters.google.blobs import WRITE_CHUNK
from shared.errors import InvalidKey, NotFound, PreconditionFailed
from tests.contract.blob_fixtures import (
    BAD_NAMES,
    HOUR,
    ODD_NAMES,
    Home,
    Stream,
    clock,
    content_files,
    home,
    host,
    put,
    sign,
    signing_key,
    unfinished_files,
)

__all__ = ["clock", "home", "host", "signing_key"]


def test_put_tells_what_stat_tells(home: Home) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    info = put(home, "a/b.mp4", b"12345", metadata={"source": "cam-1", "Größe": "fünf"})
    assert (info.name, info.size, info.content_type) == ("a/b.mp4", 5, "video/mp4")
    assert info.metadata == {"source": "cam-1", "Größe": "fünf"}
    assert info.generation > 0
    assert info.updated.utcoffset() == timedelta(0)
    assert before < info.updated < datetime.now(UTC) + timedelta(seconds=1)
    assert home.blobs.stat("a/b.mp4") == info


def test_stat_of_nothing_is_none_and_open_of_nothing_is_not_found(home: Home) -> None:
    assert home.blobs.stat("nothing") is None
    with pytest.raises(NotFound):
        home.blobs.open("nothing")


def test_empty_object(home: Home) -> None:
    assert put(home, "empty", b"").size == 0
    with home.blobs.open("empty") as reader:
        assert reader.read() == b""
        assert reader.read(10) == b""


def test_reader_seeks_and_reads_ranges(home: Home) -> None:
    data = bytes(range(256)) * 40_000  # 10 MB: several of the client's chunks
    put(home, "big", data)
    with home.blobs.open("big") as reader:
        assert reader.seekable()
        assert reader.readable()
        assert reader.read(10) == data[:10]
        assert reader.seek(9_000_001) == 9_000_001
        assert reader.read(5) == data[9_000_001:9_000_006]
        assert reader.tell() == 9_000_006
        assert reader.seek(-4, io.SEEK_END) == len(data) - 4
        assert reader.read(100) == data[-4:]
        assert reader.read(100) == b""
        assert reader.seek(100) == 100
        assert reader.seek(50, io.SEEK_CUR) == 150
        assert reader.read(6_000_000) == data[150:6_000_150]
        reader.seek(len(data) + 5)
        assert reader.read(1) == b""
        with pytest.raises((ValueError, OSError)):
            reader.seek(-1)
        reader.seek(0)
        assert reader.read() == data
    with pytest.raises(ValueError, match="closed"):
        reader.read(1)


def test_reader_stays_with_its_generation(home: Home) -> None:
    """An overwrite never mixes into a reader: it goes on with the old bytes, or says that they are gone."""
    put(home, "a", b"old" * 4_000_000)
    with home.blobs.open("a") as reader:
        assert reader.read(3) == b"old"
        put(home, "a", b"new" * 4_000_000)
        try:
            rest = reader.read()
        except NotFound:
            return
        assert rest == (b"old" * 4_000_000)[3:]


def test_open_of_a_generation(home: Home) -> None:
    first = put(home, "a", b"first")
    with home.blobs.open("a", generation=first.generation) as reader:
        assert reader.read() == b"first"
    put(home, "a", b"second")
    with pytest.raises(NotFound):
        home.blobs.open("a", generation=first.generation)


def test_streams_are_put_from_where_they_stand(home: Home) -> None:
    source = io.BytesIO(b"skipped" + b"kept")
    source.seek(7)
    assert home.blobs.put("a", source, content_type="text/plain").size == 4
    with home.blobs.open("a") as reader:
        assert reader.read() == b"kept"


@pytest.mark.parametrize("size", [WRITE_CHUNK - 1, WRITE_CHUNK, WRITE_CHUNK + 1, 2 * WRITE_CHUNK])
def test_streams_at_the_edges_of_a_chunk(home: Home, size: int) -> None:
    info = home.blobs.put("a", cast("BinaryIO", Stream(size)), content_type="video/mp4", metadata={"k": "v"})
    assert (info.size, info.content_type, info.metadata) == (size, "video/mp4", {"k": "v"})
    with home.blobs.open("a") as reader:
        assert reader.seek(0, io.SEEK_END) == size


def test_a_big_stream_is_never_in_memory(home: Home) -> None:
    put(home, "warm-up", b"x" * WRITE_CHUNK * 2)
    process = psutil.Process()
    before = process.memory_info().rss
    highest = before
    done = threading.Event()

    def watch() -> None:
        nonlocal highest
        while not done.wait(0.01):
            highest = max(highest, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    size = 150 << 20
    try:
        assert home.blobs.put("big", cast("BinaryIO", Stream(size)), content_type="video/mp4").size == size
    finally:
        done.set()
        watcher.join()
    assert highest - before < 64 << 20


def test_a_source_that_fails_stores_nothing(home: Home) -> None:
    class Failing(Stream):
        def read(self, size: int = -1) -> bytes:
            if self.left < 5 << 20:
                raise RuntimeError("the source broke")
            return super().read(size)

    with pytest.raises(RuntimeError):
        home.blobs.put("a", cast("BinaryIO", Failing(20 << 20)), content_type="video/mp4")
    assert home.blobs.stat("a") is None


def test_overwrite_has_a_new_and_greater_generation(home: Home) -> None:
    generations = [put(home, "a", b"%d" % number).generation for number in range(5)]
    assert generations == sorted(set(generations))
    home.blobs.delete("a")
    assert put(home, "a").generation > generations[-1]
    assert len(content_files(home.folder)) == 1


def test_put_with_preconditions(home: Home) -> None:
    first = put(home, "a", if_generation=0)
    with pytest.raises(PreconditionFailed):
        put(home, "a", b"other", if_generation=0)
    with pytest.raises(PreconditionFailed):
        put(home, "missing", if_generation=first.generation)
    second = put(home, "a", b"second", if_generation=first.generation)
    with pytest.raises(PreconditionFailed):
        put(home, "a", b"third", if_generation=first.generation)
    assert home.blobs.stat("a") == second


def test_one_of_many_racing_creators_wins(home: Home) -> None:
    start = threading.Barrier(32)

    def create(number: int) -> int | None:
        start.wait()
        try:
            put(home, "contested", b"%d" % number, if_generation=0)
        except PreconditionFailed:
            return None
        return number

    with ThreadPoolExecutor(32) as pool:
        winners = [number for number in pool.map(create, range(32)) if number is not None]
    assert len(winners) == 1
    with home.blobs.open("contested") as reader:
        assert reader.read() == b"%d" % winners[0]
    assert len(content_files(home.folder)) == 1
    assert unfinished_files(home.folder) == []


def test_readers_see_whole_objects_while_writers_overwrite(home: Home) -> None:
    put(home, "a", b"0" * 10_000)
    stop = threading.Event()

    def overwrite() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            put(home, "a", b"%d" % (number % 10) * 10_000)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(overwrite)
        for _ in range(50):
            try:
                with home.blobs.open("a") as reader:
                    data = reader.read()
            except NotFound:
                continue  # Cloud Storage: the generation may go between two requests
            assert len(data) == 10_000
            assert len(set(data)) == 1
        stop.set()
        writing.result()


def test_copy(home: Home) -> None:
    original = put(home, "a", b"bytes", metadata={"k": "v"})
    copied = home.blobs.copy("a", "b/c", if_generation=0)
    assert (copied.name, copied.size, copied.content_type, copied.metadata) == ("b/c", 5, "video/mp4", {"k": "v"})
    assert copied.generation > original.generation
    with pytest.raises(PreconditionFailed):
        home.blobs.copy("a", "b/c", if_generation=0)
    again = home.blobs.copy("a", "b/c", if_generation=copied.generation)
    assert again.generation > copied.generation
    with pytest.raises(NotFound):
        home.blobs.copy("missing", "d")
    assert home.blobs.stat("d") is None
    home.blobs.delete("a")
    with home.blobs.open("b/c") as reader:
        assert reader.read() == b"bytes"


def test_copy_onto_itself(home: Home) -> None:
    first = put(home, "a", b"same")
    assert home.blobs.copy("a", "a").generation > first.generation
    with home.blobs.open("a") as reader:
        assert reader.read() == b"same"


def test_delete(home: Home) -> None:
    first = put(home, "a")
    second = put(home, "a", b"second")
    with pytest.raises(PreconditionFailed):
        home.blobs.delete("a", if_generation=first.generation)
    home.blobs.delete("a", if_generation=second.generation)
    assert home.blobs.stat("a") is None
    with pytest.raises(NotFound):
        home.blobs.delete("a")
    with pytest.raises(NotFound):
        home.blobs.delete("a", if_generation=second.generation)
    assert content_files(home.folder) == []


def test_list_is_in_the_order_of_bytes(home: Home) -> None:
    names = ["b", "a/2", "a/10", "a", "é", "z", "a/\U0001f600", "a/\uff5e", "A", "a0"]
    for name in names:
        put(home, name, name.encode())
    assert [info.name for info in home.blobs.list()] == sorted(names, key=str.encode)
    listed = list(home.blobs.list("a/"))
    assert [info.name for info in listed] == ["a/10", "a/2", "a/\uff5e", "a/\U0001f600"]
    assert listed[0] == home.blobs.stat("a/10")
    assert list(home.blobs.list("nothing/")) == []


def test_list_goes_on_over_pages(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_blobs, "PAGE", 7)
    monkeypatch.setattr("shared.adapters.embedded.blob_json_api.MAX_PAGE", 7)
    names = [f"p/{number:03}" for number in range(35)]
    for name in [*names, "o", "q"]:
        put(home, name)
    listing = home.blobs.list("p/")
    assert next(listing).name == "p/000"
    home.blobs.delete("p/010")  # pages not yet fetched see it
    assert [info.name for info in listing] == [name for name in names[1:] if name != "p/010"]


@pytest.mark.parametrize("name", ODD_NAMES, ids=[ascii(name)[:20] for name in ODD_NAMES])
def test_odd_names_are_just_names(home: Home, name: str) -> None:
    info = put(home, name, b"odd")
    assert info.name == name
    assert home.blobs.stat(name) == info
    with home.blobs.open(name) as reader:
        assert reader.read() == b"odd"
    assert [listed.name for listed in home.blobs.list(name)] == [name]
    assert home.blobs.copy(name, "plain").size == 3
    assert home.blobs.copy("plain", name, if_generation=info.generation).name == name
    home.blobs.delete(name)
    assert [listed.name for listed in home.blobs.list()] == ["plain"]


@pytest.mark.parametrize("name", BAD_NAMES, ids=[ascii(name)[:20] for name in BAD_NAMES])
def test_names_that_no_home_can_store(home: Home, name: str) -> None:
    put(home, "good")
    for attempt in (
        lambda: home.blobs.stat(name),
        lambda: home.blobs.open(name),
        lambda: put(home, name),
        lambda: home.blobs.copy("good", name),
        lambda: home.blobs.copy(name, "other"),
        lambda: home.blobs.delete(name),
        lambda: home.blobs.sign_get(name, expires_in=HOUR),
        lambda: sign(home, name),
    ):
        with pytest.raises(InvalidKey):
            attempt()
    assert [info.name for info in home.blobs.list()] == ["good"]
