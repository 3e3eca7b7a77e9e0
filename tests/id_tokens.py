"""Firebase's side of an ID token: keys of our own, a server that publishes them, and tokens signed by them."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from jwt.algorithms import RSAAlgorithm

PROJECT = "demo-sightline"


@cache
def key(name: str) -> RSAPrivateKey:
    """The private key of this name."""
    return generate_private_key(public_exponent=65537, key_size=2048)


def published(*names: str) -> bytes:
    """A JWK set of these keys, as Google's looks."""
    keys = [
        {**RSAAlgorithm.to_jwk(key(name).public_key(), as_dict=True), "kid": name, "use": "sig", "alg": "RS256"}
        for name in names
    ]
    return json.dumps({"keys": keys}).encode()


def claims(**changes: Any) -> dict[str, Any]:
    """What Firebase says of a user; a change to `...` leaves the claim out."""
    now = int(time.time())
    usual = {
        "iss": f"https://securetoken.google.com/{PROJECT}",
        "aud": PROJECT,
        "sub": "user-1",
        "user_id": "user-1",
        "auth_time": now - 60,
        "iat": now - 30,
        "exp": now + 3570,
        "email": "ana@example.com",
        "email_verified": True,
        "role": "operator",
        "beacons": ["gate"],
    }
    return {name: value for name, value in {**usual, **changes}.items() if value is not ...}


def id_token(signed_by: str = "key-1", header: Mapping[str, Any] | None = None, **changes: Any) -> str:
    """A token as Firebase makes them, but for the changes."""
    headers = {"kid": signed_by, **(header or {})}
    return jwt.encode(claims(**changes), key(signed_by), algorithm="RS256", headers=headers)


def raw_token(header: object, payload: object, signature: bytes = b"") -> str:
    """Three parts, whatever they are."""
    parts = [json.dumps(header).encode(), json.dumps(payload).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


@dataclass
class KeyServer:
    """What Google serves the keys from. `body` and `status` may be changed at any time; `seconds`: how slow it is."""

    url: str = ""
    body: bytes = field(default_factory=lambda: published("key-1"))
    status: int = 200
    seconds: float = 0.0
    asked: int = 0


@contextmanager
def running_key_server() -> Iterator[KeyServer]:
    """Serves on loopback while the block lasts."""
    served = KeyServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked += 1
            time.sleep(served.seconds)
            self.send_response(served.status)
            self.send_header("Content-Length", str(len(served.body)))
            self.end_headers()
            self.wfile.write(served.body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{server.server_address[1]}/keys"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
