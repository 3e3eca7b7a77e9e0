"""The network as one fetch may use it: names resolved once and checked, connections pinned, one deadline over all.

`httpcore` speaks HTTP above it and asks here for every connection, handshake, read and write, so nothing can go round
it. It must not know HTTP.
"""

from __future__ import annotations

import logging
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from httpcore import (
    SOCKET_OPTION,
    ConnectError,
    ConnectTimeout,
    NetworkBackend,
    NetworkStream,
    SyncBackend,
)

from shared.adapters.fetching.addresses import Address, Refusal, parse_address
from shared.adapters.fetching.failures import failure

log = logging.getLogger(__name__)

Resolver = Callable[[str], Sequence[str]]
"""Takes a host name, gives all of its addresses as text. Raises `OSError` where there is none. May block."""
AddressRule = Callable[[Address], Refusal | None]

# A name with more addresses is tried no further: each may cost `_CONNECT_SECONDS`.
_MAX_TRIED = 4
_CONNECT_SECONDS = 10.0


def resolve(host: str) -> list[str]:
    """The system's answer for `host`, as an absolute name: no search domain turns it into an internal one."""
    found = socket.getaddrinfo(f"{host}.", None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Deadline:
    """One moment by which everything must have happened, `seconds` from now."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds that are left, more than 0. Raises `FetchFailed` (408) when none are."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise failure("timeout")
        return left


class PinnedNetwork(NetworkBackend):
    """Connects to one host, only at addresses that were checked. Serves one request of one thread.

    `address` is the host's when the URL spells it. `wire_bytes`: as many bytes may be received in all, headers, chunk
    sizes and TLS aside; a server that wraps each byte in kilobytes of framing ends here.
    """

    def __init__(
        self, resolver: Resolver, rule: AddressRule, deadline: Deadline, *, address: Address | None, wire_bytes: int
    ) -> None:
        self._resolver = resolver
        self._rule = rule
        self._deadline = deadline
        self._address = address
        self._wire_bytes = wire_bytes

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 (here and below: the deadline stands above it)
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> NetworkStream:
        """Connects to the first address of `host` that answers, once all of them have passed the rule.

        The addresses are connected to as they were checked; the name is not resolved again. Raises `FetchFailed`.
        """
        addresses = [self._address] if self._address is not None else self._resolve(host)
        for address in addresses:
            refusal = self._rule(address)
            if refusal is not None:
                log.warning("a media URL was refused: its host has an address that is %s", refusal.value)
                raise failure("host_refused")
        for address in addresses[:_MAX_TRIED]:
            try:
                stream = SyncBackend().connect_tcp(
                    str(address), port, min(self._deadline.remaining(), _CONNECT_SECONDS)
                )
            except (ConnectError, ConnectTimeout):
                continue
            return DeadlineStream(stream, self._deadline, self._wire_bytes)
        self._deadline.remaining()
        raise failure("unreachable")

    def _resolve(self, host: str) -> list[Address]:
        try:
            spelled = _within(self._deadline, lambda: self._resolver(host))
        except (OSError, UnicodeError):
            raise failure("unresolvable") from None
        addresses = [address for text in spelled if (address := parse_address(text)) is not None]
        if not addresses or len(addresses) < len(spelled):
            raise failure("unresolvable")
        return addresses


class DeadlineStream(NetworkStream):
    """A connection whose every step ends by the deadline, however slowly the other side drips."""

    def __init__(self, inner: NetworkStream, deadline: Deadline, wire_bytes: int) -> None:
        self._inner = inner
        self._deadline = deadline
        self._wire_bytes = wire_bytes

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        """Raises `FetchFailed` or `ReadTimeout` when the time is over, and when far more came than a body may have."""
        data = self._inner.read(max_bytes, self._deadline.remaining())
        self._wire_bytes -= len(data)
        if self._wire_bytes < 0:
            raise failure("too_large")
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        """Raises `FetchFailed` or `WriteTimeout` when the time is over."""
        self._inner.write(buffer, self._deadline.remaining())

    def close(self) -> None:
        """Ends the connection."""
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> NetworkStream:
        """The handshake. Raises `FetchFailed`, for a certificate of another name above all, or `ConnectTimeout`."""
        try:
            inner = self._inner.start_tls(ssl_context, server_hostname, self._deadline.remaining())
        except ConnectError:
            raise failure("tls_failed") from None
        return DeadlineStream(inner, self._deadline, self._wire_bytes)

    def get_extra_info(self, info: str) -> Any:
        """What `httpcore` asks for (`ssl_object`, `is_readable`)."""
        return self._inner.get_extra_info(info)


def _within(deadline: Deadline, ask: Callable[[], Sequence[str]]) -> Sequence[str]:
    """What `ask` returns or raises, waited for no longer than the deadline.

    The system's resolver cannot be interrupted, so a thread that is left behind ends with its own timeouts.
    """
    answers: queue.SimpleQueue[Sequence[str] | Exception] = queue.SimpleQueue()

    def answer() -> None:
        try:
            answers.put(ask())
        except Exception as error:  # handed to the thread that asked
            answers.put(error)

    threading.Thread(target=answer, name="resolve", daemon=True).start()
    try:
        found = answers.get(timeout=deadline.remaining())
    except queue.Empty:
        raise failure("timeout") from None
    if isinstance(found, Exception):
        raise found
    return found
