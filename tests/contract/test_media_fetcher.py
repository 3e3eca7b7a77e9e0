"""Fetching URLs that somebody else named: what is good arrives, and what is hostile ends quickly with one sentence."""

from __future__ import annotations

import base64
import gzip
import random
import socket
import struct
import threading
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from shared.adapters.fetching.network import resolve
from shared.adapters.fetching.url_fetcher import UrlFetcher
from shared.errors import FetchFailed
from tests.contract.media_servers import (
    HOST,
    Script,
    answer,
    certificate,
    chunk,
    dripping,
    endlessly,
    fetcher,
    names,
    ok,
    redirect,
    says,
    serving,
)

MAX = 100_000
CHUNKED = answer("200 OK", "Transfer-Encoding: chunked")
METADATA = "http://169.254.169.254/computeMetadata/v1/instance/service-accounts/default/token"


def fetch(using: UrlFetcher, url: str, max_bytes: int = MAX) -> bytes:
    with using.open(url, max_bytes=max_bytes) as media:
        return media.stream.read()


def failed(using: UrlFetcher, url: str, max_bytes: int = MAX) -> FetchFailed:
    """The failure, which must have come soon and must not tell more than its own sentence."""
    began = time.monotonic()
    with pytest.raises(FetchFailed) as caught:
        fetch(using, url, max_bytes)
    assert time.monotonic() - began < 4
    assert caught.value.sentence.endswith(".")
    assert "127.0.0.1" not in str(caught.value)
    assert "169.254" not in str(caught.value)
    return caught.value


# --------------------------------------------------------------------------- what is good


def test_media_arrives_with_its_claimed_type_and_without_its_query() -> None:
    with serving(ok(b"picture", "Content-Type: Image/JPEG; charset=x")) as server:
        with fetcher(server).open(server.url("/a.jpg?token=secret#part"), max_bytes=7) as media:
            assert (media.stream.read(3), media.stream.read()) == (b"pic", b"ture")
            assert media.content_type == "image/jpeg"
            assert media.url == server.url("/a.jpg")
        assert server.requests[0].startswith(b"GET /a.jpg?token=secret HTTP/1.1\r\n")


def test_the_request_tells_no_more_than_it_must(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with serving(ok(b"x", "Set-Cookie: a=b")) as server:
        using = fetcher(server)
        fetch(using, server.url())
        fetch(using, server.url())
    heads = {line.partition(b":")[0] for line in server.requests[1].split(b"\r\n")[1:] if line}
    assert heads == {b"Host", b"User-Agent", b"Accept", b"Accept-Encoding", b"Connection"}
    assert f"Host: {HOST}:{server.port}".encode() in server.requests[1]
    assert b"Accept-Encoding: identity" in server.requests[1]


def test_three_redirects_are_followed_relative_ones_too() -> None:
    answers = iter(
        [redirect("/b"), redirect("c?d=1", "307 Temporary Redirect"), redirect("//" + HOST + ":{}/e"), ok(b"x")]
    )

    def script(connection: socket.socket) -> None:
        connection.sendall(next(answers).replace(b"{}", str(server.port).encode()))

    with serving(script) as server:
        assert fetch(fetcher(server), server.url("/a")) == b"x"
        assert [request.split()[1] for request in server.requests] == [b"/a", b"/b", b"/c?d=1", b"/e"]
        assert all(b"Referer" not in request for request in server.requests)


@pytest.mark.parametrize(
    "answered",
    [
        ok(b"x" * MAX),
        CHUNKED + chunk(b"x" * (MAX - 1)) + chunk(b"x") + b"0\r\n\r\n",
        answer("200 OK", f"Content-Length: {MAX}, {MAX}", f"Content-Length: {MAX}") + b"x" * MAX,
        answer("200 OK", "Content-Length: 1", "Transfer-Encoding: chunked") + chunk(b"x" * MAX) + b"0\r\n\r\n",
        answer("200 OK") + b"x" * MAX,
        answer("100 Continue") + ok(b"x" * MAX, "Content-Encoding: identity"),
    ],
    ids=["length", "chunks", "one length thrice", "chunks outrank a length", "until closed", "after an interim answer"],
)
def test_a_body_may_be_just_as_large_as_allowed(answered: bytes) -> None:
    with serving(answered) as server:
        assert fetch(fetcher(server), server.url()) == b"x" * MAX


def test_a_large_body_is_never_held() -> None:
    size = 40 << 20
    head = answer("200 OK", f"Content-Length: {size}")
    with serving(endlessly(head, b"x" * (1 << 20))) as server:
        using = fetcher(server, seconds=30)
        tracemalloc.start()
        with using.open(server.url(), max_bytes=50 << 20) as media:
            assert sum(len(block) for block in iter(lambda: media.stream.read(1 << 20), b"")) == size
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 8 << 20  # the server's own block and ours are among it


def test_one_fetcher_serves_many_threads_at_once() -> None:
    together = threading.Barrier(8, timeout=5)

    def script(connection: socket.socket) -> None:
        together.wait()  # answers nobody before all eight are there
        connection.sendall(ok(b"x" * 50_000))

    with serving(script) as server, ThreadPoolExecutor(8) as threads:
        using = fetcher(server, seconds=5)
        bodies = list(threads.map(lambda number: fetch(using, server.url(f"/{number}")), range(8)))
    assert bodies == [b"x" * 50_000] * 8
    assert {request.split()[1] for request in server.requests} == {b"/%d" % number for number in range(8)}


def test_leaving_early_closes_the_connection() -> None:
    with serving(endlessly(CHUNKED, chunk(b"x" * 1000))) as server:
        with fetcher(server).open(server.url(), max_bytes=1 << 40) as media:
            media.stream.read(10)
        assert server.closed_by_client.wait(2)
        with pytest.raises(ValueError, match="closed"):
            media.stream.read(1)


@pytest.mark.parametrize(
    ("url", "data", "media_type"),
    [
        ("data:image/png;base64,aGVsbG8=", b"hello", "image/png"),
        ("DATA:Image/PNG;name=a;BASE64,aGVs%62G8%3D", b"hello", "image/png"),
        ("data:,a%20b%ff", b"a b\xff", "text/plain"),
        ("data:image/bmp,", b"", "image/bmp"),
    ],
)
def test_data_urls_are_opened_by_the_same_fetcher(url: str, data: bytes, media_type: str) -> None:
    with fetcher().open(url, max_bytes=5) as media:
        assert (media.stream.read(), media.content_type, media.url) == (data, media_type, "data:")


# --------------------------------------------------------------------------- hostile URLs

HOSTILE_URLS = {
    "metadata by address": (METADATA, "host_refused"),
    "metadata by name": ("http://metadata.google.internal/computeMetadata/v1/", "host_refused"),
    "metadata by its short name": ("http://metadata/computeMetadata/v1/", "host_refused"),
    "metadata as NAT64": ("http://[64:ff9b::a9fe:a9fe]/", "host_refused"),
    "metadata as 6to4": ("http://[2002:a9fe:a9fe::1]/", "host_refused"),
    "metadata as a mapped address": ("http://[::ffff:169.254.169.254]/", "host_refused"),
    "metadata of another cloud over IPv6": ("http://[fd00:ec2::254]/", "host_refused"),
    "the host of another cloud": ("http://168.63.129.16/", "host_refused"),
    "a private address": ("http://10.0.0.1/", "host_refused"),
    "localhost": ("http://localhost/", "host_refused"),
    "a name below localhost": ("http://a.localhost/", "host_refused"),
    "IPv6 loopback": ("http://[::1]/", "host_refused"),
    "IPv6 loopback in full": ("http://[0:0:0:0:0:0:0:1]/", "host_refused"),
    "an IPv6 zone": ("http://[fe80::1%25eth0]/", "host_refused"),
    "a future kind of address": ("http://[v1.fe80::a]/", "host_refused"),
    "one decimal number": ("http://2130706433/", "host_refused"),
    "octal": ("http://0177.0.0.1/", "host_refused"),
    "hexadecimal": ("http://0x7f.0x0.0x0.0x1/", "host_refused"),
    "a short address": ("http://127.1/", "host_refused"),
    "zero": ("http://0/", "host_refused"),
    "full-width digits": ("http://１２７.０.０.１/", "host_refused"),
    "circled digits": ("http://①②⑦.⓪.⓪.①/", "host_refused"),
    "a percent-encoded host": ("http://127%2e0%2e0%2e1/", "host_refused"),
    "credentials": ("http://user:password@media.example.com/", "credentials_refused"),
    "a host in the credentials": ("http://media.example.com@169.254.169.254/", "credentials_refused"),
    "a backslash before the at sign": ("http://media.example.com\\@169.254.169.254/", "url_invalid"),
    "a line break": ("http://media.example.com/a\r\nHost: localhost", "url_invalid"),
    "a tab in the host": ("http://169.254.\t169.254/", "url_invalid"),
    "a leading blank": (" http://media.example.com/", "url_invalid"),
    "a zero byte": ("http://media.example.com/\0", "url_invalid"),
    "a text turned round": ("http://media.example.com/\u202egpj.exe", "url_invalid"),
    "no host": ("http:///a.jpg", "host_refused"),
    "a relative URL": ("//media.example.com/a.jpg", "url_invalid"),
    "nothing": ("", "url_invalid"),
    "brackets left open": ("http://[::1/", "host_refused"),
    "an IPv4 address in brackets": ("http://[93.184.216.34]/", "host_refused"),
    "too few groups in brackets": ("http://[1:2]/", "host_refused"),
    "a lone surrogate in the host": ("http://\ud800.example.com/", "host_refused"),
    "a lone surrogate in the path": ("http://media.example.com/\ud800", "url_invalid"),
    "file": ("file:///etc/passwd", "scheme_refused"),
    "gopher": ("gopher://media.example.com/_GET", "scheme_refused"),
    "ftp": ("ftp://media.example.com/a.jpg", "scheme_refused"),
    "javascript": ("javascript:alert(1)", "scheme_refused"),
    "a wrapped scheme": ("jar:http://media.example.com!/a", "scheme_refused"),
    "the port of SSH": ("http://media.example.com:22/", "port_refused"),
    "port zero": ("http://media.example.com:0/", "port_refused"),
    "a port beyond all": ("http://media.example.com:99999/", "port_refused"),
    "a signed port": ("http://media.example.com:+80/", "host_refused"),
    "too long": ("http://media.example.com/" + "a" * 2048, "url_too_long"),
    "a label too long": ("http://" + "a" * 64 + ".example.com/", "host_refused"),
    "a name too long": ("http://" + "a." * 130 + "example.com/", "host_refused"),
    "two dots": ("http://media..example.com/", "host_refused"),
    "data that is no base64": ("data:image/png;base64,aGVsbG8", "data_url_invalid"),
    "data with blanks": ("data:image/png;base64,aGVs bG8=", "data_url_invalid"),
    "data after the padding": ("data:image/png;base64,aGVsbG8=aGVsbG8=", "data_url_invalid"),
    "data without a comma": ("data:image/png;base64", "data_url_invalid"),
    "data with a broken escape": ("data:,%zz", "data_url_invalid"),
}


@pytest.mark.parametrize(("url", "code"), HOSTILE_URLS.values(), ids=HOSTILE_URLS.keys())
def test_a_hostile_url_is_refused_before_anything_is_asked(url: str, code: str) -> None:
    def nobody(host: str) -> list[str]:
        raise AssertionError(f"{host} was asked for")

    caught = failed(UrlFetcher(resolver=nobody, seconds=1), url)
    assert (caught.code, caught.status) == (code, 400)


ODD_DATA = "data:;base64," + base64.b64encode(bytes(MAX + 1)).decode()  # one more than allowed, in as many letters


@pytest.mark.parametrize(
    "url", ["data:;base64," + "A" * 200_000, "data:," + "a" * 100_001, "data:,%61" * 60_000, ODD_DATA]
)
def test_a_data_url_is_measured_before_it_is_decoded(url: str) -> None:
    assert failed(fetcher(), url).code == "too_large"


# --------------------------------------------------------------------------- hostile names


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["169.254.169.254"],
        ["93.184.216.34", "10.0.0.1"],
        ["2606:2800:220:1::1", "::ffff:10.0.0.1"],
        ["64:ff9b::808:808"],
        ["fe80::1%eth0"],
    ],
)
def test_a_name_with_one_refused_address_is_refused(addresses: list[str]) -> None:
    caught = failed(UrlFetcher(resolver=names({HOST: addresses})), f"http://{HOST}/")
    assert (caught.code, caught.status) == ("host_refused", 400)


def test_a_name_that_changes_its_answer_between_check_and_use_changes_nothing() -> None:
    answers = iter([["127.0.0.1"], ["169.254.169.254"]])
    with serving(ok(b"picture")) as server:
        using = fetcher(server, resolver=lambda host: next(answers))
        assert fetch(using, server.url()) == b"picture"  # resolved once, connected to what was checked
        assert next(answers) == ["169.254.169.254"]


def test_a_name_that_changes_its_answer_is_refused_at_the_redirect() -> None:
    answers = iter([["127.0.0.1"], ["169.254.169.254"]])
    with serving(redirect("/again")) as server:
        assert failed(fetcher(server, resolver=lambda host: next(answers)), server.url()).code == "host_refused"
        assert server.connections == 1


def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    with serving(ok(b"picture")) as server:
        using = UrlFetcher(
            ports={server.port}, resolver=names({HOST: ["127.0.0.2", "127.0.0.1"]}), rule=lambda _: None, seconds=2
        )
        assert fetch(using, server.url()) == b"picture"


def test_a_public_address_in_the_url_is_not_resolved() -> None:
    with serving(ok(b"picture")) as server:
        assert fetch(fetcher(server, resolver=names({})), server.url(host="127.0.0.1")) == b"picture"
        assert f"Host: 127.0.0.1:{server.port}".encode() in server.requests[0]


def test_the_system_is_asked_for_an_absolute_name(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def getaddrinfo(host: str, port: None, **_: object) -> list[tuple[object, ...]]:
        asked.append(host)
        return [(2, 1, 6, "", ("93.184.216.34", 0)), (10, 1, 6, "", ("2606:4700::1111", 0, 0, 0))] * 2

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert resolve(HOST) == ["93.184.216.34", "2606:4700::1111"]
    assert asked == ["media.example.com."]  # no search domain is appended to it


@pytest.mark.parametrize(
    ("url", "code", "status"),
    [
        ("http://nothing.example.com/", "unresolvable", 503),
        ("http://empty.example.com/", "unresolvable", 503),
        ("http://closed.example.com/", "unreachable", 503),
        ("http://slow.example.com/", "timeout", 408),
    ],
)
def test_names_and_servers_that_are_away(url: str, code: str, status: int) -> None:
    known = names({"empty.example.com": [], "closed.example.com": ["127.0.0.1"]})

    def resolver(host: str) -> list[str]:
        if host.startswith("slow"):
            time.sleep(1)
        return list(known(host))

    with closed_port() as port:
        using = UrlFetcher(ports={port}, resolver=resolver, rule=lambda _: None, seconds=0.3)
        caught = failed(using, url.replace(".com/", f".com:{port}/"))
    assert (caught.code, caught.status) == (code, status)


@contextmanager
def closed_port() -> Iterator[int]:
    """A port that nobody listens at, and nobody else gets."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


# --------------------------------------------------------------------------- hostile servers


def reset(start: bytes) -> Script:
    def script(connection: socket.socket) -> None:
        connection.sendall(start)
        time.sleep(0.05)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return script


HOSTILE_SERVERS: dict[str, tuple[Script, str, int]] = {
    "redirect to metadata": (says(redirect(METADATA)), "host_refused", 400),
    "redirect to a mapped address": (says(redirect("http://[::ffff:a9fe:a9fe]/")), "host_refused", 400),
    "redirect to a decimal address": (says(redirect("http://2852039166/")), "host_refused", 400),
    "redirect to a file": (says(redirect("file:///etc/passwd")), "scheme_refused", 400),
    "redirect to data": (says(redirect("data:image/png;base64,aGVsbG8=")), "scheme_refused", 400),
    "redirect with credentials": (says(redirect(f"http://a:b@{HOST}/")), "credentials_refused", 400),
    "redirect to another port": (says(redirect(f"http://{HOST}:6379/")), "port_refused", 400),
    "redirect with a tab": (says(redirect("http://169.254.\t169.254/")), "redirect_refused", 400),
    "redirect to brackets left open": (says(redirect("http://[::1/")), "redirect_refused", 400),
    "redirect to nowhere": (says(answer("302 Found", "Content-Length: 0")), "redirect_refused", 400),
    "two places to go": (says(answer("302 Found", "Location: /a", "Location: /b")), "redirect_refused", 400),
    "redirect in bytes that are no text": (
        says(b"HTTP/1.1 302 Found\r\nLocation: /\xff\xfe\r\n\r\n"),
        "redirect_refused",
        400,
    ),
    "redirect to itself for ever": (says(redirect("/a.jpg")), "too_many_redirects", 400),
    "silence": (lambda connection: time.sleep(2), "timeout", 408),
    "slow headers": (dripping(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"), "timeout", 408),
    "a slow status line": (dripping(b"", b"H"), "timeout", 408),
    "a slow body": (dripping(answer("200 OK", "Content-Length: 1000"), b"x"), "timeout", 408),
    "slow chunks": (dripping(CHUNKED, chunk(b"x")), "timeout", 408),
    "a body that stops": (dripping(answer("200 OK", "Content-Length: 1000") + b"x" * 999, b""), "timeout", 408),
    "endless headers": (endlessly(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n" * 100), "broken_answer", 503),
    "one endless header": (endlessly(b"HTTP/1.1 200 OK\r\nA: ", b"b" * 1000), "broken_answer", 503),
    "endless interim answers": (endlessly(b"", answer("103 Early Hints") * 50), "too_large", 413),
    "an endless chunked body": (endlessly(CHUNKED, chunk(b"x" * 1000)), "too_large", 413),
    "an endless body of no length": (endlessly(answer("200 OK"), b"x" * 1000), "too_large", 413),
    "an endless chunk size": (endlessly(CHUNKED, b"0" * 1000), "incomplete", 503),
    "kilobytes of framing for each byte": (endlessly(CHUNKED, b"1;" + b"e" * 9000 + b"\r\nx\r\n"), "too_large", 413),
    "endless trailers": (endlessly(CHUNKED + b"0\r\n", b"A: b\r\n" * 100), "incomplete", 503),
    "one byte too many in chunks": (
        says(CHUNKED + chunk(b"x" * MAX) + chunk(b"x") + b"0\r\n\r\n"),
        "too_large",
        413,
    ),
    "one byte too many of no length": (says(answer("200 OK") + b"x" * (MAX + 1)), "too_large", 413),
    "a length over the limit": (says(answer("200 OK", f"Content-Length: {MAX + 1}")), "too_large", 413),
    "a length beyond all numbers": (says(answer("200 OK", "Content-Length: " + "9" * 19)), "too_large", 413),
    "less than was declared": (says(answer("200 OK", "Content-Length: 1000") + b"x" * 999), "incomplete", 503),
    "a chunk cut short": (says(CHUNKED + b"ff\r\nxx"), "incomplete", 503),
    "no last chunk": (says(CHUNKED + chunk(b"x" * 10)), "incomplete", 503),
    "a reset in the body": (reset(answer("200 OK", "Content-Length: 1000") + b"x"), "incomplete", 503),
    "a negative length": (says(answer("200 OK", "Content-Length: -1") + b"x"), "broken_answer", 503),
    "two lengths": (says(answer("200 OK", "Content-Length: 1", "Content-Length: 2") + b"xx"), "broken_answer", 503),
    "a chunk of negative size": (says(CHUNKED + b"-1\r\nx\r\n"), "incomplete", 503),
    "an answer that is no HTTP": (says(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), "broken_answer", 503),
    "an answer of HTTP 0.9": (says(b"<html>hello</html>"), "broken_answer", 503),
    "no answer": (says(b""), "broken_answer", 503),
    "a gzip bomb": (says(ok(gzip.compress(bytes(1 << 20)), "Content-Encoding: gzip")), "encoding_refused", 400),
    "a bomb in a bomb": (says(ok(b"x", "Content-Encoding: br", "Content-Encoding: gzip")), "encoding_refused", 400),
    "compression of the transfer": (says(answer("200 OK", "Transfer-Encoding: gzip, chunked")), "broken_answer", 503),
    "a switch of protocols": (says(answer("101 Switching Protocols", "Upgrade: h2c")), "broken_answer", 503),
    "a part of the media": (says(answer("206 Partial Content", "Content-Length: 0")), "unexpected_answer", 400),
    "nothing at all": (says(answer("204 No Content")), "unexpected_answer", 400),
    "credentials wanted": (says(answer("401 Unauthorized", "WWW-Authenticate: Basic")), "access_denied", 403),
    "forbidden": (says(answer("403 Forbidden")), "access_denied", 403),
    "not there": (says(answer("404 Not Found")), "not_found", 404),
    "no longer there": (says(answer("410 Gone")), "not_found", 404),
    "too often": (says(answer("429 Too Many Requests")), "rate_limited", 429),
    "a failing server": (says(answer("500 Internal Server Error")), "server_failed", 503),
    "a busy server": (says(answer("503 Service Unavailable")), "server_failed", 503),
}


@pytest.mark.parametrize(("script", "code", "status"), HOSTILE_SERVERS.values(), ids=HOSTILE_SERVERS.keys())
def test_a_hostile_server_ends_in_one_sentence(script: Script, code: str, status: int) -> None:
    with serving(script) as server:
        caught = failed(fetcher(server, seconds=0.5 if code == "timeout" else 5), server.url())
        assert server.connections <= 4
    assert (caught.code, caught.status) == (code, status)


def test_a_gzip_bomb_that_does_not_say_so_is_not_unpacked() -> None:
    bomb = gzip.compress(bytes(10 << 20))
    with serving(ok(bomb)) as server:
        assert fetch(fetcher(server), server.url()) == bomb


GOOD_ANSWERS = [
    ok(b"picture", "Content-Type: image/jpeg"),
    CHUNKED + chunk(b"pic") + chunk(b"ture") + b"0\r\nA: b\r\n\r\n",
    redirect("/b.jpg", "301 Moved Permanently"),
]


def test_whatever_a_server_says_ends_in_media_or_in_one_sentence() -> None:
    chance = random.Random(7)
    said = [damaged(chance.choice(GOOD_ANSWERS), chance) for _ in range(300)]
    turns = iter(said)
    ends = {"media": 0, "sentence": 0}
    with serving(lambda connection: connection.sendall(next(turns, b""))) as server:
        using = fetcher(server)
        for _ in said:
            try:
                fetch(using, server.url())
                ends["media"] += 1
            except FetchFailed:
                ends["sentence"] += 1
    assert min(ends.values()) > 20, ends


def damaged(answered: bytes, chance: random.Random) -> bytes:
    """With a few bytes changed, lost or doubled."""
    for _ in range(chance.randint(1, 3)):
        at, length = chance.randrange(len(answered)), chance.randint(0, 6)
        noise = chance.choice([b"", b"\0", b"\r\n", b" ", b":", b"9", b"\xff", answered[at : at + 2 * length]])
        answered = answered[:at] + noise + answered[at + length :]
    return answered


def test_failures_leave_no_connection_open() -> None:
    process = psutil.Process()
    with serving(CHUNKED + b"zz\r\n") as server:
        using = fetcher(server)
        failed(using, server.url())
        before = process.num_fds()
        for _ in range(50):
            failed(using, server.url())
        time.sleep(0.1)  # the server closes its own ends
        assert process.num_fds() <= before + 2


def test_more_than_was_declared_is_not_read() -> None:
    with serving(ok(b"picture") + b"HTTP/1.1 200 OK\r\n\r\nsmuggled") as server:
        assert fetch(fetcher(server), server.url()) == b"picture"


def test_a_stream_that_failed_goes_on_failing() -> None:
    cut_off = answer("200 OK", "Content-Length: 1000") + b"x" * 10
    with serving(cut_off) as server, fetcher(server).open(server.url(), max_bytes=MAX) as media:
        for _ in range(3):
            with pytest.raises(FetchFailed, match="incomplete"):
                media.stream.read()


def test_the_caller_s_own_pauses_count() -> None:
    endless = endlessly(CHUNKED, chunk(b"x" * 9000))
    with serving(endless) as server, fetcher(server, seconds=0.3).open(server.url(), max_bytes=1 << 40) as media:
        media.stream.read(1)
        time.sleep(0.4)
        with pytest.raises(FetchFailed, match="timeout"):
            media.stream.read(1 << 20)


# --------------------------------------------------------------------------- TLS


def test_tls_is_checked_against_the_name_in_the_url(tmp_path: Path) -> None:
    server_side, trusting = certificate(tmp_path, HOST)
    both = names({HOST: ["127.0.0.1"], "other.example.com": ["127.0.0.1"]})
    with serving(ok(b"picture"), tls=server_side) as server:
        using = fetcher(server, trust=trusting, resolver=both)
        assert fetch(using, server.url(scheme="https")) == b"picture"
        caught = failed(using, server.url(scheme="https", host="other.example.com"))
        assert (caught.code, caught.status) == ("tls_failed", 503)
        assert failed(fetcher(server), server.url(scheme="https")).code == "tls_failed"  # an authority nobody knows


def test_the_name_in_the_url_is_the_one_that_is_asked_for(tmp_path: Path) -> None:
    server_side, trusting = certificate(tmp_path, HOST)
    asked: list[str | None] = []
    server_side.sni_callback = lambda _socket, name, _context: asked.append(name)
    with serving(ok(b"picture"), tls=server_side) as server:
        fetch(fetcher(server, trust=trusting), server.url(scheme="https", host="MEDIA.example.com."))
    assert asked == [HOST]


def test_https_never_leads_back_to_http(tmp_path: Path) -> None:
    server_side, trusting = certificate(tmp_path, HOST)
    with serving(redirect(f"http://{HOST}/a.jpg"), tls=server_side) as server:
        caught = failed(fetcher(server, trust=trusting), server.url(scheme="https"))
    assert caught.code == "redirect_refused"


def test_a_handshake_that_never_ends_is_ended() -> None:
    # It drips the start of a TLS record that is never complete.
    with serving(dripping(b"\x16\x03\x03\x40\x00", b"\x00")) as server:
        caught = failed(fetcher(server, seconds=0.5), server.url(scheme="https"))
    assert (caught.code, caught.status) == ("timeout", 408)
