"""Sends files of any size by resumable sessions, and goes on wherever a connection, a server or a command broke off.

Memory does not grow with the files: each is read in small pieces while it is sent. The bearer token goes to Sightline's
own routes alone; the session's address is the authorisation of the bytes.
"""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import httpx

from local.upload_memory import Identity, Sending, UploadMemory

T = TypeVar("T")

GRAIN_BYTES = 256 << 10
"""Every part but the last is a multiple of it (Cloud Storage)."""

PART_BYTES = 8 << 20
PIECE_BYTES = 64 << 10
CONNECT_SECONDS = 10.0
REPLY_SECONDS = 120.0
"""The last part's reply comes after the server has checked the whole file."""

LONGEST_WAIT_SECONDS = 60.0
"""However long a server asks to be left alone, for somebody looks on."""

POLL_SECONDS = 0.5
NEVER_CAME = "upload_never_came"

CONTENT_TYPES = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".avi": "video/x-msvideo",
    ".mkv": "video/x-matroska",
    ".webm": "video/webm",
}

_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_GONE = frozenset({404, 410})
_RANGE = re.compile(r"bytes=0-(\d{1,18})")
_MESSAGE = re.compile(r"<Message>([^<]*)</Message>")


class UploadFailed(Exception):
    """This file can't be sent; the message is a sentence for the person who sent it."""


class Refused(UploadFailed):
    """The server will not take it, now or later: nothing of it is worth remembering."""


class Stopped(Exception):
    """The command was told to stop; what was sent is kept for the next time."""


class _Passing(Exception):
    """Worth another try. `wait`: the seconds the server asks for."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class _SessionGone(Exception):
    """The session is unknown or too old."""


@dataclass(frozen=True)
class Patience:
    """How long to go on without any progress: `tries` in a row, waiting `first` seconds, then twice as long, ..."""

    tries: int = 10
    first: float = 0.5
    longest: float = 30.0

    def wait(self, failures: int) -> float:
        """Seconds before the next try, spread so that many clients don't come back at once."""
        return min(self.first * 2.0 ** (failures - 1), self.longest) * random.uniform(0.75, 1.25)  # noqa: S311


@dataclass(frozen=True)
class Progress:
    """What one file's upload tells: bytes that arrived, and why it waits ("": it doesn't)."""

    sent: Callable[[int], None] = lambda _: None
    waiting: Callable[[str], None] = lambda _: None


class Uploader:
    """Sends files to one origin. Thread-safe: one upload a thread. `stopping` ends all of them soon."""

    def __init__(
        self,
        origin: str,
        *,
        token: str | None,
        memory: UploadMemory,
        source_id: str | None = None,
        patience: Patience | None = None,
        part_bytes: int = PART_BYTES,
    ) -> None:
        if part_bytes % GRAIN_BYTES:
            raise ValueError(f"a part is a multiple of {GRAIN_BYTES} bytes")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        timeout = httpx.Timeout(REPLY_SECONDS, connect=CONNECT_SECONDS)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        self._origin = origin.rstrip("/")
        self._source_id = source_id
        self._api = httpx.Client(base_url=self._origin, headers=headers, timeout=timeout, limits=limits)
        self._store = httpx.Client(timeout=timeout, limits=limits)
        self._memory = memory
        self.patience = patience or Patience()
        self._part_bytes = part_bytes
        self.stopping = threading.Event()

    def close(self) -> None:
        """Ends the connections."""
        self._api.close()
        self._store.close()

    def send(self, path: Path, progress: Progress | None = None) -> str:
        """Sends a file and returns its video's id. Raises `UploadFailed` or `Stopped`."""
        progress = progress or Progress()
        try:
            with path.open("rb") as file:
                return self._send_open(file, self._identity(path), path.name, progress)
        except FileNotFoundError:
            raise UploadFailed("there is no such file") from None
        except OSError as error:
            raise UploadFailed(f"it can't be read: {error.strerror}") from None

    def _identity(self, path: Path) -> Identity:
        status = path.stat()
        if status.st_size == 0:
            raise UploadFailed("it is empty")
        return Identity(str(path.resolve()), status.st_size, status.st_mtime_ns, self._origin, self._source_id)

    def _send_open(self, file: BinaryIO, identity: Identity, name: str, progress: Progress) -> str:
        begun = self._memory.recall(identity)
        try:
            if begun is not None:
                with suppress(_SessionGone):
                    return self._send_all(file, identity, begun, progress)
            return self._send_all(file, identity, self._begin(identity, name, progress), progress)
        except _SessionGone:
            self._memory.forget(identity)
            raise UploadFailed("the server has lost its upload session; send it again") from None
        except Refused:
            self._memory.forget(identity)
            raise

    # ------------------------------------------------------------------ beginning

    def _begin(self, identity: Identity, name: str, progress: Progress) -> Sending:
        sending = self._repeatedly(lambda: self._start_session(identity, name), progress)
        self._memory.remember(identity, sending)
        return sending

    def _start_session(self, identity: Identity, name: str) -> Sending:
        asked = {
            "filename": name,
            "size": identity.size,
            "content_type": CONTENT_TYPES.get(Path(name).suffix.lower(), "application/octet-stream"),
            "source_id": self._source_id,
            "resumable": True,
        }
        with _reaching(self._origin):
            ticket = _content(_granted(self._api.post("/video/upload-url", json=asked)))
            try:
                method, url, headers, video_id = (ticket[n] for n in ("method", "upload_url", "headers", "video_id"))
                started = _granted(self._store.request(method, url, headers=headers))
                return Sending(video_id, started.headers["location"])
            except KeyError:
                raise UploadFailed("what answers there is not Sightline") from None

    # ------------------------------------------------------------------ sending

    def _send_all(self, file: BinaryIO, identity: Identity, sending: Sending, progress: Progress) -> str:
        """Raises `_SessionGone`. Only bytes that arrived count as progress: asking and being told does not."""
        tries = _Tries(self, progress)
        arrived: int | None = None
        furthest = -1
        while True:
            try:
                if arrived is None:
                    arrived = self._ask(sending, identity.size)
                else:
                    arrived = self._send_part(file, sending, identity.size, arrived)
            except _Passing as error:
                tries.failed(error)
                arrived = None
                continue
            progress.sent(arrived)
            if arrived == identity.size:
                break
            if arrived > furthest:
                furthest = arrived
                tries.advanced()
        self._memory.forget(identity)
        return sending.video_id

    def _ask(self, sending: Sending, size: int) -> int:
        """How many bytes have arrived; `size`: all of them, and the object is made."""
        with _reaching(self._origin):
            return _arrived(self._store.put(sending.session, headers={"Content-Range": f"bytes */{size}"}), size)

    def _send_part(self, file: BinaryIO, sending: Sending, size: int, first: int) -> int:
        length = min(self._part_bytes, size - first)
        headers = {
            "Content-Length": str(length),
            "Content-Range": f"bytes {first}-{first + length - 1}/{size}",
        }
        with _reaching(self._origin):
            content = self._pieces(file, first, length)
            arrived = _arrived(self._store.put(sending.session, headers=headers, content=content), size)
        if arrived <= first:
            raise _Passing("the server keeps nothing of what it is sent")
        return arrived

    def _pieces(self, file: BinaryIO, first: int, length: int) -> Iterator[bytes]:
        file.seek(first)
        while length > 0:
            self.check_stopping()
            piece = file.read(min(PIECE_BYTES, length))
            if not piece:
                raise UploadFailed("it became shorter while it was sent")
            length -= len(piece)
            yield piece

    # ------------------------------------------------------------------ afterwards

    def follow(self, video_id: str, progress: Progress | None = None) -> dict[str, Any]:
        """The analysis of a file that was sent, once it is complete. Raises `UploadFailed` or `Stopped`.

        That the file never came, which may have been said before it did, is not the end: its ingest begins yet.
        """
        progress = progress or Progress()
        while True:
            analysis = self._repeatedly(lambda: self._analysis(video_id), progress)
            if analysis["complete"] and not _was_missed(analysis):
                return analysis
            self.stopping.wait(POLL_SECONDS)
            self.check_stopping()

    def _analysis(self, video_id: str) -> dict[str, Any]:
        with _reaching(self._origin):
            return _content(_granted(self._api.get(f"/analysis/{video_id}")))

    # ------------------------------------------------------------------ patience

    def check_stopping(self) -> None:
        """Raises `Stopped` once somebody said so."""
        if self.stopping.is_set():
            raise Stopped

    def _repeatedly(self, attempt: Callable[[], T], progress: Progress) -> T:
        """The attempt's result, once it has one."""
        tries = _Tries(self, progress)
        while True:
            try:
                return attempt()
            except _Passing as error:
                tries.failed(error)
            finally:
                progress.waiting("")


class _Tries:
    """Failures in a row without any progress, and the waits between them."""

    def __init__(self, uploader: Uploader, progress: Progress) -> None:
        self._uploader = uploader
        self._progress = progress
        self._failures = 0

    def failed(self, error: _Passing) -> None:
        """Waits before another try; raises `UploadFailed` when patience ends, `Stopped` when told to."""
        self._failures += 1
        patience = self._uploader.patience
        if self._failures >= patience.tries:
            raise UploadFailed(f"{error}; given up after {self._failures} tries in a row") from None
        self._progress.waiting(str(error))
        self._uploader.stopping.wait(max(patience.wait(self._failures), error.wait))
        self._uploader.check_stopping()

    def advanced(self) -> None:
        """Something arrived: all patience is there again."""
        self._failures = 0
        self._progress.waiting("")


@contextmanager
def _reaching(origin: str) -> Iterator[None]:
    """A connection that can't be made, or is lost, passes."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout):
        raise _Passing(f"{origin} cannot be reached") from None
    except httpx.TransportError as error:
        raise _Passing(f"the connection was lost ({type(error).__name__})") from None


def _granted(reply: httpx.Response) -> httpx.Response:
    """A success. Raises `_Passing`, or `UploadFailed` for a refusal."""
    if reply.is_success:
        return reply
    _check_passing(reply)
    if reply.status_code == 401:
        raise Refused("the server wants a token, or another one (--token or SIGHTLINE_API_TOKEN)")
    raise Refused(f"the server refuses it ({reply.status_code}): {_sentence(reply)}")


def _arrived(reply: httpx.Response, size: int) -> int:
    """What a session says has arrived, of `size` bytes."""
    if reply.status_code == 308:
        told = _RANGE.fullmatch(reply.headers.get("range", ""))
        return min(int(told.group(1)) + 1, size - 1) if told else 0
    if reply.status_code in _GONE:
        raise _SessionGone
    _granted(reply)
    return size


def _was_missed(analysis: dict[str, Any]) -> bool:
    """Whether the server gave the file up before it came."""
    return bool(analysis["stages"]["ingest"]["error_code"] == NEVER_CAME)


def _check_passing(reply: httpx.Response) -> None:
    if reply.status_code not in _PASSING:
        return
    asked = reply.headers.get("retry-after", "")
    wait = min(float(asked), LONGEST_WAIT_SECONDS) if re.fullmatch("[0-9]{1,9}", asked) else 0.0
    raise _Passing(f"the server answers {reply.status_code}", wait)


def _content(reply: httpx.Response) -> dict[str, Any]:
    try:
        content: Any = reply.json()
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise UploadFailed("what answers there is not Sightline")
    return content


def _sentence(reply: httpx.Response) -> str:
    """The reason in a refusal, as Sightline (JSON) or Cloud Storage (XML) gives it."""
    with suppress(ValueError, AttributeError):
        return str(reply.json().get("detail", reply.reason_phrase))
    told = _MESSAGE.search(reply.text[:4096])
    return unescape(told.group(1)) if told else reply.reason_phrase
