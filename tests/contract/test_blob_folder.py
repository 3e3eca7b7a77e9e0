"""The embedded blob store under `kill -9`, between processes, and its bucket notifications."""

from __future__ import annotations

import json
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
import time
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from shared.adapters.embedded.blob_folder import BlobFolder
from shared.adapters.embedded.blob_keys import LocalSigningKey, local_signing_key
from shared.adapters.embedded.blob_notifications import NotificationRelay
from shared.adapters.embedded.blob_object import NewObject, Preconditions
from shared.adapters.embedded.blobs import FolderBlobs
from shared.errors import NotFound, Retryable, SettingsError
from shared.ports import OutgoingMessage
from tests.contract.blob_fixtures import (
    BUCKET,
    Host,
    MovableClock,
    ask,
    clock,
    content_files,
    embedded_home,
    host,
    send_range,
    sign,
    signing_key,
    start_session,
    unfinished_files,
    wait_until,
)

__all__ = ["clock", "host", "signing_key"]

RULES = [(BUCKET, "in/", "uploads-finalised"), (BUCKET, "in/", "second"), ("evidence", "", "other")]


def run_until_killed(root: Path, script: str) -> None:
    """Runs `script` in a process that must die by SIGKILL; it finds `folder`, `blobs` and `die` prepared."""
    prelude = f"""
        import os, pathlib, signal
        from shared.adapters.embedded.blob_folder import BlobFolder
        from shared.adapters.embedded.blobs import FolderBlobs
        folder = BlobFolder(pathlib.Path({str(root)!r}), notifications={RULES!r})
        blobs = FolderBlobs(folder, {BUCKET!r})
        def die():
            os.kill(os.getpid(), signal.SIGKILL)
    """
    code = textwrap.dedent(prelude) + textwrap.dedent(script)
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()


def put(folder: BlobFolder, name: str, data: bytes = b"content") -> int:
    return FolderBlobs(folder, BUCKET).put(name, data, content_type="text/plain").generation


def read(folder: BlobFolder, name: str) -> bytes:
    with FolderBlobs(folder, BUCKET).open(name) as reader:
        return reader.read()


# --------------------------------------------------------------------------- kill -9


def test_killed_between_rename_and_commit(tmp_path: Path) -> None:
    folder = BlobFolder(tmp_path)
    put(folder, "in/a", b"old")
    folder.close()
    script = """
        rename = os.replace
        def rename_and_die(source, target):
            rename(source, target)
            die()
        os.replace = rename_and_die
        blobs.put("in/a", b"new", content_type="text/plain")
    """
    run_until_killed(tmp_path, script)
    assert len(content_files(folder)) == 2
    again = BlobFolder(tmp_path)
    assert read(again, "in/a") == b"old"
    assert len(content_files(again)) == 1
    assert unfinished_files(again) == []
    assert again.deliver_notifications(lambda message: None) == 0
    put(again, "in/a", b"newer")
    assert read(again, "in/a") == b"newer"
    again.close()


def test_killed_after_the_commit_of_an_overwrite(tmp_path: Path) -> None:
    folder = BlobFolder(tmp_path)
    put(folder, "in/a", b"old")
    folder.close()
    script = """
        pathlib.Path.unlink = lambda *args, **options: die()
        blobs.put("in/a", b"new", content_type="text/plain")
    """
    run_until_killed(tmp_path, script)
    again = BlobFolder(tmp_path)
    assert read(again, "in/a") == b"new"
    assert len(content_files(again)) == 1
    assert again.deliver_notifications(lambda message: None) == 2
    again.close()


def test_killed_after_the_commit_of_a_delete(tmp_path: Path) -> None:
    folder = BlobFolder(tmp_path)
    put(folder, "a")
    folder.close()
    run_until_killed(tmp_path, "pathlib.Path.unlink = lambda *args, **options: die()\nblobs.delete('a')")
    again = BlobFolder(tmp_path)
    assert FolderBlobs(again, BUCKET).stat("a") is None
    assert content_files(again) == []
    again.close()


def test_killed_while_finishing_a_resumable_upload(tmp_path: Path) -> None:
    script = """
        from shared.adapters.embedded.blob_object import NewObject, Preconditions
        session = folder.sessions.start(NewObject("media", "in/a", "text/plain"), Preconditions(generation=0))
        pathlib.Path(folder._root / "id").write_text(session.id)
        rename = os.replace
        def rename_and_die(source, target):
            rename(source, target)
            die()
        os.replace = rename_and_die
        with folder.sessions.appending(session) as part:
            part.append(b"all of it")
            folder.sessions.finish(session, part, {})
    """
    run_until_killed(tmp_path, script)
    again = BlobFolder(tmp_path)
    assert FolderBlobs(again, BUCKET).stat("in/a") is None
    assert content_files(again) == []
    session = again.sessions.get((tmp_path / "id").read_text())
    with again.sessions.appending(session) as part:
        assert part.size == 9
        again.sessions.finish(session, part, {})
    assert read(again, "in/a") == b"all of it"
    assert again.sessions.get(session.id).finished_generation
    again.close()


def test_a_transaction_that_fails_leaves_no_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = BlobFolder(tmp_path)
    put(folder, "a", b"old")

    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("shared.adapters.embedded.blob_notifications.note", fail)
    with pytest.raises(Retryable):
        put(folder, "a", b"new")
    assert read(folder, "a") == b"old"
    assert len(content_files(folder)) == 1
    folder.close()


def test_killed_after_a_resumable_upload_was_finished(
    tmp_path: Path, host: Host, signing_key: LocalSigningKey, clock: MovableClock
) -> None:
    """What had arrived still lies there, as another name of the object's own bytes: nothing may touch it."""
    with embedded_home(tmp_path, host, signing_key, clock) as home:
        session = start_session(home)
        send_range(session, b"0123", 0, 10)
    script = f"""
        session = folder.sessions.get({session.partition("upload_id=")[2]!r})
        with folder.sessions.appending(session) as part:
            part.append(b'456789')
            unlink = pathlib.Path.unlink
            pathlib.Path.unlink = lambda path, **how: die() if path.parent.name == 'sessions' else unlink(path, **how)
            folder.sessions.finish(session, part, {{}})
    """
    run_until_killed(tmp_path, script)
    with embedded_home(tmp_path, host, signing_key, clock) as home:
        assert len(list((tmp_path / "sessions").iterdir())) == 1
        assert ask(session, 10).status_code == 200
        assert send_range(session, b"xxxxxx", 4, 10).status_code == 200
        with home.blobs.open("up/load") as reader:
            assert reader.read() == b"0123456789"


def test_a_session_goes_on_in_the_next_process(
    tmp_path: Path, host: Host, signing_key: LocalSigningKey, clock: MovableClock
) -> None:
    with embedded_home(tmp_path, host, signing_key, clock) as home:
        session = start_session(home, metadata={"source-id": "gate"})
        send_range(session, b"0123", 0, "*")
    run_until_killed(tmp_path, "die()")
    with embedded_home(tmp_path, host, signing_key, clock) as home:
        for total in ("*", 10):
            answer = ask(session, total)
            assert (answer.status_code, answer.headers["range"]) == (308, "bytes=0-3")
        assert send_range(session, b"456789", 4, 10).status_code == 200
        stored = home.blobs.stat("up/load")
        assert stored is not None
        assert (stored.size, stored.content_type, stored.metadata) == (10, "video/mp4", {"source-id": "gate"})


def test_killed_while_receiving(tmp_path: Path) -> None:
    script = """
        class Source:
            def read(self, size):
                if self.given:
                    die()
                self.given = True
                return b"x" * size
            given = False
        blobs.put("a", Source(), content_type="text/plain")
    """
    run_until_killed(tmp_path, script)
    again = BlobFolder(tmp_path)
    assert FolderBlobs(again, BUCKET).stat("a") is None
    assert unfinished_files(again) == []
    assert content_files(again) == []
    again.close()


def test_a_starting_process_leaves_living_ones_alone(tmp_path: Path) -> None:
    first = BlobFolder(tmp_path)
    with first.receive() as incoming:
        incoming.write(b"half")
        second = BlobFolder(tmp_path)
        incoming.write(b"whole")
        first.store(incoming.finish(), NewObject(BUCKET, "a", "text/plain"), Preconditions())
    assert read(second, "a") == b"halfwhole"
    second.close()
    first.close()


def test_processes_race_for_one_name(tmp_path: Path) -> None:
    script = textwrap.dedent(f"""
        import pathlib, sys
        from shared.adapters.embedded.blob_folder import BlobFolder
        from shared.adapters.embedded.blobs import FolderBlobs
        from shared.errors import PreconditionFailed
        blobs = FolderBlobs(BlobFolder(pathlib.Path({str(tmp_path)!r})), {BUCKET!r})
        won = 0
        for number in range(20):
            try:
                blobs.put(f"a{{number}}", b"x", content_type="text/plain", if_generation=0)
                won += 1
            except PreconditionFailed:
                pass
        print(won)
    """)
    racers = [
        subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=Path.cwd()) for _ in range(4)
    ]
    won = [int(racer.communicate(timeout=60)[0]) for racer in racers]
    assert sum(won) == 20
    folder = BlobFolder(tmp_path)
    assert len(content_files(folder)) == 20
    folder.close()


def test_a_resumable_session_survives_a_restart(
    tmp_path: Path, host: Host, signing_key: LocalSigningKey, clock: MovableClock
) -> None:
    data = b"0123456789" * 100_000
    with embedded_home(tmp_path, host, signing_key, clock) as home:
        session = start_session(home, max_bytes=10_000_000)
        assert send_range(session, data[:524_288], 0, len(data)).status_code == 308
    with embedded_home(tmp_path, host, signing_key, clock) as home:
        assert ask(session, len(data)).headers["range"] == "bytes=0-524287"
        assert send_range(session, data[524_288:], 524_288, len(data)).status_code == 200
        assert read(home.folder, "up/load") == data


def test_a_session_is_forgotten_after_a_week(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = BlobFolder(tmp_path)
    session = folder.sessions.start(NewObject(BUCKET, "a", "text/plain"), Preconditions())
    assert folder.sessions.get(session.id) == session
    later = time.time() + 8 * 24 * 3600
    monkeypatch.setattr("time.time", lambda: later)
    with pytest.raises(NotFound):
        folder.sessions.get(session.id)
    folder.close()
    again = BlobFolder(tmp_path)
    assert list((tmp_path / "sessions").iterdir()) == []
    again.close()


def test_generations_grow_even_when_the_clock_goes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = BlobFolder(tmp_path)
    first = put(folder, "a")
    with folder.index.write() as connection:
        connection.execute("UPDATE last_generation SET generation = generation + 3600000000")
    second = put(folder, "a")
    assert second > first + 3_600_000_000
    assert put(folder, "b") == second + 1
    folder.close()


def test_a_full_disk_is_retryable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = BlobFolder(tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(Retryable):
        put(folder, "a")
    monkeypatch.undo()
    assert unfinished_files(folder) == []
    assert content_files(folder) == []
    folder.close()


# --------------------------------------------------------------------------- notifications


def test_a_notification_is_what_cloud_storage_publishes(tmp_path: Path) -> None:
    folder = BlobFolder(tmp_path, notifications=RULES)
    blobs = FolderBlobs(folder, BUCKET)
    first = blobs.put("in/ü.mp4", b"123456789", content_type="video/mp4", metadata={"k": "v"})
    put(folder, "out/a")
    second = blobs.put("in/ü.mp4", b"123456", content_type="video/mp4")
    published: list[OutgoingMessage] = []
    assert folder.deliver_notifications(published.append) == 4
    assert [message.topic for message in published] == ["uploads-finalised", "second"] * 2
    attributes = dict(published[0].attributes)
    assert attributes.pop("eventTime").endswith("Z")
    assert attributes == {
        "notificationConfig": "projects/_/buckets/media/notificationConfigs/1",
        "eventType": "OBJECT_FINALIZE",
        "payloadFormat": "JSON_API_V1",
        "bucketId": "media",
        "objectId": "in/ü.mp4",
        "objectGeneration": str(first.generation),
    }
    assert published[2].attributes["overwroteGeneration"] == str(first.generation)
    resource = json.loads(published[0].data)
    assert resource["kind"] == "storage#object"
    assert resource["id"] == f"media/in/ü.mp4/{first.generation}"
    assert (resource["size"], resource["metageneration"]) == ("9", "1")
    assert resource["md5Hash"] == "JfnnlDI7RTiF9RgfG2JNCw=="
    assert resource["crc32c"] == "4waSgw=="  # the check value of every CRC-32C description
    assert resource["metadata"] == {"k": "v"}
    assert json.loads(published[2].data)["generation"] == str(second.generation)
    assert folder.deliver_notifications(published.append) == 0
    folder.close()


def test_copies_are_announced_and_refused_writes_are_not(tmp_path: Path) -> None:
    folder = BlobFolder(tmp_path, notifications=RULES)
    blobs = FolderBlobs(folder, BUCKET)
    put(folder, "out/a")
    blobs.copy("out/a", "in/b")
    with pytest.raises(Exception, match="generation"):
        blobs.put("in/b", b"x", content_type="text/plain", if_generation=0)
    published: list[OutgoingMessage] = []
    folder.deliver_notifications(published.append)
    assert [message.attributes["objectId"] for message in published] == ["in/b", "in/b"]
    folder.close()


def test_notifications_of_a_killed_process_are_delivered_by_the_next(tmp_path: Path) -> None:
    run_until_killed(tmp_path, "blobs.put('in/a', b'x', content_type='text/plain')\ndie()")
    folder = BlobFolder(tmp_path, notifications=RULES)
    published: list[OutgoingMessage] = []
    with NotificationRelay(folder, published.append):
        wait_until(lambda: len(published) == 2)
    assert folder.deliver_notifications(published.append) == 0
    folder.close()


def test_killed_between_publish_and_forgetting_publishes_again(tmp_path: Path) -> None:
    script = f"""
        blobs.put('in/a', b'x', content_type='text/plain')
        def publish(message):
            with open({str(tmp_path / "published")!r}, 'a') as log:
                log.write(message.topic + '\\n')
            die()
        folder.deliver_notifications(publish)
    """
    run_until_killed(tmp_path, script)
    folder = BlobFolder(tmp_path)
    published = (tmp_path / "published").read_text().split()
    folder.deliver_notifications(lambda message: published.append(message.topic))
    assert published == ["uploads-finalised", "uploads-finalised", "second"]
    folder.close()


def test_a_failing_topic_is_tried_again_and_holds_up_no_other(tmp_path: Path) -> None:
    folder = BlobFolder(tmp_path, notifications=RULES)
    failing = True
    published: list[str] = []

    def publish(message: OutgoingMessage) -> None:
        if failing and message.topic == "uploads-finalised":
            raise NotFound("topic_not_found", "There is no such topic.")
        published.append(message.topic)

    with NotificationRelay(folder, publish):
        put(folder, "in/a")
        wait_until(lambda: published == ["second"])
        failing = False
        wait_until(lambda: published == ["second", "uploads-finalised"])
    folder.close()


def test_the_relay_wakes_on_commit_and_stops_between_messages(tmp_path: Path) -> None:
    folder = BlobFolder(tmp_path, notifications=RULES[:1])
    arrived = threading.Event()
    relay = NotificationRelay(folder, lambda message: arrived.set())
    with relay:
        time.sleep(0.1)
        begin = time.monotonic()
        put(folder, "in/a")
        assert arrived.wait(5)
        assert time.monotonic() - begin < 0.9
    put(folder, "in/b")
    published: list[OutgoingMessage] = []
    assert folder.deliver_notifications(published.append) == 1
    folder.close()


def test_a_signed_upload_is_announced(
    tmp_path: Path, host: Host, signing_key: LocalSigningKey, clock: MovableClock
) -> None:
    rules = [(BUCKET, "up/", "t")]
    with embedded_home(tmp_path, host, signing_key, clock, notifications=rules) as home:
        upload = sign(home)
        other = BlobFolder(tmp_path)
        published: list[OutgoingMessage] = []
        with NotificationRelay(other, published.append):  # another process's upload is found by polling
            assert httpx.put(upload.url, headers=dict(upload.headers), content=b"12345").status_code == 200
            wait_until(lambda: len(published) == 1)
        other.close()


# --------------------------------------------------------------------------- the signing key


def test_the_signing_key_is_made_once_and_private(tmp_path: Path) -> None:
    first = local_signing_key(tmp_path / "data")
    second = local_signing_key(tmp_path / "data")
    assert first.public_key.public_numbers() == second.public_key.public_numbers()
    mode = (tmp_path / "data" / "signing-key.json").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
    assert len(list((tmp_path / "data").glob("*.json"))) == 1


@pytest.mark.parametrize("base_url", ["localhost:8080", "http://localhost/blobs", "ftp://localhost", "http://"])
def test_a_base_url_that_is_no_origin(tmp_path: Path, signing_key: LocalSigningKey, base_url: str) -> None:
    folder = BlobFolder(tmp_path)
    with pytest.raises(SettingsError):
        FolderBlobs(folder, BUCKET, signer=signing_key.credentials, base_url=base_url)
    folder.close()


def test_signing_needs_a_key(tmp_path: Path) -> None:
    folder = BlobFolder(tmp_path)
    with pytest.raises(SettingsError):
        FolderBlobs(folder, BUCKET).sign_get("a", expires_in=timedelta(hours=1))
    folder.close()
