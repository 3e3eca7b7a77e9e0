"""Servers on loopback that say just what a test wants, byte for byte, and a fetcher that can reach them.

To the fetcher they are public: names are resolved by a table, and loopback alone is let through its rule.
"""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shared.adapters.fetching.addresses import Address, Refusal, refusal_of
from shared.adapters.fetching.network import Resolver
from shared.adapters.fetching.url_fetcher import UrlFetcher

HOST = "media.example.com"
SECONDS = 5.0

Script = Callable[[socket.socket], None]


class MediaServer:
    """Plays `script` to everybody who connects. `requests` are the heads that were received, in order."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self._script = script
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self.requests: list[bytes] = []
        self.closed_by_client = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, path: str = "/a.jpg", *, scheme: str = "http", host: str = HOST) -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            connection.settimeout(10)
            talk = self._tls.wrap_socket(connection, server_side=True) if self._tls else connection
            with talk:
                self.requests.append(_head_of(talk))
                self._script(talk)
        self.closed_by_client.set()


@contextmanager
def serving(script: Script | bytes, tls: ssl.SSLContext | None = None) -> Iterator[MediaServer]:
    """A server for as long as the context lasts; bytes are said at once, then the connection is closed."""
    server = MediaServer(says(script) if isinstance(script, bytes) else script, tls)
    try:
        yield server
    finally:
        server.close()


def says(answer: bytes) -> Script:
    return lambda connection: connection.sendall(answer)


def endlessly(start: bytes, again: bytes) -> Script:
    """Says `start`, and then `again` until the client goes away."""

    def script(connection: socket.socket) -> None:
        connection.sendall(start)
        while True:
            connection.sendall(again)

    return script


def dripping(start: bytes, drop: bytes) -> Script:
    """Says `start` at once, and then `drop` ten times a second."""

    def script(connection: socket.socket) -> None:
        connection.sendall(start)
        pause = threading.Event()
        for _ in range(100):
            pause.wait(0.1)
            connection.sendall(drop)

    return script


def ok(body: bytes, *headers: str) -> bytes:
    """An answer of status 200 with its length."""
    return answer("200 OK", f"Content-Length: {len(body)}", *headers) + body


def answer(status: str, *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode()


def redirect(target: str, status: str = "302 Found") -> bytes:
    return answer(status, f"Location: {target}", "Content-Length: 0")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def loopback_allowed(address: Address) -> Refusal | None:
    """The real rule, but for the address that the servers of a test have."""
    return None if address == IPv4Address("127.0.0.1") else refusal_of(address)


def names(table: Mapping[str, list[str]]) -> Resolver:
    def resolver(host: str) -> list[str]:
        if host not in table:
            raise OSError("Name or service not known")
        return table[host]

    return resolver


def fetcher(
    *servers: MediaServer,
    resolver: Resolver | None = None,
    seconds: float = SECONDS,
    trust: ssl.SSLContext | None = None,
) -> UrlFetcher:
    return UrlFetcher(
        seconds=seconds,
        ports={80, 443, *(server.port for server in servers)},
        trust=trust,
        resolver=resolver or names({HOST: ["127.0.0.1"]}),
        rule=loopback_allowed,
    )


def certificate(folder: Path, host: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A new authority that vouches for `host`: the context of its server, and of a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / f"{host}.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cafile=str(file))


def _head_of(connection: socket.socket) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head:
        received = connection.recv(4096)
        head += received
        if not received or head[:1] == b"\x16":  # a TLS greeting, to a server that speaks none
            break
    return head
