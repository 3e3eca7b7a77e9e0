"""Webhooks: which events go to which, how a delivery is signed, and when it is tried again (SPEC §4). Pure.

The signature is HMAC-SHA256 over `<timestamp>.<body>` with the webhook's secret, in hex, behind `v1=`. The timestamp
is signed so that a recorded delivery can't be sent again later; receivers recognise a repetition within the tolerance
by its `Sightline-Delivery`, which is the same for every attempt.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from shared.domain.alerts import AlertEvent

SIGNATURE_HEADER = "Sightline-Signature"
TIMESTAMP_HEADER = "Sightline-Timestamp"
DELIVERY_HEADER = "Sightline-Delivery"

TOLERANCE = timedelta(minutes=5)
"""How far a receiver's clock and a delivery's timestamp may be apart."""

BACKOFF = (
    timedelta(seconds=10),
    timedelta(seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=10),
    timedelta(hours=1),
)
"""The pauses before the five retries; a delivery is given up 73 minutes after its first attempt."""

LONGEST_PAUSE = BACKOFF[-1]
"""No `Retry-After` puts a retry off for longer."""

MAX_ATTEMPTS = 1 + len(BACKOFF)

TEST_PREFIX = "test:"
"""What stands for an alert in the delivery of a test begins with this; incidents' ids, and so alerts', never do."""

EVENTS = (AlertEvent.OPENED, AlertEvent.RAISED, AlertEvent.EXHAUSTED)
"""What a webhook can hear of; tests it is sent whether it wants them or not."""

_SCHEME = "v1="
_GONE = 410


@dataclass(frozen=True)
class Webhook:
    """Somebody else's server that wants to hear of alerts. `secret` is shown once and never again.

    `events` and `places` (ids of beacons): what it hears of; `places` None: all. `disabled_because`: why it was
    switched off by Sightline itself, None when it was not.
    """

    id: str
    url: str
    secret: str
    created_at: datetime
    events: tuple[AlertEvent, ...] = EVENTS
    places: tuple[str, ...] | None = None
    active: bool = True
    disabled_because: str | None = None

    def wants(self, event: AlertEvent, beacon_id: str) -> bool:
        """Whether it hears of this event at this place."""
        return self.active and event in self.events and (self.places is None or beacon_id in self.places)


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """What `Sightline-Signature` says; `timestamp` in seconds since 1970."""
    signed = f"{timestamp}.".encode() + body
    return _SCHEME + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def verify(secret: str, sent_signature: str, sent_timestamp: str, body: bytes, now: datetime) -> bool:
    """Whether a delivery is genuine and not older or newer than the tolerance. Takes the same time for every guess."""
    if not (sent_timestamp.isascii() and sent_timestamp.isdecimal() and len(sent_timestamp) <= 12):
        return False
    timestamp = int(sent_timestamp)
    expected = signature(secret, timestamp, body)
    genuine = hmac.compare_digest(expected.encode(), sent_signature.encode("utf-8", "replace"))
    return genuine and abs(now.timestamp() - timestamp) <= TOLERANCE.total_seconds()


class Verdict(StrEnum):
    """What an attempt means for its delivery. DISABLE: for its webhook, too. MOOT: nobody needs it any more."""

    DELIVERED = "delivered"
    RETRY = "retry"
    GIVE_UP = "give_up"
    MOOT = "moot"
    DISABLE = "disable"


def judge(status: int, attempts: int) -> Verdict:
    """What an HTTP status means after so many attempts.

    Every status but 2xx and 410 is tried again, the other 4xx and redirects too: a receiver that is being deployed or
    whose proxy is misled answers 404, 401 or 302 for a minute, and a lost alert costs more than five small requests.
    """
    if 200 <= status < 300:
        return Verdict.DELIVERED
    if status == _GONE:
        return Verdict.DISABLE
    return unanswered(attempts)


def unanswered(attempts: int) -> Verdict:
    """What it means that no usable answer came, after so many attempts."""
    return Verdict.RETRY if attempts < MAX_ATTEMPTS else Verdict.GIVE_UP


def pause(attempts: int, asked: float | None = None) -> timedelta:
    """How long to wait after attempt number `attempts` (from 1) failed.

    `asked`: the seconds that the other side asked for, heeded where that is longer, and up to an hour.
    """
    own = BACKOFF[min(attempts, len(BACKOFF)) - 1]
    if asked is None or asked != asked or asked <= own.total_seconds():  # noqa: PLR0124 - NaN
        return own
    return timedelta(seconds=min(asked, LONGEST_PAUSE.total_seconds()))
