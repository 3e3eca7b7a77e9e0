"""`PushSender` in both homes; Firebase's own client speaks to a local server that answers as Google's does."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest

from local.firebase_messaging import FirebaseMessaging, running_firebase_messaging
from shared.adapters.embedded.push_log import PushLog
from shared.adapters.google import fcm
from shared.errors import Retryable
from shared.ports import Push, PushOutcome, PushReceipt, PushSender

PUSH = Push(
    title="Critical: violence",
    body="Haupteingang · Käfer 🎬",
    data={"incident_id": "i-1", "alert_id": "i-1:Critical"},
    collapse_key="i-1",
    lifetime=timedelta(seconds=90),
)


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[PushSender, FirebaseMessaging]]:
    with running_firebase_messaging() as (origin, service):
        yield fcm.connect("demo", origin=origin), service


@pytest.fixture
def service(running: tuple[PushSender, FirebaseMessaging]) -> FirebaseMessaging:
    running[1].messages.clear()
    return running[1]


@pytest.fixture
def firebase(running: tuple[PushSender, FirebaseMessaging]) -> PushSender:
    return running[0]


@pytest.fixture(params=["log", "fcm"])
def sender(request: pytest.FixtureRequest) -> PushSender:
    if request.param == "log":
        return PushLog()
    found: PushSender = request.getfixturevalue("firebase")
    return found


@pytest.mark.parametrize("count", [1, 3, 500])
def test_there_is_one_receipt_a_token(sender: PushSender, count: int) -> None:
    receipts = sender.send(PUSH, [f"token-{number}" for number in range(count)])
    assert [receipt.outcome for receipt in receipts] == [PushOutcome.SENT] * count
    assert all(receipt.reference for receipt in receipts)
    assert sender.name in {"log", "fcm"}


def test_the_log_tells_the_alert_and_never_a_token(caplog: pytest.LogCaptureFixture) -> None:
    PushLog().send(PUSH, ["secret-1", "secret-2"])
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == "ALERT Critical: violence: Haupteingang · Käfer 🎬 (2 device(s))"


def test_a_message_wakes_phones_of_all_makes_and_replaces_the_one_before(
    firebase: PushSender, service: FirebaseMessaging
) -> None:
    firebase.send(PUSH, ["token-1"])
    (message,) = service.messages
    assert message["notification"] == {"title": PUSH.title, "body": PUSH.body}
    assert message["data"] == PUSH.data
    assert message["android"] == {"priority": "high", "ttl": "90s", "collapse_key": "i-1"}
    headers = message["apns"]["headers"]
    assert (headers["apns-priority"], headers["apns-collapse-id"]) == ("10", "i-1")
    assert 80 <= int(headers["apns-expiration"]) - time.time() <= 91
    assert message["webpush"]["headers"] == {"TTL": "90", "Urgency": "high"}
    assert service.requests[-1][0] == "/v1/projects/demo/messages:send"


def test_a_long_collapse_key_is_shortened_to_what_apple_takes(firebase: PushSender, service: FirebaseMessaging) -> None:
    firebase.send(Push("t", "b", {}, "ä" * 40, timedelta(0), urgent=False), ["token-1"])
    (message,) = service.messages
    assert len(message["apns"]["headers"]["apns-collapse-id"]) == 64
    assert message["android"]["priority"] == "normal"


@pytest.mark.parametrize(
    ("status", "word", "code", "receipt"),
    [
        (404, "NOT_FOUND", "UNREGISTERED", PushReceipt(PushOutcome.UNREGISTERED, code="unregistered")),
        (403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH", PushReceipt(PushOutcome.REFUSED, code="sender_id_mismatch")),
        (400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", PushReceipt(PushOutcome.REFUSED, code="invalid_argument")),
        (
            401,
            "UNAUTHENTICATED",
            "THIRD_PARTY_AUTH_ERROR",
            PushReceipt(PushOutcome.REFUSED, code="third_party_auth"),
        ),
        (429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", PushReceipt(PushOutcome.LATER, code="resource_exhausted")),
        (503, "UNAVAILABLE", "UNAVAILABLE", PushReceipt(PushOutcome.LATER, code="unavailable")),
        (500, "INTERNAL", "INTERNAL", PushReceipt(PushOutcome.LATER, code="internal")),
        # The project is not known (yet): no reason to forget the token.
        (404, "NOT_FOUND", None, PushReceipt(PushOutcome.LATER, code="not_found")),
        (403, "PERMISSION_DENIED", None, PushReceipt(PushOutcome.LATER, code="permission_denied")),
    ],
)
def test_every_refusal_has_its_outcome_and_spares_the_other_tokens(
    status: int, word: str, code: str | None, receipt: PushReceipt, firebase: PushSender, service: FirebaseMessaging
) -> None:
    service.refuse("bad", status, word, code, {"Retry-After": "600"})
    before = len(service.requests)
    began = time.monotonic()
    receipts = firebase.send(PUSH, ["good-1", "bad", "good-2"])
    assert [one.outcome for one in receipts] == [PushOutcome.SENT, receipt.outcome, PushOutcome.SENT]
    assert receipts[1] == receipt
    assert time.monotonic() - began < 5
    # google-auth asks again, once, after 401: the access token might have been revoked. Else each is asked once.
    assert len(service.requests) - before <= (5 if status == 401 else 3)


def test_a_service_that_cannot_be_reached_is_asked_later() -> None:
    receipts = fcm.connect("demo", origin="http://127.0.0.1:9").send(PUSH, ["token-1"])
    assert [receipt.outcome for receipt in receipts] == [PushOutcome.LATER]


def test_without_an_access_token_nothing_can_be_asked(monkeypatch: pytest.MonkeyPatch, firebase: PushSender) -> None:
    from google.auth import exceptions
    from google.auth.credentials import AnonymousCredentials

    def fails(*_: object) -> None:
        raise exceptions.RefreshError("no token")  # type: ignore[no-untyped-call]

    monkeypatch.setattr(AnonymousCredentials, "before_request", fails)
    with pytest.raises(Retryable, match="Firebase Cloud Messaging"):
        firebase.send(PUSH, ["token-1"])
