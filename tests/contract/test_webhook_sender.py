"""Posting to URLs that an administrator named: what is good arrives, and what is hostile costs ten seconds at most."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from shared.adapters.fetching.webhook_sender import HttpWebhookSender
from shared.adapters.fetching.webhook_urls import read_receiver
from shared.errors import FetchFailed
from shared.ports import WebhookReply
from tests.contract.media_servers import (
    MediaServer,
    Script,
    answer,
    certificate,
    dripping,
    endlessly,
    loopback_allowed,
    names,
    redirect,
    says,
    serving,
)

HOST = "hooks.example.com"
BODY = b'{"event":"incident.opened"}'
HEADERS = {"Content-Type": "application/json", "Sightline-Delivery": "d-1"}


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    return certificate(tmp_path_factory.mktemp("tls"), HOST)


def sender(
    trust: ssl.SSLContext | None = None, *, private: tuple[str, ...] = (), **table: list[str]
) -> HttpWebhookSender:
    resolver = names({HOST: ["127.0.0.1"], **{name.replace("_", "."): found for name, found in table.items()}})
    return HttpWebhookSender(private, seconds=1.5, trust=trust, resolver=resolver, rule=loopback_allowed)


def after_body(script: Script | bytes) -> Script:
    """What a server says that reads what it is sent: one that does not may break off its own answer."""
    say = says(script) if isinstance(script, bytes) else script

    def whole(connection: socket.socket) -> None:
        connection.settimeout(0.1)
        with suppress(TimeoutError):
            connection.recv(65536)
        connection.settimeout(10)
        say(connection)

    return whole


def post(using: HttpWebhookSender, server: MediaServer, path: str = "/hook") -> WebhookReply:
    return using.post(server.url(path, scheme="https", host=HOST), BODY, HEADERS)


def refused(using: HttpWebhookSender, url: str) -> FetchFailed:
    began = time.monotonic()
    with pytest.raises(FetchFailed) as caught:
        using.post(url, BODY, HEADERS)
    assert time.monotonic() - began < 3
    assert caught.value.sentence.endswith(".")
    assert "media" not in caught.value.sentence
    assert "127.0.0.1" not in str(caught.value)
    return caught.value


def test_the_body_and_the_headers_arrive_as_they_are(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    got: list[bytes] = []

    def script(connection: socket.socket) -> None:
        connection.settimeout(0.3)
        with suppress(TimeoutError):
            got.append(connection.recv(65536))
        connection.sendall(answer("202 Accepted", "Content-Length: 0"))

    with serving(script, tls[0]) as server:
        assert post(sender(tls[1]), server, "/hook?tenant=ä b".replace(" ", "%20")) == WebhookReply(202)
        whole = server.requests[0] + b"".join(got)
    head, _, body = whole.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /hook?tenant=%C3%A4%20b HTTP/1.1\r\n")
    assert body == BODY
    sent = {line.partition(b":")[0].decode(): line.partition(b": ")[2].decode() for line in head.split(b"\r\n")[1:]}
    assert sent == {
        **HEADERS,
        "Host": f"{HOST}:{server.port}",
        "User-Agent": "Sightline",
        "Content-Length": str(len(BODY)),
        "Connection": "close",
    }


@pytest.mark.parametrize(
    ("said", "reply"),
    [
        (answer("204 No Content"), WebhookReply(204)),
        (answer("410 Gone", "Content-Length: 0"), WebhookReply(410)),
        (answer("429 Slow", "Retry-After: 120", "Content-Length: 0"), WebhookReply(429, 120.0)),
        (answer("503 Later", "Retry-After: Wed, 21 Oct 2026 07:28:00 GMT", "Content-Length: 0"), WebhookReply(503)),
        (answer("503 Later", f"Retry-After: {'9' * 400}", "Content-Length: 0"), WebhookReply(503)),
        (redirect("http://169.254.169.254/"), WebhookReply(302)),
        (answer("200 OK", "Content-Encoding: gzip", "Content-Length: 9999999999"), WebhookReply(200)),
    ],
)
def test_of_the_answer_the_status_counts_and_what_it_asks_to_wait(
    said: bytes, reply: WebhookReply, tls: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    with serving(after_body(said), tls[0]) as server:
        assert post(sender(tls[1]), server) == reply
        assert server.connections == 1


def test_an_endless_body_is_not_read(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    with serving(after_body(endlessly(answer("200 OK"), b"x" * 65536)), tls[0]) as server:
        began = time.monotonic()
        assert post(sender(tls[1]), server) == WebhookReply(200)
        assert time.monotonic() - began < 1.4
        assert server.closed_by_client.wait(5)


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


# How a broken connection shows depends on which side's packet was faster.
GONE = frozenset({"broken_answer", "unreachable"})


@pytest.mark.parametrize(
    ("script", "codes"),
    [
        (lambda _: threading.Event().wait(5), {"timeout"}),
        (dripping(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"), {"timeout"}),
        (dripping(b"", b"H"), {"timeout"}),
        (endlessly(b"HTTP/1.1 200 OK\r\nX: ", b"y" * 4096), {"too_large", "broken_answer"}),
        (endlessly(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100), {"too_large"}),
        (reset, GONE),
        (says(b"SSH-2.0-OpenSSH_9.6\r\n"), GONE),
        (says(b""), GONE),
    ],
)
def test_a_hostile_receiver_ends_with_one_sentence(
    script: Script, codes: frozenset[str], tls: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    with serving(after_body(script), tls[0]) as server:
        assert refused(sender(tls[1]), server.url(scheme="https", host=HOST)).code in codes
        assert server.connections == 1


def test_a_certificate_of_another_name_or_authority_is_refused(tmp_path: Path) -> None:
    other, trusting = certificate(tmp_path, "elsewhere.example.com")
    with serving(after_body(answer("200 OK")), other) as server:
        assert refused(sender(trusting), server.url(scheme="https", host=HOST)).code == "tls_failed"
        assert refused(sender(None), server.url(scheme="https", host=HOST)).code == "tls_failed"
        assert server.requests == []


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://hooks.example.com/", "scheme_refused"),
        ("ftp://hooks.example.com/", "scheme_refused"),
        ("https://hooks.example.com:22/", "port_refused"),
        ("https://hooks.example.com:80/", "port_refused"),
        ("https://user:pass@hooks.example.com/", "credentials_refused"),
        ("https://169.254.169.254/computeMetadata/v1/", "host_refused"),
        ("https://10.0.0.1/", "host_refused"),
        ("https://[::1]/", "host_refused"),
        ("https://[::ffff:169.254.169.254]/", "host_refused"),
        ("https://localhost/", "host_refused"),
        ("https://metadata.google.internal/", "host_refused"),
        ("https://2130706433/", "host_refused"),
        ("https://hooks.example.com/\r\nX: y", "url_invalid"),
        ("not a url", "url_invalid"),
        ("https://hooks.example.com/" + "a" * 2100, "url_too_long"),
        ("https://inside.example.com/", "host_refused"),
        ("https://both.example.com/", "host_refused"),
        ("https://absent.example.com/", "unresolvable"),
    ],
)
def test_what_is_no_public_receiver_is_never_asked(url: str, code: str) -> None:
    using = sender(inside_example_com=["10.1.2.3"], both_example_com=["93.184.216.34", "169.254.169.254"])
    assert refused(using, url).code == code


def test_a_host_that_is_named_may_be_private_and_without_tls() -> None:
    with serving(after_body(answer("200 OK", "Content-Length: 0"))) as server:
        named = sender(private=(f"127.0.0.1:{server.port}", "receiver"), receiver=["127.0.0.1"])
        assert named.post(f"http://127.0.0.1:{server.port}/hook", BODY, HEADERS) == WebhookReply(200)
        assert named.post(f"http://Receiver:{server.port}/hook", BODY, HEADERS) == WebhookReply(200)
        assert refused(named, f"http://127.0.0.1:{server.port + 1}/hook").code == "scheme_refused"
        assert refused(sender(), f"http://127.0.0.1:{server.port}/hook").code == "scheme_refused"


def test_not_even_a_host_that_is_named_may_be_the_metadata_server() -> None:
    named = sender(private=("169.254.169.254", "receiver"), receiver=["169.254.169.254"])
    assert refused(named, "http://169.254.169.254/computeMetadata/v1/").code == "host_refused"
    assert refused(named, "http://receiver/").code == "host_refused"


def test_a_url_can_be_checked_before_it_is_stored() -> None:
    assert not read_receiver("https://hooks.example.com:8443/in?x=1", ()).private
    assert read_receiver("http://Receiver/in", ("receiver",)).private
    with pytest.raises(FetchFailed, match="begins with https"):
        read_receiver("http://hooks.example.com/", ("receiver",))
