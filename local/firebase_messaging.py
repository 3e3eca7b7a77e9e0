"""A stand-in for Firebase Cloud Messaging, which has no emulator: the one REST call that sends a message.

It logs each message as the embedded home does, remembers it, and refuses tokens as it is told.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

log = logging.getLogger(__name__)

FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"


class FirebaseMessaging:
    """The service. `messages`: what was accepted, in order. `refuse` says how a token is answered from now on."""

    def __init__(self) -> None:
        self.messages: list[Mapping[str, Any]] = []
        self.requests: list[tuple[str, Mapping[str, str]]] = []
        self._refusals: dict[str, tuple[int, str, str | None, Mapping[str, str]]] = {}
        self._lock = threading.Lock()

    def refuse(
        self, token: str, status: int, word: str, fcm: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        """`word` is the status as Google's APIs spell it, `fcm` the errorCode in its details."""
        self._refusals[token] = (status, word, fcm, headers or {})

    def answer(
        self, path: str, headers: Mapping[str, str], body: Mapping[str, Any]
    ) -> tuple[int, Mapping[str, Any], Mapping[str, str]]:
        """Status, body and headers of the reply."""
        message = body["message"]
        with self._lock:
            self.requests.append((path, headers))
            refusal = self._refusals.get(message["token"])
            if refusal is None:
                self.messages.append(message)
                notification = message["notification"]
                log.warning("ALERT %s: %s", notification["title"], notification["body"])
                project = path.split("/")[3]
                return 200, {"name": f"projects/{project}/messages/{len(self.messages)}"}, {}
        status, word, fcm, extra = refusal
        details = [] if fcm is None else [{"@type": FCM_ERROR, "errorCode": fcm}]
        error = {"code": status, "message": "refused", "status": word, "details": details}
        return status, {"error": error}, extra


class _Server(ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = True


@contextmanager
def running_firebase_messaging(port: int = 0) -> Iterator[tuple[str, FirebaseMessaging]]:
    """Serves on loopback while the block lasts; gives the origin and the service."""
    service = FirebaseMessaging()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, reply, headers = service.answer(self.path, dict(self.headers), body)
            data = json.dumps(reply).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Type": "application/json"}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Says nothing of its own: the service logs."""

    server = _Server(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
