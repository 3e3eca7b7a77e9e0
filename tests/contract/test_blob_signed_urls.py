"""The contract of signed URLs over both homes: single uploads and downloads, used as strangers would use them."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx
import pytest

from shared.adapters.embedded import blobs as embedded_blobs
from shared.adapters.embedded.blob_keys import local_signing_key
from shared.errors import InvalidKey, Malformed
from tests.contract.blob_fixtures import (
    HOUR,
    ODD_NAMES,
    Home,
    assert_nothing_stored,
    clock,
    code,
    home,
    host,
    put,
    raw_put,
    raw_request,
    sign,
    signing_key,
)

__all__ = ["clock", "home", "host", "signing_key"]


@pytest.mark.parametrize("name", ["up/load", *[name for name in ODD_NAMES if name not in {"a/../b", "./a"}]])
def test_signed_put(home: Home, name: str) -> None:
    upload = sign(home, name, metadata={"source": "cam 1"})
    assert upload.method == "PUT"
    assert upload.headers["x-goog-content-length-range"] == "1,1000"
    assert upload.headers["x-goog-if-generation-match"] == "0"
    response = httpx.put(upload.url, headers=dict(upload.headers), content=b"moving pictures")
    assert response.status_code == 200, response.text
    info = home.blobs.stat(name)
    assert info is not None
    assert (info.size, info.content_type, info.metadata) == (15, "video/mp4", {"source": "cam 1"})
    assert response.headers["x-goog-generation"] == str(info.generation)


def test_signed_put_in_chunks_of_unknown_length(home: Home) -> None:
    upload = sign(home)
    response = httpx.put(upload.url, headers=dict(upload.headers), content=iter([b"one", b"two"]))
    assert response.status_code == 200
    with home.blobs.open("up/load") as reader:
        assert reader.read() == b"onetwo"


def test_signed_put_works_once(home: Home) -> None:
    upload = sign(home)
    assert httpx.put(upload.url, headers=dict(upload.headers), content=b"first").status_code == 200
    refused = httpx.put(upload.url, headers=dict(upload.headers), content=b"second")
    assert code(refused) == (412, "PreconditionFailed")
    with home.blobs.open("up/load") as reader:
        assert reader.read() == b"first"


def test_one_of_many_racing_uploads_wins(home: Home) -> None:
    upload = sign(home)

    def send(number: int) -> int:
        return httpx.put(upload.url, headers=dict(upload.headers), content=b"%d" % number).status_code

    with ThreadPoolExecutor(12) as pool:
        statuses = sorted(pool.map(send, range(12)))
    assert statuses == [200] + [412] * 11


def test_signed_put_expires(home: Home) -> None:
    upload = sign(home, expires_in=timedelta(minutes=10))
    home.clock.ahead = timedelta(minutes=10, seconds=1)
    refused = httpx.put(upload.url, headers=dict(upload.headers), content=b"late")
    assert code(refused) == (400, "ExpiredToken")
    home.clock.ahead = timedelta(minutes=-20)
    refused = httpx.put(upload.url, headers=dict(upload.headers), content=b"early")
    assert code(refused) == (403, "RequestTimeTooSkewed")
    assert_nothing_stored(home)


def test_the_life_of_a_signed_url_is_limited(home: Home) -> None:
    for life in (timedelta(0), timedelta(seconds=-1), timedelta(days=7, seconds=1)):
        with pytest.raises(ValueError, match="lives"):
            home.blobs.sign_get("a", expires_in=life)
        with pytest.raises(ValueError, match="lives"):
            sign(home, expires_in=life)


def test_signed_put_binds_its_headers(home: Home) -> None:
    upload = sign(home, metadata={"source": "cam-1"})
    changes: list[dict[str, str | None]] = [
        {"content-type": "text/html"},
        {"content-type": "video/mp4\xa0"},
        {"x-goog-content-length-range": "1,9999999"},
        {"x-goog-if-generation-match": "1"},
        {"x-goog-meta-source": "cam-2"},
        {"content-type": None},
        {"x-goog-content-length-range": None},
        {"x-goog-if-generation-match": None},
        {"x-goog-meta-source": None},
        {"x-goog-meta-more": "unsigned"},
        {"x-goog-acl": "public-read"},
        {"host": "elsewhere.example"},
    ]
    for change in changes:
        headers = {**upload.headers, **{name: value for name, value in change.items() if value is not None}}
        for name in (name for name, value in change.items() if value is None):
            del headers[name]
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        refused = httpx.put(upload.url, headers=encoded, content=b"bytes")
        assert code(refused) in {(403, "SignatureDoesNotMatch"), (400, "MalformedSecurityHeader")}, change
    assert_nothing_stored(home)


def test_signed_url_binds_path_query_and_method(home: Home) -> None:
    upload = sign(home)
    url = httpx.URL(upload.url)
    signature = url.params["X-Goog-Signature"]
    tampered = [
        upload.url.replace("/up/load", "/up/other"),
        upload.url.replace("/media/", "/evidence/"),
        str(url.copy_set_param("X-Goog-Expires", "604800")),
        str(url.copy_set_param("X-Goog-Date", "20200101T000000Z")),
        str(url.copy_set_param("X-Goog-SignedHeaders", "host")),
        str(url.copy_set_param("X-Goog-Signature", signature[:-2] + "00")),
        str(url.copy_set_param("X-Goog-Signature", "zz")),
        str(url.copy_set_param("X-Goog-Credential", url.params["X-Goog-Credential"].replace("signer", "other"))),
        str(url.copy_set_param("X-Goog-Algorithm", "GOOG4-HMAC-SHA256")),
        str(url.copy_add_param("generation", "1")),
        str(url.copy_add_param("X-Goog-Expires", "604800")),
        str(url.copy_remove_param("X-Goog-Signature")),
        str(url.copy_remove_param("X-Goog-Date")),
        upload.url.partition("?")[0],
    ]
    for attempt in tampered:
        refused = httpx.put(attempt, headers=dict(upload.headers), content=b"bytes")
        assert refused.status_code in {400, 403}, attempt
    for method in ("GET", "POST", "DELETE", "HEAD"):
        assert httpx.request(method, upload.url, headers=dict(upload.headers)).status_code == 403
    assert_nothing_stored(home)


def test_unsigned_requests_are_refused(home: Home) -> None:
    put(home, "a")
    url = f"{home.base_url}/media/a"
    for method in ("GET", "HEAD", "PUT", "POST", "DELETE"):
        assert httpx.request(method, url).status_code == 403
    assert httpx.put(f"{home.base_url}/media/b", content=b"x").status_code == 403
    assert httpx.put(f"{url}?upload_id=guessed", content=b"x").status_code == 404
    assert home.blobs.stat("a") is not None
    assert home.blobs.stat("b") is None


def test_too_many_bytes_declared(home: Home) -> None:
    upload = sign(home, max_bytes=10)
    refused = httpx.put(upload.url, headers=dict(upload.headers), content=b"x" * 11)
    assert code(refused) == (400, "EntityTooLarge")
    assert_nothing_stored(home)
    assert httpx.put(upload.url, headers=dict(upload.headers), content=b"x" * 10).status_code == 200


def test_too_many_bytes_in_chunks(home: Home) -> None:
    upload = sign(home, max_bytes=3_000_000)
    refused = httpx.put(upload.url, headers=dict(upload.headers), content=iter([b"x" * 1_000_000] * 4))
    assert code(refused) == (400, "EntityTooLarge")
    assert_nothing_stored(home)


def test_too_many_bytes_with_a_lying_length(home: Home) -> None:
    """Two lengths that contradict each other, as request smugglers send them."""
    upload = sign(home, max_bytes=10)
    headers = {**upload.headers, "Content-Length": "5", "Transfer-Encoding": "chunked"}
    answer = raw_request(home.base_url, raw_put(upload.url, headers, b"40\r\n" + b"x" * 64 + b"\r\n0\r\n\r\n"))
    assert answer.startswith(b"HTTP/1.1 400")
    assert_nothing_stored(home)


def test_bytes_behind_the_declared_length_never_get_in(home: Home) -> None:
    """They are the next request to any HTTP server, and no valid one."""
    upload = sign(home, max_bytes=10)
    answer = raw_request(home.base_url, raw_put(upload.url, {**upload.headers, "Content-Length": "5"}, b"x" * 64))
    assert answer.startswith(b"HTTP/1.1 200")
    info = home.blobs.stat("up/load")
    assert info is not None
    assert info.size == 5


def test_no_bytes_are_refused(home: Home) -> None:
    upload = sign(home)
    assert code(httpx.put(upload.url, headers=dict(upload.headers), content=b"")) == (400, "EntityTooSmall")
    assert code(httpx.put(upload.url, headers=dict(upload.headers), content=iter([]))) == (400, "EntityTooSmall")
    assert_nothing_stored(home)


def test_a_wrong_checksum_is_refused(home: Home) -> None:
    upload = sign(home)
    headers = {**upload.headers, "content-md5": "AAAAAAAAAAAAAAAAAAAAAA=="}
    assert code(httpx.put(upload.url, headers=headers, content=b"bytes")) == (400, "BadDigest")
    assert_nothing_stored(home)


@pytest.mark.parametrize("sent", [100, 2_500_000])
def test_a_client_that_leaves_half_way_leaves_nothing(home: Home, sent: int) -> None:
    upload = sign(home, max_bytes=10_000_000)
    request = raw_put(upload.url, {**upload.headers, "Content-Length": "5000000"}, b"x" * sent)
    raw_request(home.base_url, request, then_close=True)
    time.sleep(0.2)
    assert_nothing_stored(home)


def test_a_client_that_falls_silent_is_given_up(home: Home) -> None:
    upload = sign(home)
    answer = raw_request(home.base_url, raw_put(upload.url, {**upload.headers, "Content-Length": "500"}, b"x"))
    assert b"RequestTimeout" in answer
    assert_nothing_stored(home)


def test_metadata_and_types_that_headers_cannot_carry(home: Home) -> None:
    for options in (
        {"metadata": {"Upper": "x"}},
        {"metadata": {"spaced key": "x"}},
        {"metadata": {"key": "größe"}},
        {"metadata": {"key": "two\r\nlines"}},
        {"metadata": {"key": ""}},
        {"content_type": "video/mp4\r\nx-evil: 1"},
        {"content_type": ""},
    ):
        with pytest.raises(Malformed):
            sign(home, **options)


def test_names_that_clients_would_rewrite_are_not_signed(home: Home) -> None:
    for name in ("a/../b", "./a", "a/.", "../etc/passwd"):
        with pytest.raises(InvalidKey):
            home.blobs.sign_get(name, expires_in=HOUR)
        with pytest.raises(InvalidKey):
            sign(home, name)


# --------------------------------------------------------------------------- signed downloads


def test_signed_get_with_ranges(home: Home) -> None:
    info = put(home, "a b/ü.mp4", b"0123456789", metadata={"k": "v"})
    url = home.blobs.sign_get("a b/ü.mp4", expires_in=HOUR)
    whole = httpx.get(url)
    assert (whole.status_code, whole.content) == (200, b"0123456789")
    assert whole.headers["content-type"] == "video/mp4"
    assert whole.headers["x-goog-generation"] == str(info.generation)
    assert whole.headers["x-goog-meta-k"] == "v"
    assert whole.headers["x-content-type-options"] == "nosniff"
    for asked, given, described in (
        ("bytes=2-4", b"234", "bytes 2-4/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
        ("bytes=5-500", b"56789", "bytes 5-9/10"),
        ("bytes=-500", b"0123456789", "bytes 0-9/10"),
    ):
        part = httpx.get(url, headers={"range": asked})
        assert (part.status_code, part.content, part.headers["content-range"]) == (206, given, described)
    beyond = httpx.get(url, headers={"range": "bytes=10-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, "bytes */10")
    assert httpx.get(url, headers={"range": "lines=1-2"}).status_code == 200


def test_signed_get_of_what_is_not_there_yet(home: Home) -> None:
    url = home.blobs.sign_get("later", expires_in=HOUR)
    assert code(httpx.get(url)) == (404, "NoSuchKey")
    put(home, "later", b"now")
    assert httpx.get(url).content == b"now"


def test_signed_get_is_for_one_object_for_reading_for_a_while(home: Home) -> None:
    put(home, "mine")
    put(home, "theirs")
    url = home.blobs.sign_get("mine", expires_in=timedelta(minutes=15))
    assert code(httpx.get(url.replace("/mine?", "/theirs?"))) == (403, "SignatureDoesNotMatch")
    for method in ("PUT", "POST", "DELETE", "HEAD"):
        assert httpx.request(method, url).status_code == 403
    home.clock.ahead = timedelta(minutes=16)
    assert code(httpx.get(url)) == (400, "ExpiredToken")
    assert home.blobs.stat("mine") is not None


def test_a_url_signed_by_somebody_else_is_refused(home: Home, tmp_path: Any) -> None:
    put(home, "a")
    stranger = local_signing_key(tmp_path / "stranger")
    folder = embedded_blobs.FolderBlobs(
        home.folder, "media", signer=stranger.credentials, base_url=home.base_url
    )  # the same signer name, another key
    assert code(httpx.get(folder.sign_get("a", expires_in=HOUR))) == (403, "SignatureDoesNotMatch")
