"""A TCP proxy that cuts connections at chosen bytes, and slows them down, as the way to a server may."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

BLOCK = 16 << 10


@dataclass
class Way:
    """What happens on the way. `cuts`: after so many bytes sent in all, the connection that sends is cut.

    `lost_replies`: a reply that holds one of these is cut instead of delivered, once each. `refusals`: the statuses
    that the next requests are answered on the way, before any reaches the server. `halt_at`: after so many bytes
    nothing more gets through until it is None.
    """

    cuts: list[int] = field(default_factory=list)
    lost_replies: list[bytes] = field(default_factory=list)
    refusals: list[int] = field(default_factory=list)
    bytes_a_second: float = 0.0
    halt_at: int | None = None
    sent: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def passes_up(self, block: bytes) -> bool:
        """Whether the next bytes of a client get through."""
        if self.bytes_a_second:
            time.sleep(len(block) / self.bytes_a_second)
        while self.halt_at is not None and self.sent >= self.halt_at:
            time.sleep(0.01)
        with self.lock:
            self.sent += len(block)
            if self.cuts and self.sent >= self.cuts[0]:
                self.cuts.pop(0)
                return False
        return True

    def refusal(self, block: bytes) -> bytes:
        """The reply to a request that begins here and is answered on the way; empty if it is not."""
        with self.lock:
            if not self.refusals or not block.startswith((b"POST ", b"PUT ")):
                return b""
            status = self.refusals.pop(0)
        return b"HTTP/1.1 %d Not Now\r\nRetry-After: 0\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status

    def passes_down(self, block: bytes) -> bool:
        """Whether the next bytes of the server get through."""
        with self.lock:
            for mark in self.lost_replies:
                if mark in block.lower():
                    self.lost_replies.remove(mark)
                    return False
        return True


@contextmanager
def proxy(port: int, target: int, way: Way) -> Iterator[Way]:
    """Leads loopback `port` to `target` while the block lasts."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        thread = threading.Thread(target=_accept, args=(listener, target, way), daemon=True)
        thread.start()
        yield way
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def _accept(listener: socket.socket, target: int, way: Way) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        try:
            server = socket.create_connection(("127.0.0.1", target), timeout=5)
        except OSError:
            _cut([client])
            continue
        server.settimeout(None)
        both = [client, server]
        threading.Thread(target=_carry_up, args=(client, server, way, both), daemon=True).start()
        threading.Thread(target=_carry, args=(server, client, way.passes_down, both), daemon=True).start()


def _carry_up(client: socket.socket, server: socket.socket, way: Way, both: Sequence[socket.socket]) -> None:
    def passes(block: bytes) -> bool:
        if refusal := way.refusal(block):
            client.sendall(refusal)
            client.shutdown(socket.SHUT_WR)
            while client.recv(BLOCK):  # or the reply would be lost with what is still under way
                pass
            return False
        return way.passes_up(block)

    _carry(client, server, passes, both)


def _carry(
    source: socket.socket, drain: socket.socket, passes: Callable[[bytes], bool], both: Sequence[socket.socket]
) -> None:
    with suppress(OSError):
        while block := source.recv(BLOCK):
            if not passes(block):
                break
            drain.sendall(block)
    _cut(both)


def _cut(connections: Sequence[socket.socket]) -> None:
    """At once and without a farewell (RST), what was under way is lost."""
    for connection in connections:
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()
