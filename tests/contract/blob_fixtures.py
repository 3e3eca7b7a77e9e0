"""The two homes of the `Blobs` port with a real HTTP server on loopback, and helpers to be rude to it."""

from __future__ import annotations

import io
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette

from local.emulators import free_port
from shared.adapters.embedded.blob_folder import BlobFolder
from shared.adapters.embedded.blob_keys import LocalSigningKey, local_signing_key
from shared.adapters.embedded.blob_server import create_blob_server, signed_routes
from shared.adapters.embedded.blobs import FolderBlobs
from shared.adapters.google.blobs import CloudStorageBlobs
from shared.adapters.google.routed_blobs import RoutedBlobs
from shared.buckets import Buckets
from shared.ports import Blobs, SignedUpload

BUCKET = "media"
OTHER_BUCKET = "evidence"
ROUTES = Buckets({"": BUCKET, **dict.fromkeys(("a/", "b", "copy", "target", "x"), OTHER_BUCKET)})
PAGE_ORIGIN = "http://dashboard.example"
IDLE_SECONDS = 1.0


@dataclass
class MovableClock:
    """The server's time: now, plus what a test adds."""

    ahead: timedelta = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@dataclass
class Home:
    """One home of the port. `folder` is where the server of its signed URLs keeps everything."""

    kind: str
    blobs: Blobs
    folder: BlobFolder
    base_url: str
    key: LocalSigningKey
    clock: MovableClock
    client: Any = None


def content_files(folder: BlobFolder) -> list[Path]:
    """All content on disk, live or not."""
    return [path for path in (folder._root / "objects").rglob("*") if path.is_file()]


def unfinished_files(folder: BlobFolder) -> list[Path]:
    """What uploads in progress, or broken off, have left."""
    return [
        path
        for path in (folder._root / "incoming").rglob("*")
        if path.is_file() and path.name not in {"alive.lock", "start.lock"}
    ]


def wait_until(condition: Any, seconds: float = 5.0) -> None:
    """Returns when `condition()` is true; fails the test after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


class Host:
    """A running HTTP server whose application is changed between tests: starting one for each would take longer."""

    def __init__(self) -> None:
        self.app: Any = None
        self.base_url = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)

    @contextmanager
    def serving(self, app: Any) -> Iterator[str]:
        """Serves `app` inside the block; gives the base URL."""
        self.app = app
        yield self.base_url


@pytest.fixture(scope="session")
def host() -> Iterator[Host]:
    """Uvicorn on loopback, in a thread."""
    made = Host()
    port = free_port()
    config = uvicorn.Config(made, host="127.0.0.1", port=port, log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started, 10)
    made.base_url = f"http://127.0.0.1:{port}"
    yield made
    server.should_exit = True
    server.force_exit = True
    thread.join(10)


@pytest.fixture(scope="session")
def signing_key(tmp_path_factory: pytest.TempPathFactory) -> LocalSigningKey:
    return local_signing_key(tmp_path_factory.mktemp("key"))


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture(params=["embedded", "google", "routed"])
def home(
    request: pytest.FixtureRequest, tmp_path: Path, host: Host, signing_key: LocalSigningKey, clock: MovableClock
) -> Iterator[Home]:
    """Each test that asks for it runs once in either home, and over several buckets of the second."""
    with HOMES[request.param](tmp_path / "data", host, signing_key, clock) as made:
        yield made


@contextmanager
def embedded_home(
    root: Path, host: Host, key: LocalSigningKey, clock: MovableClock, *, notifications: Sequence[Any] = ()
) -> Iterator[Home]:
    """The port straight on the folder; only its signed routes are served, as the embedded server does."""
    folder = BlobFolder(root, notifications=notifications)
    routes = signed_routes(
        folder,
        buckets=[BUCKET, OTHER_BUCKET],
        keys=key.trusted,
        origin=host.base_url,
        allowed_origins=[PAGE_ORIGIN],
        now=clock,
        idle_seconds=IDLE_SECONDS,
    )
    with host.serving(Starlette(routes=routes)) as base_url:
        blobs = FolderBlobs(folder, BUCKET, signer=key.credentials, base_url=base_url)
        yield Home("embedded", blobs, folder, base_url, key, clock)
    folder.close()


@contextmanager
def google_home(
    root: Path, host: Host, key: LocalSigningKey, clock: MovableClock, *, wrap: Callable[[Any], Any] | None = None
) -> Iterator[Home]:
    """Google's client library against the blob server; `wrap` may put something between them."""
    from google.cloud import storage

    folder = BlobFolder(root)
    app: Any = create_blob_server(
        folder,
        buckets=[BUCKET, OTHER_BUCKET],
        keys=key.trusted,
        allowed_origins=[PAGE_ORIGIN],
        now=clock,
        idle_seconds=IDLE_SECONDS,
    )
    with host.serving(wrap(app) if wrap else app) as base_url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", base_url)
        make_client: Any = storage.Client
        client = make_client(project="demo-sightline")
        blobs = CloudStorageBlobs(client, BUCKET, lambda: key.credentials, base_url, retry_seconds=10)
        yield Home("google", blobs, folder, base_url, key, clock, client)
        client.close()
    folder.close()


@contextmanager
def routed_home(root: Path, host: Host, key: LocalSigningKey, clock: MovableClock) -> Iterator[Home]:
    """Two buckets, each with some of the names that the contract's tests use."""
    with google_home(root, host, key, clock) as made:

        def opened(bucket: str) -> CloudStorageBlobs:
            return CloudStorageBlobs(made.client, bucket, lambda: key.credentials, made.base_url, retry_seconds=10)

        made.blobs = RoutedBlobs(ROUTES, opened)
        yield made


HOMES: Mapping[str, Callable[..., AbstractContextManager[Home]]] = {
    "embedded": embedded_home,
    "google": google_home,
    "routed": routed_home,
}


class Stream(io.RawIOBase):
    """So many bytes that nobody holds in memory, given out in short and uneven pieces."""

    def __init__(self, size: int) -> None:
        self.left = size
        self._block = bytes(range(256)) * 4096  # 1 MiB

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        take = min(self.left, len(self._block) - 7 if size < 0 else min(size, len(self._block) - 7))
        self.left -= take
        return self._block[:take]


def raw_request(base_url: str, request: bytes, *, then_close: bool = False, timeout: float = 10.0) -> bytes:
    """Sends bytes as they are and returns what comes back until the server closes or falls silent."""
    parts = urlsplit(base_url)
    with socket.create_connection((parts.hostname, parts.port), timeout=timeout) as connection:
        connection.sendall(request)
        if then_close:
            return b""
        answer = b""
        while not _is_whole(answer):
            block = connection.recv(65536)
            if not block:
                break
            answer += block
        return answer


def _is_whole(answer: bytes) -> bool:
    head, blank, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    return bool(blank) and length is not None and len(body) >= int(length.group(1))


def raw_put(url: str, headers: dict[str, str], body: bytes) -> bytes:
    """A PUT as a lying or broken client would send it: nothing is added to the headers but `Host`."""
    parts = urlsplit(url)
    lines = [f"PUT {parts.path}?{parts.query} HTTP/1.1", f"Host: {parts.netloc}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


HOUR = timedelta(hours=1)
ODD_NAMES = [
    "a/../b",
    "./a",
    "a//b/",
    "/leading",
    "ünïcödé/日本語/🎥.mp4",
    "star*and?mark",
    "hash#and&amp=+plus",
    "%2F%2e%2e%2F",
    "spaces in  it ",
    "quote\"'<xml>",
    "tab\tand\x01control\x00",
    "back\\slash",
    "x" * 1024,
    "é" * 512,
]
BAD_NAMES = ["", "x" * 1025, "é" * 513, "line\nbreak", "carriage\rreturn", "\ud800", ".", ".."]


def put(home: Home, name: str, data: bytes = b"content", **options: Any) -> Any:
    return home.blobs.put(name, data, content_type="video/mp4", **options)


def sign(home: Home, name: str = "up/load", **options: Any) -> SignedUpload:
    options = {"content_type": "video/mp4", "max_bytes": 1000, "expires_in": HOUR, **options}
    return home.blobs.sign_put(name, **options)


def code(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.text.partition("<Code>")[2].partition("</Code>")[0]


def assert_nothing_stored(home: Home, name: str = "up/load") -> None:
    assert home.blobs.stat(name) is None
    assert content_files(home.folder) == []
    wait_until(lambda: unfinished_files(home.folder) == [])


def start_session(home: Home, **options: Any) -> str:
    upload = sign(home, resumable=True, **options)
    assert upload.method == "POST"
    response = httpx.post(upload.url, headers=dict(upload.headers))
    assert response.status_code == 201, response.text
    return response.headers["location"]


def send_range(session: str, data: bytes, first: int, total: int | str) -> httpx.Response:
    last = first + len(data) - 1
    return httpx.put(session, content=data, headers={"content-range": f"bytes {first}-{last}/{total}"})


def ask(session: str, total: int | str = "*") -> httpx.Response:
    return httpx.put(session, headers={"content-range": f"bytes */{total}"})
