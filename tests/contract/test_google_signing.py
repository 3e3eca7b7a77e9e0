"""Keyless signing with Google's real libraries, against a server that speaks as metadata server and IAM do."""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from fastapi.testclient import TestClient
from google.auth import _helpers
from google.auth.compute_engine import _metadata
from google.oauth2 import credentials as user_credentials

from shared.adapters.embedded import v4_signature
from shared.adapters.embedded.blob_folder import BlobFolder
from shared.adapters.embedded.blob_keys import SIGNER, LocalSigningKey
from shared.adapters.embedded.blob_server import create_blob_server
from shared.adapters.google import iam_signer
from shared.adapters.google.blobs import CloudStorageBlobs
from shared.adapters.google.signing import signing_credentials
from shared.adapters.system_clock import SystemClock
from shared.errors import Retryable, SettingsError
from shared.handlers import analyze, uploads
from shared.web import app as web
from shared.web import uploads as routes
from tests.contract.blob_fixtures import BUCKET, Host, host, signing_key
from tests.handlers.pipeline import ListBus

__all__ = ["host", "signing_key"]

FUNCTION = "uploads@project.iam.gserviceaccount.com"
ACCOUNTS = "/computeMetadata/v1/instance/service-accounts/"


class FakeGoogle(ThreadingHTTPServer):
    """The metadata server and IAM Credentials of a machine that runs as `FUNCTION` and may sign as `SIGNER`.

    `failures`: the statuses that signBlob answers before it signs.
    """

    def __init__(self, key: LocalSigningKey) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.key = key
        self.tokens = 0
        self.signatures = 0
        self.failures: list[int] = []
        self.metadata_is_down = False
        self.may_give_tokens = threading.Event()
        self.may_give_tokens.set()
        self.lock = threading.Lock()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answer_get(self, path: str) -> tuple[int, Any]:
        if self.metadata_is_down:
            return 503, {}
        self.may_give_tokens.wait(20)
        if path == f"{ACCOUNTS}default/token":
            with self.lock:
                self.tokens += 1
                return 200, {"access_token": f"token-{self.tokens}", "expires_in": 3600, "token_type": "Bearer"}
        if path.startswith(ACCOUNTS):
            return 200, {"email": FUNCTION, "scopes": [], "aliases": ["default"]}
        return 200, "project"

    def answer_post(self, path: str, authorization: str, body: bytes) -> tuple[int, Any]:
        if path != f"/v1/projects/-/serviceAccounts/{SIGNER}:signBlob":
            return 404, {}
        with self.lock:
            if self.failures:
                return self.failures.pop(0), {"error": {"message": "a detail for nobody"}}
            if authorization != f"Bearer token-{self.tokens}":
                return 401, {}
            self.signatures += 1
        signed = self.key.credentials.sign_bytes(base64.b64decode(json.loads(body)["payload"]))
        return 200, {"keyId": "1", "signedBlob": base64.b64encode(signed).decode()}


class _Handler(BaseHTTPRequestHandler):
    server: FakeGoogle
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._reply(*self.server.answer_get(urlsplit(self.path).path))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.may_give_tokens.wait(20)
        self._reply(*self.server.answer_post(self.path, self.headers["Authorization"], body))

    def _reply(self, status: int, content: Any) -> None:
        text = isinstance(content, str)
        data = content.encode() if text else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Metadata-Flavor", "Google")
        self.send_header("Content-Type", "text/plain" if text else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def google(signing_key: LocalSigningKey, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeGoogle]:
    server = FakeGoogle(signing_key)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    host = f"127.0.0.1:{server.server_port}"
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))  # no credentials of a developer's
    monkeypatch.setenv("GCE_METADATA_IP", host)
    monkeypatch.setattr(_metadata, "_GCE_METADATA_HOST", host)  # read from the environment when it was imported
    monkeypatch.setattr(iam_signer, "FIRST_WAIT_SECONDS", 0.001)
    yield server
    server.may_give_tokens.set()
    server.shutdown()
    thread.join()
    server.server_close()


def signer_of(google: FakeGoogle) -> Any:
    return signing_credentials(SIGNER, "SIGNER_ACCOUNT", iam_endpoint=google.origin)


def move_clock(monkeypatch: pytest.MonkeyPatch, ahead: timedelta) -> None:
    """What Google's library takes for the time."""
    moment = SystemClock().now().replace(tzinfo=None) + ahead
    monkeypatch.setattr(_helpers, "utcnow", lambda: moment)


def check_signature(google: FakeGoogle, signer: Any, number: int) -> None:
    message = b"message %d" % number
    assert signer.sign_bytes(message) == google.key.credentials.sign_bytes(message)


@pytest.fixture
def blobs(google: FakeGoogle, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The Google adapter signing by IAM, over a blob server that trusts the signer's public key."""
    from google.cloud import storage

    folder = BlobFolder(tmp_path / "blobs")
    with host.serving(create_blob_server(folder, buckets=[BUCKET], keys=google.key.trusted)) as base_url:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", base_url)
        make_client: Any = storage.Client
        client = make_client(project="project")
        made = signer_of(google)
        yield CloudStorageBlobs(client, BUCKET, lambda: made, base_url)
        client.close()
    folder.close()


@pytest.mark.parametrize("resumable", [False, True])
def test_a_url_signed_by_iam_uploads(blobs: CloudStorageBlobs, google: FakeGoogle, resumable: bool) -> None:
    options: Any = {"content_type": "video/mp4", "max_bytes": 100, "expires_in": timedelta(hours=1)}
    upload = blobs.sign_put("media/a", resumable=resumable, metadata={"source-id": "gate"}, **options)
    keys: dict[str, RSAPublicKey] = dict(google.key.trusted)
    parts = urlsplit(upload.url)
    headers = [*upload.headers.items(), ("host", parts.netloc)]
    arrived = v4_signature.ArrivedRequest(upload.method, parts.path, parts.query, headers)
    v4_signature.verify(arrived, keys, SystemClock().now())
    sent = httpx.request(upload.method, upload.url, headers=dict(upload.headers), content=b"" if resumable else b"x")
    if resumable:
        sent = httpx.put(sent.headers["location"], content=b"x")
    assert sent.status_code == 200, sent.text
    stored = blobs.stat("media/a")
    assert stored is not None
    assert stored.metadata == {"source-id": "gate"}
    assert (google.tokens, google.signatures) == (1, 1)


def test_a_hundred_signatures_by_eight_threads_take_one_token(
    google: FakeGoogle, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer = signer_of(google)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: check_signature(google, signer, number), range(100)))
    assert (google.tokens, google.signatures) == (1, 100)
    move_clock(monkeypatch, timedelta(hours=1))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: check_signature(google, signer, number), range(100)))
    assert (google.tokens, google.signatures) == (2, 200)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_passes_is_tried_again(google: FakeGoogle, status: int) -> None:
    google.failures = [status] * (iam_signer.TRIES - 1)
    check_signature(google, signer_of(google), 1)
    assert (google.tokens, google.signatures) == (1, 1)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_does_not_pass_is_retryable_in_the_end(google: FakeGoogle, status: int) -> None:
    google.failures = [status] * 100
    with pytest.raises(Retryable, match=str(status)):
        signer_of(google).sign_bytes(b"x")
    assert 100 - len(google.failures) == iam_signer.TRIES


def test_a_token_revoked_before_its_time_is_replaced(google: FakeGoogle) -> None:
    signer = signer_of(google)
    check_signature(google, signer, 1)
    google.failures = [401]
    check_signature(google, signer, 2)
    assert google.tokens == 2


def test_a_refusal_names_the_missing_role(google: FakeGoogle) -> None:
    google.failures = [403] * 100
    with pytest.raises(SettingsError, match="serviceAccountTokenCreator"):
        signer_of(google).sign_bytes(b"x")
    assert len(google.failures) == 99  # asking again would not help


def test_without_a_metadata_server_it_is_retryable(google: FakeGoogle, monkeypatch: pytest.MonkeyPatch) -> None:
    signer = signer_of(google)
    google.metadata_is_down = True
    monkeypatch.setattr(time, "sleep", lambda _: None)  # the library waits between its own tries
    with pytest.raises(Retryable, match="no access token"):
        signer.sign_bytes(b"x")


def test_a_slow_token_server_holds_up_no_thread_for_long(google: FakeGoogle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iam_signer, "TOKEN_SECONDS", 0.3)
    signer = signer_of(google)
    google.may_give_tokens.clear()

    def refused(_: int) -> float:
        began = time.monotonic()
        with pytest.raises(Retryable, match="no access token"):
            signer.sign_bytes(b"x")
        return time.monotonic() - began

    with ThreadPoolExecutor(24) as pool:
        assert max(pool.map(refused, range(24))) < 2.5  # the library alone gives the server 3 s for each of its tries
    google.may_give_tokens.set()
    check_signature(google, signer, 1)


def test_a_library_that_sets_no_timeout_gets_one(google: FakeGoogle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iam_signer, "TOKEN_SECONDS", 0.3)
    make_credentials: Any = user_credentials.Credentials
    own = make_credentials(None, "refresh", None, f"{google.origin}{ACCOUNTS}default/token", "id", "secret")
    signer = iam_signer.IamSigner(own, SIGNER, endpoint=google.origin)
    google.may_give_tokens.clear()
    began = time.monotonic()
    with pytest.raises(Retryable, match="no access token"):
        signer.sign_bytes(b"x")
    assert time.monotonic() - began < 2.5


def test_no_try_begins_so_late_that_the_reply_would_come_too_late(
    google: FakeGoogle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(iam_signer, "LAST_TRY_SECONDS", 0.0)
    google.failures = [503] * 100
    with pytest.raises(Retryable):
        signer_of(google).sign_bytes(b"x")
    assert len(google.failures) == 99


def test_a_token_about_to_expire_is_used_while_there_is_no_other(
    google: FakeGoogle, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer = signer_of(google)
    check_signature(google, signer, 1)
    move_clock(monkeypatch, timedelta(minutes=58))
    monkeypatch.setattr(time, "sleep", lambda _: None)
    google.metadata_is_down = True
    check_signature(google, signer, 2)


@pytest.mark.parametrize(("status", "answered"), [(403, 500), (429, 503)])
def test_a_client_learns_no_detail(
    blobs: CloudStorageBlobs, google: FakeGoogle, status: int, answered: int, caplog: pytest.LogCaptureFixture
) -> None:
    google.failures = [status] * 100
    unused: Any = None
    clock = SystemClock()
    asked = routes.Deps(uploads.Deps(unused, blobs, clock), analyze.Deps(unused, blobs, ListBus(), clock, BUCKET))
    application = web.create_app([routes.router(lambda: asked)], access=None)
    with caplog.at_level(logging.WARNING):
        reply = TestClient(application, raise_server_exceptions=False).post("/video/upload-url")
    assert reply.status_code == answered
    assert all(word not in reply.text for word in ("IAM", "iam", SIGNER, "token", "detail for nobody"))
    assert "signBlob" in caplog.text
    assert "token-1" not in caplog.text
