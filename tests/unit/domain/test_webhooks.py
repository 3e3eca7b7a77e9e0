"""Signatures against vectors that other tools made, and when a delivery is tried again."""

from __future__ import annotations

import hashlib
import hmac
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.alerts import AlertEvent
from shared.domain.webhooks import BACKOFF, MAX_ATTEMPTS, Verdict, Webhook, judge, pause, signature, unanswered, verify
from tests.fakes import NOON

SECRET = "correct horse battery staple"
BODY = b'{"event":"incident.opened"}'
STAMP = 1772366400  # NOON
# printf '1772366400.{"event":"incident.opened"}' | openssl dgst -sha256 -hmac 'correct horse battery staple'
VECTOR = "v1=58908dada0a3f6aa24a9f34298857c3c514202133815897a680a635c0eb50733"


def test_the_signature_is_what_openssl_says() -> None:
    assert int(NOON.timestamp()) == STAMP
    assert signature(SECRET, STAMP, BODY) == VECTOR


def test_a_genuine_delivery_is_accepted_within_five_minutes() -> None:
    for seconds, accepted in [(0, True), (300, True), (-300, True), (301, False), (-301, False)]:
        assert verify(SECRET, VECTOR, str(STAMP), BODY, NOON + timedelta(seconds=seconds)) is accepted


@pytest.mark.parametrize(
    ("sent", "stamp", "body"),
    [
        (VECTOR, str(STAMP), BODY + b" "),
        (VECTOR, str(STAMP + 1), BODY),
        (VECTOR.removeprefix("v1="), str(STAMP), BODY),
        (VECTOR.replace("v1", "v2"), str(STAMP), BODY),
        ("", str(STAMP), BODY),
        ("v1=é\ud800", str(STAMP), BODY),
        (VECTOR, "", BODY),
        (VECTOR, "soon", BODY),
        (VECTOR, "-1772366400", BODY),
        (VECTOR, "١٧٧٢٣٦٦٤٠٠", BODY),
        (VECTOR, "9" * 400, BODY),
    ],
)
def test_what_was_changed_or_made_up_is_refused(sent: str, stamp: str, body: bytes) -> None:
    assert not verify(SECRET, sent, stamp, body, NOON)


@given(st.text(min_size=1), st.text(min_size=1), st.binary())
def test_only_the_secret_that_signed_verifies(secret: str, other: str, body: bytes) -> None:
    secret, other = (text.encode("utf-8", "replace").decode() for text in (secret, other))
    signed = signature(secret, STAMP, body)
    assert verify(secret, signed, str(STAMP), body, NOON)
    same = hmac.new(secret.encode(), b"x", hashlib.sha256).digest() == hmac.new(other.encode(), b"x", "sha256").digest()
    assert verify(other, signed, str(STAMP), body, NOON) is same


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Verdict.DELIVERED),
        (204, Verdict.DELIVERED),
        (302, Verdict.RETRY),
        (400, Verdict.RETRY),
        (404, Verdict.RETRY),
        (408, Verdict.RETRY),
        (410, Verdict.DISABLE),
        (425, Verdict.RETRY),
        (429, Verdict.RETRY),
        (500, Verdict.RETRY),
        (503, Verdict.RETRY),
    ],
)
def test_all_but_success_and_gone_is_tried_again(status: int, verdict: Verdict) -> None:
    assert judge(status, 1) is verdict


def test_after_the_fifth_retry_a_delivery_is_given_up() -> None:
    assert [judge(500, number) for number in range(1, 7)] == [Verdict.RETRY] * 5 + [Verdict.GIVE_UP]
    assert unanswered(MAX_ATTEMPTS) is Verdict.GIVE_UP
    assert judge(200, MAX_ATTEMPTS) is Verdict.DELIVERED


def test_the_pauses_grow_and_heed_retry_after_up_to_an_hour() -> None:
    assert [pause(number).total_seconds() for number in range(1, 6)] == [10, 30, 120, 600, 3600]
    assert pause(1, 5.0) == timedelta(seconds=10)
    assert pause(1, 45.0) == timedelta(seconds=45)
    assert pause(1, 1e9) == timedelta(hours=1)
    assert pause(1, float("nan")) == timedelta(seconds=10)


@given(st.integers(1, 50), st.none() | st.floats())
def test_a_pause_is_never_shorter_than_the_table_says_nor_longer_than_an_hour(number: int, asked: float | None) -> None:
    assert BACKOFF[min(number, 5) - 1] <= pause(number, asked) <= BACKOFF[-1]


def test_a_webhook_hears_of_the_events_and_places_it_wants_while_it_is_active() -> None:
    webhook = Webhook("w", "https://example.com", "s", NOON, events=(AlertEvent.OPENED,), places=("gate",))
    assert webhook.wants(AlertEvent.OPENED, "gate")
    assert not webhook.wants(AlertEvent.RAISED, "gate")
    assert not webhook.wants(AlertEvent.OPENED, "hall")
    assert not Webhook("w", "https://example.com", "s", NOON, active=False).wants(AlertEvent.OPENED, "gate")
