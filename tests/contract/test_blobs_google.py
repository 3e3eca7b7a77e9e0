"""What only the Cloud Storage home has: lost answers, long copies, errors of the service, keyless signatures.

And the part of the JSON API that the client library uses beyond what the port asks.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.responses import JSONResponse

from local.emulators import free_port
from shared.adapters.embedded.blob_keys import LocalSigningKey
from shared.adapters.google.blobs import CloudStorageBlobs
from shared.adapters.google.signing import for_evidence, for_uploads, signing_credentials
from shared.domain.evidence_images import LinkMode
from shared.errors import NotFound, PreconditionFailed, Retryable, SettingsError
from shared.handlers.evidence_links import EvidenceLinks
from tests.contract.blob_fixtures import (
    BUCKET,
    Home,
    Host,
    MovableClock,
    clock,
    content_files,
    google_home,
    host,
    signing_key,
)

__all__ = ["clock", "host", "signing_key"]


@pytest.fixture
def google(tmp_path: Path, host: Host, signing_key: LocalSigningKey, clock: MovableClock) -> Iterator[Home]:
    with google_home(tmp_path, host, signing_key, clock) as made:
        yield made


def put(home: Home, name: str, data: bytes = b"content") -> Any:
    return home.blobs.put(name, data, content_type="video/mp4")


def blobs_at(base_url: str, *, retry_seconds: float = 0.3) -> CloudStorageBlobs:
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    make_client: Any = storage.Client
    make_credentials: Any = AnonymousCredentials
    client = make_client(
        project="demo-sightline", credentials=make_credentials(), client_options={"api_endpoint": base_url}
    )
    return CloudStorageBlobs(client, BUCKET, retry_seconds=retry_seconds)


# --------------------------------------------------------------------------- trouble on the way


class CutsRanges:
    """Lets half of each first ranged PUT through, then the connection is lost and the client told nothing useful."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._seen: set[bytes] = set()
        self.cuts = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        asked = dict(scope["headers"]).get(b"content-range", b"")
        if scope["method"] != "PUT" or asked in self._seen or b"*/" in asked:
            await self._app(scope, receive, send)
            return
        self._seen.add(asked)
        self.cuts += 1
        left = 2

        async def half() -> Any:
            nonlocal left
            left -= 1
            return await receive() if left > 0 else {"type": "http.disconnect"}

        async def unheard(message: Any) -> None:
            del message

        await self._app(scope, half, unheard)
        await JSONResponse({}, 503)(scope, receive, send)


def test_a_chunked_upload_survives_lost_connections(
    tmp_path: Path, host: Host, signing_key: LocalSigningKey, clock: MovableClock
) -> None:
    cutting: list[CutsRanges] = []

    def wrap(app: Any) -> CutsRanges:
        cutting.append(CutsRanges(app))
        return cutting[0]

    data = bytes(range(256)) * 4096 * 2
    with google_home(tmp_path, host, signing_key, clock, wrap=wrap) as home:
        blob = home.client.bucket(BUCKET).blob("a", chunk_size=768 << 10)
        blob.upload_from_file(io.BytesIO(data), content_type="video/mp4", if_generation_match=0)
        assert cutting[0].cuts == 3
        with home.blobs.open("a") as reader:
            assert reader.read() == data


def test_a_cancelled_upload_leaves_nothing(google: Home) -> None:
    session = google.client.bucket(BUCKET).blob("a").create_resumable_upload_session(content_type="video/mp4")
    first = httpx.put(session, content=b"x" * (256 << 10), headers={"content-range": "bytes 0-262143/*"})
    assert first.status_code == 308
    assert httpx.delete(session).status_code == 499
    assert httpx.put(session, content=b"x").status_code == 404
    assert google.blobs.stat("a") is None
    assert content_files(google.folder) == []
    assert list((google.folder._root / "sessions").iterdir()) == []


def test_a_long_copy_takes_several_calls(
    tmp_path: Path, host: Host, signing_key: LocalSigningKey, clock: MovableClock
) -> None:
    tokens: list[str] = []

    def wrap(app: Any) -> Any:
        async def in_three_steps(scope: Any, receive: Any, send: Any) -> None:
            answer = app
            if b"/rewriteTo/" in scope["raw_path"]:
                tokens.append(httpx.QueryParams(scope["query_string"].decode()).get("rewriteToken", ""))
                step = {"done": False, "totalBytesRewritten": "1", "objectSize": "9"}
                answer = app if len(tokens) == 3 else JSONResponse({**step, "rewriteToken": f"t{len(tokens)}"})
            await answer(scope, receive, send)

        return in_three_steps

    with google_home(tmp_path, host, signing_key, clock, wrap=wrap) as home:
        put(home, "a")
        assert home.blobs.copy("a", "b").size == 7
    assert tokens == ["", "t1", "t2"]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_trouble_of_the_service_is_retryable(host: Host, status: int) -> None:
    with host.serving(JSONResponse({"error": {"code": status, "message": "trouble"}}, status)) as base_url:
        blobs = blobs_at(base_url)
        for attempt in (
            lambda: blobs.stat("a"),
            lambda: blobs.open("a"),
            lambda: blobs.put("a", b"x", content_type="text/plain"),
            lambda: blobs.put("a", io.BytesIO(b"x" * (9 << 20)), content_type="text/plain"),
            lambda: blobs.copy("a", "b"),
            lambda: blobs.delete("a"),
            lambda: list(blobs.list()),
        ):
            with pytest.raises(Retryable):
                attempt()


def test_a_service_out_of_reach_is_retryable() -> None:
    blobs = blobs_at(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(Retryable):
        blobs.stat("a")
    with pytest.raises(Retryable):
        blobs.put("a", b"x", content_type="text/plain")


def test_a_refusal_for_the_operator_is_not_translated(host: Host) -> None:
    from google.api_core.exceptions import Forbidden

    with (
        host.serving(JSONResponse({"error": {"code": 403, "message": "no"}}, 403)) as base_url,
        pytest.raises(Forbidden),
    ):
        blobs_at(base_url).stat("a")


def test_a_reader_whose_generation_goes_says_so(google: Home) -> None:
    put(google, "a", b"x" * (9 << 20))
    with google.blobs.open("a") as reader:
        assert reader.read(1) == b"x"
        google.blobs.delete("a")
        reader.seek(8 << 20)
        with pytest.raises(NotFound):
            reader.read(1)


# --------------------------------------------------------------------------- signing


def test_credentials_with_a_key_sign_themselves(monkeypatch: pytest.MonkeyPatch, signing_key: LocalSigningKey) -> None:
    monkeypatch.setattr("google.auth.default", lambda scopes: (signing_key.credentials, "project"))
    for account in ("signer@project.iam.gserviceaccount.com", None):
        assert signing_credentials(account, "SIGNER_ACCOUNT") is signing_key.credentials


def test_credentials_without_a_key_sign_as_the_signer_account(monkeypatch: pytest.MonkeyPatch) -> None:
    from google.oauth2.credentials import Credentials

    make: Any = Credentials  # like those of the metadata server it holds a token, and no key
    monkeypatch.setattr("google.auth.default", lambda scopes: (make(token="token"), "project"))
    made: Any = signing_credentials("signer@project.iam.gserviceaccount.com", "SIGNER_ACCOUNT")
    assert made.signer_email == "signer@project.iam.gserviceaccount.com"
    with pytest.raises(SettingsError, match="EVIDENCE_SIGNER_ACCOUNT"):
        signing_credentials(None, "EVIDENCE_SIGNER_ACCOUNT")


def test_who_signs_nothing_needs_no_credentials_that_sign(google: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """`EVIDENCE_URLS=public` makes no signed links, and may run without an account that could."""
    from google.oauth2.credentials import Credentials

    make: Any = Credentials
    monkeypatch.setattr("google.auth.default", lambda scopes: (make(token="token"), "project"))
    blobs = CloudStorageBlobs(google.client, BUCKET, for_evidence(None))
    blobs.put("a", b"x", content_type="text/plain")
    assert EvidenceLinks(blobs, LinkMode.PUBLIC, "https://host/evidence").link("a") == "https://host/evidence/a"
    with pytest.raises(SettingsError, match="EVIDENCE_SIGNER_ACCOUNT"):
        EvidenceLinks(blobs, LinkMode.SIGNED, "https://host/evidence").link("a")


def test_credentials_are_made_once(monkeypatch: pytest.MonkeyPatch, signing_key: LocalSigningKey) -> None:
    made = iter([(signing_key.credentials, "project")])
    lazily = for_uploads(None)
    monkeypatch.setattr("google.auth.default", lambda scopes: next(made))
    assert lazily() is lazily() is signing_key.credentials


def test_signing_needs_a_signer(google: Home) -> None:
    with pytest.raises(SettingsError):
        CloudStorageBlobs(google.client, BUCKET).sign_get("a", expires_in=timedelta(hours=1))


# --------------------------------------------------------------------------- the JSON API


def test_bucket_metadata_and_unknown_buckets(google: Home) -> None:
    assert google.client.get_bucket(BUCKET).name == BUCKET
    assert google.client.lookup_bucket("unknown-bucket") is None
    error = httpx.get(f"{google.base_url}/storage/v1/b/unknown-bucket/o/a").json()["error"]
    assert (error["code"], error["errors"][0]["reason"]) == (404, "notFound")
    with pytest.raises(NotFound):
        CloudStorageBlobs(google.client, "unknown-bucket").put("a", b"x", content_type="text/plain")


def test_patch_changes_metadata_and_keeps_the_generation(google: Home) -> None:
    info = google.blobs.put("a", b"x", content_type="text/plain", metadata={"keep": "1", "drop": "2"})
    blob = google.client.bucket(BUCKET).get_blob("a")
    blob.metadata = {"drop": None, "add": "3"}
    blob.content_type = "text/html"
    blob.patch(if_metageneration_match=1)
    changed = google.blobs.stat("a")
    assert changed is not None
    assert (changed.metadata, changed.content_type) == ({"keep": "1", "add": "3"}, "text/html")
    assert changed.generation == info.generation
    assert blob.metageneration == 2
    url = f"{google.base_url}/storage/v1/b/media/o/a"
    assert httpx.patch(f"{url}?ifMetagenerationMatch=1", json={}).status_code == 412
    assert httpx.patch(url, json={"metadata": None}).json().get("metadata") is None
    assert httpx.patch(url, json=[1]).status_code == 400


def test_conditional_reads(google: Home) -> None:
    generation = put(google, "a").generation
    url = f"{google.base_url}/storage/v1/b/media/o/a"
    assert httpx.get(f"{url}?ifGenerationMatch={generation}").status_code == 200
    assert httpx.get(f"{url}?ifGenerationMatch=1").status_code == 412
    assert httpx.get(f"{url}?ifGenerationNotMatch={generation}").status_code == 304
    assert httpx.get(f"{url}?alt=media", headers={"range": "bytes=1-3"}).content == b"ont"
    assert httpx.get(f"{url}?ifGenerationMatch=x").status_code == 400
    assert httpx.delete(f"{url}?generation=1").status_code == 404
    assert httpx.delete(f"{url}?ifGenerationMatch=1").status_code == 412


def test_library_copies_and_downloads(google: Home, tmp_path: Path) -> None:
    put(google, "a", b"x" * 1000)
    bucket = google.client.bucket(BUCKET)
    bucket.copy_blob(bucket.blob("a"), google.client.bucket("evidence"), "b")
    bucket_b = google.client.bucket("evidence")
    assert bucket_b.blob("b").download_as_bytes() == b"x" * 1000
    bucket_b.blob("b", chunk_size=256 << 10).download_to_filename(tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"x" * 1000
    with pytest.raises(PreconditionFailed):
        google.blobs.copy("a", "a", if_generation=1)


def test_uploads_by_hand(google: Home) -> None:
    url = f"{google.base_url}/upload/storage/v1/b/media/o"
    headers = {"content-type": "text/plain"}
    assert httpx.post(f"{url}?uploadType=media&name=m", headers=headers, content=b"media").json()["size"] == "5"
    assert httpx.post(f"{url}?uploadType=media", content=b"nameless").status_code == 400
    assert httpx.post(f"{url}?uploadType=unknown&name=a", content=b"x").status_code == 400
    assert httpx.put(f"{url}?uploadType=resumable&upload_id=" + "x" * 30, content=b"x").status_code == 404


@pytest.mark.parametrize("piece", [1, 2, 7, 1000])
@pytest.mark.parametrize("data", [b"", b"data", b"\r\n--B", b"x\r\n--\r\n--", b"\r\n" * 50])
def test_multipart_in_pieces(google: Home, data: bytes, piece: int) -> None:
    related = {"content-type": 'multipart/related; boundary="Bound=ary"'}
    head = json.dumps({"name": "a", "metadata": {"k": "v"}}).encode()
    body = (
        b"--Bound=ary\r\ncontent-type: application/json\r\n\r\n"
        + head
        + b"\r\n--Bound=ary\r\ncontent-type: text/x\r\n\r\n"
        + data
        + b"\r\n--Bound=ary--"
    )
    url = f"{google.base_url}/upload/storage/v1/b/media/o?uploadType=multipart"
    pieces = (body[start : start + piece] for start in range(0, len(body), piece))
    answer = httpx.post(url, headers=related, content=pieces)
    assert answer.status_code == 200, answer.text
    info = google.blobs.stat("a")
    assert info is not None
    assert (info.size, info.content_type, info.metadata) == (len(data), "text/x", {"k": "v"})
    with google.blobs.open("a") as reader:
        assert reader.read() == data


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--B\r\n\r\n{}",
        b'--B\r\n\r\n{"name":"a"}\r\n--B\r\n\r\ndata without an end',
        b"--B\r\n\r\nno json\r\n--B\r\n\r\ndata\r\n--B--",
        b'--B\r\n\r\n{"name":"a","crc32c":"AAAAAA=="}\r\n--B\r\n\r\ndata\r\n--B--',
        b"x" * (2 << 20),
    ],
)
def test_malformed_multipart(google: Home, body: bytes) -> None:
    url = f"{google.base_url}/upload/storage/v1/b/media/o?uploadType=multipart"
    answer = httpx.post(url, headers={"content-type": "multipart/related; boundary=B"}, content=body)
    assert answer.status_code == 400
    assert httpx.post(url, headers={"content-type": "multipart/related"}, content=body).status_code == 400
    assert content_files(google.folder) == []
