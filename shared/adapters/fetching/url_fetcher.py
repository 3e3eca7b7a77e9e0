"""The one way in which Sightline fetches a URL that somebody else named.

Every hop gets a connection of its own through `PinnedNetwork`, so the addresses of every redirect are checked too, and
nothing is shared between fetches: no pool, no cookies, no credentials, no proxy, no Referer. `httpcore` is used
directly: it has none of these, and never decodes a body. It must not look at what it fetches.
"""

from __future__ import annotations

import io
import ssl
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache
from typing import Any, BinaryIO, cast

import certifi
import httpcore

from shared.adapters.fetching.addresses import refusal_of
from shared.adapters.fetching.data_urls import is_data_url, read_data_url
from shared.adapters.fetching.failures import failure, failure_of_status
from shared.adapters.fetching.network import AddressRule, Deadline, PinnedNetwork, Resolver, resolve
from shared.adapters.fetching.urls import MediaUrl, read_redirect, read_url
from shared.ports import RemoteMedia

MAX_REDIRECTS = 3
FETCH_SECONDS = 60.0
WEB_PORTS = frozenset({80, 443})
"""Other ports of a public host are seldom media and often something that should not be spoken to."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_BUFFER_BYTES = 64 << 10
# The header section and the framing of a body in ordinary chunks.
_SPARE_WIRE_BYTES = 256 << 10
_HEADERS = (
    ("User-Agent", "Sightline"),
    ("Accept", "image/*, video/*;q=0.9, */*;q=0.1"),
    ("Accept-Encoding", "identity"),
    ("Connection", "close"),
)
_UNKNOWN_TYPE = "application/octet-stream"
_TYPE_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789!#$&^_.+-/")


@cache
def default_trust() -> ssl.SSLContext:
    """Certificates are checked against the authorities that `certifi` carries, names too, TLS 1.2 and newer.

    One for all, since the authorities take 20 ms to read. Whoever wants other settings makes a context of their own.
    """
    return ssl.create_default_context(cafile=certifi.where())


class UrlFetcher:
    """Implements `shared.ports.MediaFetcher`. Has no state that a fetch changes, so one may serve all threads.

    `seconds` is the time of a whole fetch, names, redirects and reading included. `resolver` and `rule` (which
    addresses are refused) are arguments for tests alone.
    """

    def __init__(
        self,
        *,
        seconds: float = FETCH_SECONDS,
        ports: Collection[int] = WEB_PORTS,
        trust: ssl.SSLContext | None = None,
        resolver: Resolver = resolve,
        rule: AddressRule = refusal_of,
    ) -> None:
        self._seconds = seconds
        self._ports = frozenset(ports)
        self._trust = trust or default_trust()
        self._resolver = resolver
        self._rule = rule

    def open(self, url: str, *, max_bytes: int) -> AbstractContextManager[RemoteMedia]:
        """See `MediaFetcher.open`."""
        return self._open_data(url, max_bytes) if is_data_url(url) else self._open_remote(url, max_bytes)

    @contextmanager
    def _open_data(self, url: str, max_bytes: int) -> Iterator[RemoteMedia]:
        data, media_type = read_data_url(url, max_bytes)
        yield RemoteMedia(io.BytesIO(data), _plain_type(media_type), "data:")

    @contextmanager
    def _open_remote(self, url: str, max_bytes: int) -> Iterator[RemoteMedia]:
        deadline = Deadline(self._seconds)
        with ExitStack() as hop:
            place = read_url(url, self._ports)
            response = self._ask(place, deadline, max_bytes, hop)
            for _ in range(MAX_REDIRECTS):
                if response.status not in _REDIRECTS:
                    break
                place = read_redirect(_header(response, b"location"), place, self._ports)
                hop.close()
                response = self._ask(place, deadline, max_bytes, hop)
            _require_media(response, max_bytes)
            media_type = _plain_type(_header(response, b"content-type").decode("latin-1"))
            with io.BufferedReader(_Body(response, max_bytes), _BUFFER_BYTES) as body:
                yield RemoteMedia(cast("BinaryIO", body), media_type, place.shown)

    def _ask(self, place: MediaUrl, deadline: Deadline, max_bytes: int, hop: ExitStack) -> httpcore.Response:
        """The answer's head. Its connection is closed by `hop`."""
        network = PinnedNetwork(
            self._resolver,
            self._rule,
            deadline,
            address=place.address,
            wire_bytes=2 * max_bytes + _SPARE_WIRE_BYTES,
        )
        url = httpcore.URL(scheme=place.scheme, host=place.host, port=place.port, target=place.target)
        headers = [("Host", place.authority), *_HEADERS]
        connection = httpcore.HTTPConnection(origin=url.origin, ssl_context=self._trust, network_backend=network)
        hop.callback(connection.close)
        with _http_failures():
            return hop.enter_context(connection.stream("GET", url, headers=headers))


class _Body(io.RawIOBase):
    """The body as it comes. A failure is kept, and raised again by every later read."""

    def __init__(self, response: httpcore.Response, max_bytes: int) -> None:
        self._chunks = response.iter_stream()
        self._left = max_bytes
        self._held = memoryview(b"")
        self._failure: Exception | None = None

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """As many bytes as are there, 0 at the end. Raises `FetchFailed`."""
        if self._failure is not None:
            raise self._failure
        try:
            while not self._held and (chunk := self._next()) is not None:
                self._held = memoryview(chunk)
        except Exception as error:
            self._failure = error
            raise
        target = memoryview(buffer).cast("B")
        count = min(len(target), len(self._held))
        target[:count] = self._held[:count]
        self._held = self._held[count:]
        return count

    def _next(self) -> bytes | None:
        with _http_failures(broken="incomplete", cut="incomplete"):
            chunk = next(self._chunks, None)
        self._left -= len(chunk or b"")
        if self._left < 0:
            raise failure("too_large")
        return chunk


@contextmanager
def _http_failures(*, broken: str = "broken_answer", cut: str = "unreachable") -> Iterator[None]:
    """Turns what `httpcore` raises into `FetchFailed`, of the code `broken` for an answer against HTTP's rules."""
    try:
        yield
    except httpcore.TimeoutException:
        raise failure("timeout") from None
    except httpcore.RemoteProtocolError:
        raise failure(broken) from None
    except (httpcore.NetworkError, httpcore.LocalProtocolError):
        raise failure(cut) from None


def _require_media(response: httpcore.Response, max_bytes: int) -> None:
    if response.status in _REDIRECTS:
        raise failure("too_many_redirects")
    if response.status != 200:
        raise failure_of_status(response.status)
    if _header(response, b"content-encoding").strip().lower() not in (b"", b"identity"):
        raise failure("encoding_refused")
    # With chunks a length means nothing, and the HTTP library has refused one that is no number.
    declared = _header(response, b"content-length")
    if declared and not _header(response, b"transfer-encoding") and int(declared) > max_bytes:
        raise failure("too_large")


def _header(response: httpcore.Response, name: bytes) -> bytes:
    """All values of this header, joined as RFC 9110 joins them; empty without one."""
    return b", ".join(value for key, value in response.headers if key.lower() == name)


def _plain_type(claimed: str) -> str:
    """`type/subtype` in lower case, whatever else the header holds."""
    plain = claimed.partition(";")[0].strip().lower()
    wellformed = plain.count("/") == 1 and len(plain) <= 127 and set(plain) <= _TYPE_CHARACTERS
    return plain if wellformed else _UNKNOWN_TYPE
