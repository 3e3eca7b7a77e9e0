"""Deliveries of an alert: each is claimed, attempted, and recorded, until it arrived or is given up (SPEC §4).

    planned ──▶ PENDING ──claim──▶ claimed ──attempt──▶ SENT
                   ▲                  │                 FAILED (given up, refused, nobody to send to)
                   └── due later ◀────┴── failed, or the claim ran out because its worker died

A claim is a compare-and-set that makes the delivery due again when it runs out, and counts as an attempt: whatever
kills a worker over and over is given up in the end. A worker that dies between sending and recording has its message
sent again, under the same delivery id, by which receivers and phones recognise it (`Sightline-Delivery`, the collapse
key): at least once, as everything here.

Deliveries are attempted side by side, so that a receiver that hangs holds up no guard's phone.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from shared import ids
from shared.domain import webhooks as rules
from shared.domain.alerts import AlertDelivery, Channel, DeliveryState
from shared.errors import InProgress, Retryable, VersionConflict
from shared.handlers import pushes, webhook_posts
from shared.handlers.attempts import Attempted
from shared.messages import AlertDue, encode
from shared.ports import Clock, Documents, PushSender, Timers, WebhookSender
from shared.repositories import deliveries

log = logging.getLogger(__name__)

CLAIM = timedelta(seconds=40)
"""Longer than an attempt takes: the slowest webhook is waited for 10 s, Firebase as long, a signature at most 20 s."""

SIDE_BY_SIDE = 8
ROUNDS = 10
"""Of up to a hundred deliveries each, in one call; what is left then waits for the next."""


LOST = Attempted(rules.Verdict.GIVE_UP, "worker_lost", "Whoever made the last attempt never told how it ended.")


@dataclass(frozen=True)
class Deps:
    """What sending needs of the world."""

    documents: Documents
    clock: Clock
    timers: Timers
    push: PushSender
    webhook: WebhookSender
    link: webhook_posts.Linker


def attempt_due(alert_id: str, deps: Deps) -> int:
    """Attempts every delivery of the alert that is due now, each once; returns how many this call attempted.

    What is due again before the slowest of them is through is left to its timer: receivers that hang would keep this
    call going for longer than a function may run. Raises `InProgress` when another worker is at some of them, so that
    somebody looks again should it die.
    """
    attempted, begun = 0, deps.clock.now()
    for _ in range(ROUNDS):
        pending = deliveries.pending_of(deps.documents, alert_id)
        due = [held for held in pending if held[0].due <= begun]
        if not due:
            _leave_to_others([delivery for delivery, _ in pending], deps.clock.now())
            return attempted
        attempted += _side_by_side(due, deps)
    raise Retryable("more deliveries than one call attempts")


def _leave_to_others(pending: list[AlertDelivery], now: datetime) -> None:
    claims = [one.claimed_until for one in pending if one.claimed_until is not None and one.claimed_until > now]
    if claims:
        left = (max(claims) - now).total_seconds()
        raise InProgress("another worker attempts deliveries of this alert", retry_after=left)


def _side_by_side(due: list[tuple[AlertDelivery, str]], deps: Deps) -> int:
    # Guards first: they are who can help.
    ordered = sorted(due, key=lambda held: held[0].channel is not Channel.PUSH)
    with ThreadPoolExecutor(min(SIDE_BY_SIDE, len(ordered))) as pool:
        tasks = [pool.submit(copy_context().run, partial(_attempt, *held, deps)) for held in ordered]
    return sum(task.result() for task in tasks)


def _attempt(delivery: AlertDelivery, version: str, deps: Deps) -> bool:
    """One attempt at one delivery; False if somebody else took it."""
    if delivery.attempts >= rules.MAX_ATTEMPTS:
        _record(delivery, version, LOST, deps)
        return False
    claimed = _claim(delivery, version, deps)
    if claimed is None:
        return False
    taken, version = claimed
    try:
        attempted = _send(taken, deps)
    except Exception:  # whatever is wrong with this one, the others may be well
        log.warning("delivery %s: attempt %d failed", taken.id, taken.attempts, exc_info=True)
        attempted = Attempted(rules.Verdict.RETRY, "error", "Sightline could not make the attempt.")
    _record(taken, version, attempted, deps)
    return True


def _send(taken: AlertDelivery, deps: Deps) -> Attempted:
    now = deps.clock.now()
    if taken.channel is Channel.PUSH:
        return pushes.push_to_guard(taken, now, deps.documents, deps.push)
    return webhook_posts.post_to_webhook(taken, now, webhook_posts.Deps(deps.documents, deps.webhook, deps.link))


def _claim(delivery: AlertDelivery, version: str, deps: Deps) -> tuple[AlertDelivery, str] | None:
    now = deps.clock.now()
    taken = deliveries.claimed(delivery, now, now + CLAIM)
    try:
        deps.documents.commit([deliveries.update(taken, version)])
    except VersionConflict:
        return None
    found = deliveries.find(deps.documents, delivery.id)
    # Somebody else's by now: we were away for as long as a claim lasts.
    return found if found is not None and found[0] == taken else None


def _record(taken: AlertDelivery, version: str, attempted: Attempted, deps: Deps) -> None:
    """Stores what came of an attempt. Should our claim have run out meanwhile, who has the delivery now records."""
    recorded = _recorded(taken, attempted, deps.clock.now())
    try:
        deps.documents.commit([deliveries.update(recorded, version)])
    except VersionConflict:
        log.warning("delivery %s was taken over before its attempt was recorded", taken.id)
        return
    _tell(recorded, attempted.verdict)
    if recorded.state is DeliveryState.PENDING:
        _set_timer(recorded, deps)


def _recorded(taken: AlertDelivery, attempted: Attempted, now: datetime) -> AlertDelivery:
    after = replace(taken, claimed_until=None, last_status=attempted.status, last_error=attempted.error)
    if attempted.verdict is rules.Verdict.DELIVERED:
        return replace(after, state=DeliveryState.SENT, due=now)
    if attempted.verdict is rules.Verdict.RETRY and taken.attempts < rules.MAX_ATTEMPTS:
        return replace(after, due=now + rules.pause(taken.attempts, attempted.retry_after))
    return replace(after, state=DeliveryState.FAILED, due=now)


def _tell(recorded: AlertDelivery, verdict: rules.Verdict) -> None:
    about = (recorded.channel.value, recorded.target, recorded.attempts, recorded.last_status, recorded.last_error)
    if verdict is rules.Verdict.MOOT:
        log.info("%s to %s is no longer needed, attempt %d: %s, %s", *about)
    elif recorded.state is DeliveryState.FAILED:
        log.error("%s to %s given up after %d attempt(s): %s, %s", *about)
    elif recorded.state is DeliveryState.PENDING:
        log.warning("%s to %s failed, attempt %d: %s, %s", *about)


def _set_timer(recorded: AlertDelivery, deps: Deps) -> None:
    name = f"{recorded.id}/attempt-{recorded.attempts + 1}"
    news = encode(AlertDue(alert_id=recorded.alert_id), message_id=ids.derived_uuid(name), now=deps.clock.now())
    try:
        deps.timers.publish_at(recorded.due, news, name=name)
    except Retryable as error:
        log.warning("no timer for delivery %s, the sweeper will see to it: %s", recorded.id, error)
