"""The contract of signed resumable uploads over both homes, and of what strangers try at the blob server."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.contract.blob_fixtures import (
    PAGE_ORIGIN,
    Home,
    ask,
    assert_nothing_stored,
    clock,
    code,
    home,
    host,
    put,
    raw_put,
    raw_request,
    send_range,
    sign,
    signing_key,
    start_session,
)

__all__ = ["clock", "home", "host", "signing_key"]


def test_resumable_upload_in_ranges(home: Home) -> None:
    session = start_session(home, max_bytes=1_000_000, metadata={"source": "cam-1"})
    assert home.blobs.stat("up/load") is None
    question = ask(session, 600_000)
    assert question.status_code == 308
    assert "range" not in question.headers
    answer = send_range(session, b"a" * 262_144, 0, 600_000)
    assert (answer.status_code, answer.headers["range"]) == (308, "bytes=0-262143")
    answer = send_range(session, b"b" * 262_144, 262_144, "*")
    assert (answer.status_code, answer.headers["range"]) == (308, "bytes=0-524287")
    done = send_range(session, b"c" * 75_712, 524_288, 600_000)
    assert done.status_code == 200, done.text
    info = home.blobs.stat("up/load")
    assert info is not None
    assert (info.size, info.content_type, info.metadata) == (600_000, "video/mp4", {"source": "cam-1"})
    assert done.headers["x-goog-generation"] == str(info.generation)
    assert ask(session, 600_000).status_code == 200  # the answer may have been lost
    assert list((home.folder._root / "sessions").iterdir()) == []


def test_resumable_upload_in_one_go(home: Home) -> None:
    assert httpx.put(start_session(home), content=b"all of it").status_code == 200
    assert httpx.put(start_session(home, name="b"), content=iter([b"all", b"of it"])).status_code == 200
    assert [info.size for info in home.blobs.list()] == [8, 9]


def test_resumable_upload_goes_on_after_a_lost_connection(home: Home) -> None:
    data = bytes(range(256)) * 20_000  # 5 MB
    session = start_session(home, max_bytes=10_000_000)
    headers = {"Content-Length": str(len(data)), "Content-Range": f"bytes 0-{len(data) - 1}/{len(data)}"}
    raw_request(home.base_url, raw_put(session, headers, data[:3_000_000]), then_close=True)
    answer = ask(session, len(data))
    assert answer.status_code == 308
    have = int(answer.headers["range"].removeprefix("bytes=0-")) + 1
    assert 0 < have <= 3_000_000
    assert send_range(session, data[have:], have, len(data)).status_code == 200
    with home.blobs.open("up/load") as reader:
        assert reader.read() == data


def test_resumable_upload_repeats_and_gaps(home: Home) -> None:
    session = start_session(home)
    send_range(session, b"0123", 0, 10)
    again = send_range(session, b"234567", 2, 10)  # what is there already is skipped
    assert again.headers["range"] == "bytes=0-7"
    gap = send_range(session, b"z", 9, 10)
    assert (gap.status_code, gap.headers["range"]) == (308, "bytes=0-7")
    assert send_range(session, b"89", 8, 10).status_code == 200
    with home.blobs.open("up/load") as reader:
        assert reader.read() == b"0123456789"


def test_resumable_upload_keeps_to_its_size(home: Home) -> None:
    session = start_session(home, max_bytes=10)
    assert code(send_range(session, b"x" * 11, 0, 11)) == (400, "EntityTooLarge")
    assert code(ask(session, 0)) == (400, "EntityTooSmall")
    assert code(httpx.put(session, content=iter([b"x" * 8, b"x" * 8]))) == (400, "EntityTooLarge")
    lying = httpx.put(session, content=b"x" * 1000, headers={"content-range": "bytes 0-7/8"})
    assert code(lying) == (400, "EntityTooLarge")
    for malformed in ("bytes 5-2/10", "bytes 0-10/5", "0-7/8", "bytes 0-7", "lines 0-7/8"):
        assert httpx.put(session, content=b"x", headers={"content-range": malformed}).status_code == 400
    assert_nothing_stored(home)
    assert httpx.put(session, content=b"x" * 10).status_code == 200


def test_resumable_upload_creates_once(home: Home) -> None:
    first, second = start_session(home), start_session(home)
    assert httpx.put(first, content=b"first").status_code == 200
    assert code(httpx.put(second, content=b"second")) == (412, "PreconditionFailed")
    upload = sign(home, resumable=True)
    assert code(httpx.post(upload.url, headers=dict(upload.headers))) == (412, "PreconditionFailed")
    with home.blobs.open("up/load") as reader:
        assert reader.read() == b"first"


def test_resumable_session_is_bound_to_its_object_and_can_be_cancelled(home: Home) -> None:
    session = start_session(home)
    assert httpx.put(session.replace("/up/load", "/up/other"), content=b"x").status_code == 404
    assert httpx.put(session[:-3] + "abc", content=b"x").status_code == 404
    assert httpx.delete(session).status_code == 499
    assert httpx.put(session, content=b"x").status_code == 404
    assert_nothing_stored(home)


def test_resumable_session_is_not_started_by_a_put_url(home: Home) -> None:
    upload = sign(home)
    headers = {**upload.headers, "x-goog-resumable": "start"}
    assert httpx.post(upload.url, headers=headers).status_code in {400, 403}


def test_two_requests_never_append_at_once(home: Home) -> None:
    data = bytes(range(256)) * 8_000
    session = start_session(home, max_bytes=10_000_000)

    def send(_: int) -> int:
        return send_range(session, data, 0, len(data)).status_code

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(send, range(4))) == {200}
    with home.blobs.open("up/load") as reader:
        assert reader.read() == data


# --------------------------------------------------------------------------- strangers


@pytest.mark.parametrize(
    "path",
    [
        "/media/../../etc/passwd",
        "/media/..%2f..%2fetc%2fpasswd",
        "/media/%2e%2e/%2e%2e/index.sqlite3",
        "/media%2f..%2f..%2fetc%2fpasswd",
        "/media/%ff%fe",
        "/media/",
        "/media//etc/passwd",
        "/media/" + "x" * 5000,
        "/unknown/a",
        "//media/a",
        "/media/a%00b",
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST", "HEAD", "OPTIONS"])
def test_hostile_paths_are_harmless(home: Home, method: str, path: str) -> None:
    put(home, "a")
    request = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    answer = raw_request(home.base_url, request.encode())
    status = int(answer.split(b" ")[1])
    assert status in {400, 403, 404, 405} or (method == "OPTIONS" and status == 200)
    assert b"root:" not in answer
    assert b"Traceback" not in answer
    assert [info.name for info in home.blobs.list()] == ["a"]


def test_browsers_of_allowed_pages_may_upload(home: Home) -> None:
    upload = sign(home)
    asked = {
        "origin": PAGE_ORIGIN,
        "access-control-request-method": "PUT",
        "access-control-request-headers": "content-type, x-goog-if-generation-match,x-evil",
    }
    preflight = httpx.options(upload.url, headers=asked)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == PAGE_ORIGIN
    assert "PUT" in preflight.headers["access-control-allow-methods"]
    assert preflight.headers["access-control-allow-headers"] == "content-type, x-goog-if-generation-match"
    foreign = httpx.options(upload.url, headers={**asked, "origin": "http://evil.example"})
    assert "access-control-allow-origin" not in foreign.headers
    sent = httpx.put(upload.url, headers={**upload.headers, "origin": PAGE_ORIGIN}, content=b"x")
    assert sent.status_code == 200
    assert sent.headers["access-control-allow-origin"] == PAGE_ORIGIN
    assert "Location" in sent.headers["access-control-expose-headers"]
