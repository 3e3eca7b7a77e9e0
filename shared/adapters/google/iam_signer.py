"""Signs as another service account through IAM's `signBlob`, with no private key anywhere.

Google's own `impersonated_credentials` would do it too, but opens a session a signature, lets every thread that finds
the token expired fetch one, and gives up at the first 429. Here one thread at a time fetches a token, all others use it
until it expires, and whatever may pass is tried again, for a bounded time.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import random
import threading
import time
from typing import Any

from google.auth import credentials, exceptions

from shared.errors import Retryable, SettingsError

log = logging.getLogger(__name__)

TRIES = 4
FIRST_WAIT_SECONDS = 0.2
REQUEST_TIMEOUT_SECONDS = 5.0
TOKEN_SECONDS = 5.0
"""For all requests that fetch one token, and as long for the token that another thread fetches."""

LAST_TRY_SECONDS = 10.0
"""No try begins later, so that signing ends before the 30 s a function has for its reply: a try waits at most 5 s for
another thread's token, 5 s and one of the library's pauses (up to 4.4 s) for its own, and 5 s for the signature."""

_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})


class IamSigner(credentials.Signing):
    """Implements `google.auth.credentials.Signing` as `account`. Thread-safe.

    `own`: the credentials of this process, which need `iam.serviceAccounts.signBlob` on `account`. `endpoint`: the
    origin of the IAM Credentials API.
    """

    def __init__(self, own: Any, account: str, *, endpoint: str) -> None:
        self._own = own
        self._account = account
        self._url = f"{endpoint}/v1/projects/-/serviceAccounts/{account}:signBlob"
        self._lock = threading.Lock()
        from google.auth.transport.requests import Request  # slow to load, and only one who signs needs it

        make_request: Any = Request
        self._request = make_request()

    @property
    def signer_email(self) -> str:
        """The account whose signature it is."""
        return self._account

    @property
    def signer(self) -> IamSigner:
        """Itself: see `sign`."""
        return self

    def sign(self, message: bytes) -> bytes:
        """The same as `sign_bytes`, as the library's `Signer` has it."""
        return self.sign_bytes(message)

    def sign_bytes(self, message: bytes) -> bytes:
        """The signature. Raises `Retryable` when IAM does not answer, `SettingsError` when it refuses."""
        body = json.dumps({"payload": base64.b64encode(message).decode()}).encode()
        wait = FIRST_WAIT_SECONDS
        reason = ""
        last_try = time.monotonic() + LAST_TRY_SECONDS
        for number in range(TRIES):
            if number:
                if time.monotonic() > last_try:
                    break
                time.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311 - spreads the tries, guards nothing
                wait *= 2
            token = self._token()
            try:
                reply = self._post(token, body)
            except exceptions.TransportError as error:
                reason = f"cannot be reached ({type(error).__name__})"
                continue
            if reply.status == 200:
                return _signature(reply.data)
            reason = f"answered {reply.status}"
            if reply.status == 401:
                self._forget(token)  # revoked before its time: the next try fetches another
            elif reply.status not in _TRANSIENT:
                raise self._refusal(reply.status)
        raise Retryable(f"IAM signBlob {reason}, and was tried up to {TRIES} times")

    def _post(self, token: str, body: bytes) -> Any:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        return self._request(url=self._url, method="POST", headers=headers, body=body, timeout=REQUEST_TIMEOUT_SECONDS)

    def _token(self) -> str:
        if not self._lock.acquire(timeout=TOKEN_SECONDS):
            raise Retryable("no access token to be had: another thread still waits for it")
        try:
            if not self._own.valid:
                self._refresh()
            token: str = self._own.token
            return token
        finally:
            self._lock.release()

    def _refresh(self) -> None:
        try:
            self._own.refresh(_HurriedRequest(self._request, TOKEN_SECONDS))
        except exceptions.GoogleAuthError as error:
            if self._own.token_state is credentials.TokenState.STALE:
                log.warning("no new access token yet, the present one still holds: %s", type(error).__name__)
                return
            raise Retryable(f"no access token to be had: {type(error).__name__}") from error

    def _forget(self, token: str) -> None:
        if not self._lock.acquire(timeout=TOKEN_SECONDS):
            return  # another thread fetches one already
        try:
            if self._own.token == token:
                self._own.token = None
        finally:
            self._lock.release()

    def _refusal(self, status: int) -> SettingsError:
        return SettingsError(
            f"IAM signBlob answered {status}: this function's account needs roles/iam.serviceAccountTokenCreator on "
            f"{self._account}, which must exist, and the IAM Service Account Credentials API must be enabled"
        )


class _HurriedRequest:
    """A `google.auth.transport.Request` that leaves the library so many `seconds` in all.

    The library itself would wait up to 120 s for each reply, or try five times, while other threads wait for the token.
    """

    def __init__(self, request: Any, seconds: float) -> None:
        self._request = request
        self.session = request.session  # the library mounts its TLS adapter there
        self._ends = time.monotonic() + seconds

    def __call__(self, url: str, *args: Any, timeout: float | None = None, **options: Any) -> Any:
        """The reply. Raises `TransportError`, which the library tries again, and `RefreshError` when time is up."""
        left = self._left()
        try:
            return self._request(url, *args, timeout=left if timeout is None else min(timeout, left), **options)
        except exceptions.TransportError:
            self._left()
            raise

    def _left(self) -> float:
        left = self._ends - time.monotonic()
        if left <= 0:
            make_error: Any = exceptions.RefreshError
            raise make_error("the token server is too slow")
        return left


def _signature(data: bytes) -> bytes:
    try:
        return base64.b64decode(json.loads(data)["signedBlob"], validate=True)
    except (ValueError, KeyError, TypeError, binascii.Error):
        raise Retryable("IAM signBlob answered something else than a signature") from None
