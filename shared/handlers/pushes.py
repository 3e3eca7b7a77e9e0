"""One push: a guard is told of an alert on all their devices.

A guard is reached when one device took the message; the others are not tried again for that, or the guard would be
called twice. Devices that the push service no longer knows are removed from the guard.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from shared.domain.alert_rounds import is_moot
from shared.domain.alerts import Alert, AlertDelivery, AlertEvent
from shared.domain.guards import Guard
from shared.domain.webhooks import Verdict
from shared.errors import Retryable, VersionConflict
from shared.handlers.attempts import Attempted
from shared.ports import Documents, Push, PushOutcome, PushReceipt, PushSender
from shared.repositories import alerts, guards, incidents

log = logging.getLogger(__name__)

MAX_TOKENS = 500
"""One call takes no more; nobody carries that many phones."""

SHORTEST_LIFE = timedelta(seconds=45)
TRIES = 5

TITLES = {
    AlertEvent.OPENED: "{priority} incident",
    AlertEvent.RAISED: "Incident is now {priority}",
}


def push_to_guard(delivery: AlertDelivery, now: datetime, documents: Documents, sender: PushSender) -> Attempted:
    """One attempt at a PUSH delivery. Raises what the store raises."""
    found = guards.find(documents, delivery.target)
    alert = alerts.find(documents, delivery.alert_id)
    if found is None or alert is None:
        return Attempted(Verdict.GIVE_UP, "no_guard", "The guard is no longer registered.")
    incident = incidents.find(documents, delivery.incident_id)
    if is_moot(alert[0], incident[0] if incident else None):
        return Attempted(Verdict.MOOT, "alert_over", "The alert was over before the guard could be reached.")
    tokens = found[0].tokens[:MAX_TOKENS]
    if not tokens:
        return Attempted(Verdict.GIVE_UP, "no_token", "The guard has no device registered.")
    try:
        receipts = sender.send(push_of(delivery, alert[0], now), tokens)
    except Retryable as error:
        return Attempted(Verdict.RETRY, "unavailable", "The push service could not be asked.", error.retry_after)
    dead = [token for token, one in zip(tokens, receipts, strict=True) if one.outcome is PushOutcome.UNREGISTERED]
    if dead:
        _forget(delivery.target, dead, documents)
    return judged(receipts)


def push_of(delivery: AlertDelivery, alert: Alert, now: datetime) -> Push:
    """What the guard sees, and what the app needs to answer. The next push about the incident replaces it."""
    left = alert.deadline - now if alert.deadline is not None else SHORTEST_LIFE
    return Push(
        title=TITLES[delivery.event].format(priority=alert.priority.value),
        body=alert.beacon_location,
        data={
            "event": delivery.event.value,
            "delivery_id": delivery.id,
            "alert_id": alert.id,
            "incident_id": alert.incident_id,
            "beacon_id": alert.beacon_id,
            "priority": alert.priority.value,
            "answer_by": alert.deadline.isoformat() if alert.deadline is not None else "",
        },
        collapse_key=alert.incident_id,
        lifetime=max(left, SHORTEST_LIFE),
    )


def judged(receipts: Sequence[PushReceipt]) -> Attempted:
    """What the receipts of all the guard's devices (one or more) mean together."""
    missed = [receipt for receipt in receipts if receipt.outcome is not PushOutcome.SENT]
    codes = ", ".join(sorted({receipt.code or receipt.outcome.value for receipt in missed}))
    if len(missed) < len(receipts):
        note = f"{len(missed)} of {len(receipts)} devices were not reached: {codes}." if missed else None
        return Attempted(Verdict.DELIVERED, PushOutcome.SENT.value, note)
    later = any(receipt.outcome is PushOutcome.LATER for receipt in receipts)
    verdict = Verdict.RETRY if later else Verdict.GIVE_UP
    return Attempted(verdict, missed[0].code or missed[0].outcome.value, f"No device was reached: {codes}.")


def _forget(guard_id: str, dead: Sequence[str], documents: Documents) -> None:
    """Removes tokens that will never be known again; who changes the guard meanwhile is not overruled."""
    for _ in range(TRIES):
        found = guards.find(documents, guard_id)
        if found is None:
            return
        guard, version = found
        kept = _without(guard, dead)
        if kept == guard:
            return
        with suppress(VersionConflict):
            documents.commit([guards.write(kept, version)])
            log.info("guard %s: %d device(s) that are no longer registered removed", guard_id, len(dead))
            return


def _without(guard: Guard, dead: Sequence[str]) -> Guard:
    return replace(guard, tokens=tuple(token for token in guard.tokens if token not in dead))
