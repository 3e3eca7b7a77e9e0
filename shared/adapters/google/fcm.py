"""The `PushSender` on Google Cloud: Firebase Cloud Messaging through `firebase-admin`.

The library is loaded with the first push: it would take a fifth of the function's start. That it is there is looked at
when this module is imported.

Its retries are ours to plan, not the library's: a 503 with `Retry-After` would have it sleep for minutes while other
deliveries wait.
"""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import time
from collections.abc import Mapping, Sequence
from typing import Any

from google.auth.credentials import AnonymousCredentials

from shared.errors import Retryable
from shared.ports import Push, PushOutcome, PushReceipt

TIMEOUT_SECONDS = 10.0
CONNECTIONS = 100
MAX_COLLAPSE_BYTES = 64
"""Of Apple's collapse id."""

_MEANINGS: Mapping[str, tuple[PushOutcome, str]] = {
    "UnregisteredError": (PushOutcome.UNREGISTERED, "unregistered"),
    # The token is another Firebase project's. Were it forgotten, one wrong project id would cost every token there is.
    "SenderIdMismatchError": (PushOutcome.REFUSED, "sender_id_mismatch"),
    "ThirdPartyAuthError": (PushOutcome.REFUSED, "third_party_auth"),
    "InvalidArgumentError": (PushOutcome.REFUSED, "invalid_argument"),
}
"""By the library's names of errors. Whatever else goes wrong (quota, 5xx, no permission yet, no connection) may be well
in a minute."""

if importlib.util.find_spec("firebase_admin") is None:
    raise ImportError("firebase-admin is not installed")

_names = itertools.count()


class FirebasePush:
    """Implements `PushSender`. One a process is enough; it may serve all threads."""

    name = "fcm"

    def __init__(self, app: Any) -> None:
        self._app = app

    def send(self, push: Push, tokens: Sequence[str]) -> list[PushReceipt]:
        """See `PushSender.send`."""
        from firebase_admin import exceptions, messaging

        messages = [_message(push, token) for token in tokens]
        try:
            batch = messaging.send_each(messages, app=self._app)
        except exceptions.FirebaseError as error:  # what is no reply to any message: no access token, above all
            raise Retryable(f"Firebase Cloud Messaging cannot be asked: {error.code}") from error
        return [_receipt(response) for response in batch.responses]


def connect(project: str, *, origin: str | None = None) -> FirebasePush:
    """Firebase with the function's own credentials. `origin`: another one than Google's, asked without any."""
    import firebase_admin
    from firebase_admin import messaging
    from requests.adapters import HTTPAdapter

    credential = None if origin is None else _nobody()
    options = {"projectId": project, "httpTimeout": TIMEOUT_SECONDS}
    app = firebase_admin.initialize_app(credential, options, name=f"sightline-{next(_names)}")
    # The library has no setting for either; a test sees to it that this goes on to work.
    service: Any = messaging._get_messaging_service(app)
    if origin is not None:
        service._fcm_url = f"{origin}/v1/projects/{project}/messages:send"
    once = HTTPAdapter(pool_connections=1, pool_maxsize=CONNECTIONS, max_retries=0)
    service._client.session.mount(service._fcm_url, once)
    return FirebasePush(app)


class _Nobody(AnonymousCredentials):
    """Nobody's access token, which is as good after a refresh as before: a 401 is not ours to mend."""

    def refresh(self, request: object) -> None:  # noqa: ARG002
        return None


def _nobody() -> Any:
    make: Any = _Nobody
    return make()


def _message(push: Push, token: str) -> Any:
    from firebase_admin import messaging

    seconds = int(push.lifetime.total_seconds())
    key = _collapse_key(push.collapse_key)
    return messaging.Message(
        token=token,
        data=dict(push.data),
        notification=messaging.Notification(title=push.title, body=push.body),
        android=messaging.AndroidConfig(
            priority="high" if push.urgent else "normal", ttl=push.lifetime, collapse_key=key
        ),
        apns=messaging.APNSConfig(
            headers={
                "apns-priority": "10" if push.urgent else "5",
                "apns-expiration": str(int(time.time()) + seconds),
                "apns-collapse-id": key,
            },
            payload=messaging.APNSPayload(aps=messaging.Aps(sound="default")),
        ),
        webpush=messaging.WebpushConfig(
            headers={"TTL": str(seconds), "Urgency": "high" if push.urgent else "normal"},
        ),
    )


def _collapse_key(key: str) -> str:
    return key if len(key.encode()) <= MAX_COLLAPSE_BYTES else hashlib.sha256(key.encode()).hexdigest()


def _receipt(response: Any) -> PushReceipt:
    error = response.exception
    if error is None:
        return PushReceipt(PushOutcome.SENT, reference=response.message_id)
    # `unregistered` says more than the `NOT_FOUND` that such an error carries.
    later = (PushOutcome.LATER, str(error.code).lower())
    outcome, code = _MEANINGS.get(type(error).__name__, later)
    return PushReceipt(outcome, code=code)
