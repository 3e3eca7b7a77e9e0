"""Deliveries: claimed, attempted once a claim, recorded, tried again in time, given up in the end, whoever dies."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import h11
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra import topology
from shared.adapters.embedded.documents import SqliteDocuments
from shared.adapters.embedded.queue import QueueSubscription, SqliteQueue
from shared.domain import alerts as alert_words
from shared.domain.alerts import Alert, AlertCause, AlertDelivery, AlertEvent, AlertState, Channel, DeliveryState
from shared.domain.evidence_images import EvidenceImage
from shared.domain.guards import Guard
from shared.domain.incidents import Incident, IncidentStatus, Priority
from shared.domain.webhooks import MAX_ATTEMPTS, Webhook, verify
from shared.errors import FetchFailed, InProgress, Retryable
from shared.handlers import delivering
from shared.messages import AlertDue, decode
from shared.ports import Documents, OutgoingMessage, Push, PushOutcome, PushReceipt, Update, WebhookReply
from shared.records import to_data
from shared.repositories import alerts, deliveries, evidence_images, guards, incidents, webhooks
from tests.fakes import NOON, ManualClock

ALERT = Alert(
    id="inc-1:Critical",
    incident_id="inc-1",
    beacon_id="gate",
    beacon_location="Haupteingang",
    priority=Priority.CRITICAL,
    cause=AlertCause.OPENED,
    signal_id=7,
    created_at=NOON,
    round=1,
    deadline=NOON + timedelta(seconds=45),
)
INCIDENT = Incident("inc-1", "gate", "Haupteingang", IncidentStatus.CREATED, Priority.CRITICAL, NOON)
HOOK = Webhook("ops", "https://hooks.example.com/in", "s3cret", NOON)
SENT = PushReceipt(PushOutcome.SENT, reference="r")


@dataclass
class Phones:
    """A `PushSender` of the test's making: what each token's phone service says, and what was sent."""

    name: str = "phones"
    says: dict[str, PushReceipt] = field(default_factory=dict)
    sent: list[tuple[Push, tuple[str, ...]]] = field(default_factory=list)
    failing: Exception | None = None

    def send(self, push: Push, tokens: Sequence[str]) -> list[PushReceipt]:
        if self.failing is not None:
            raise self.failing
        self.sent.append((push, tuple(tokens)))
        return [self.says.get(token, SENT) for token in tokens]


@dataclass
class Receiver:
    """A `WebhookSender` of the test's making: answers in turn, the last for ever."""

    answers: list[WebhookReply | Exception] = field(default_factory=lambda: [WebhookReply(200)])
    got: list[tuple[str, bytes, Mapping[str, str]]] = field(default_factory=list)

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> WebhookReply:
        self.got.append((url, body, headers))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@dataclass
class World:
    deps: delivering.Deps
    documents: Documents
    clock: ManualClock
    queue: SqliteQueue
    phones: Phones
    receiver: Receiver
    views: list[tuple[int, str]]

    def plan(self, *planned: AlertDelivery) -> None:
        self.documents.commit([deliveries.creation(one) for one in planned])

    def attempt(self) -> int:
        return delivering.attempt_due(ALERT.id, self.deps)

    def stored(self, planned: AlertDelivery) -> AlertDelivery:
        found = deliveries.find(self.documents, planned.id)
        assert found is not None
        return found[0]

    def heard(self) -> list[str]:
        """The alerts that timers tell of by now."""
        told = []
        while (leased := self.queue.pull("notify")) is not None:
            told.append(decode(AlertDue, leased.delivery).alert_id)
            self.queue.acknowledge(leased)
        return told


def made(folder: Path) -> World:
    clock = ManualClock()
    documents = SqliteDocuments(folder / "documents.sqlite3", topology.load().document_indexes())
    queue = SqliteQueue(folder / "queue.sqlite3", ["alert-due"], [QueueSubscription("notify", "alert-due")], clock)
    phones, receiver, views = Phones(), Receiver(), list[tuple[int, str]]()

    def link(image: EvidenceImage, by: str) -> str:
        views.append((image.id, by))
        return f"https://evidence.example.com/{image.id}"

    documents.commit(
        [
            alerts.creation(ALERT),
            incidents.creation(INCIDENT),
            guards.write(Guard("ann", "Ann", tokens=("phone", "tablet")), None),
            guards.write(Guard("bob", "Bob"), None),
            webhooks.storing(HOOK, None),
        ]
    )
    deps = delivering.Deps(documents, clock, queue, phones, receiver, link)
    return World(deps, documents, clock, queue, phones, receiver, views)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    opened = made(tmp_path)
    yield opened
    opened.queue.close()
    opened.deps.documents.close()  # type: ignore[attr-defined]


def planned(target: str, channel: Channel = Channel.PUSH, event: AlertEvent = AlertEvent.OPENED) -> AlertDelivery:
    name = alert_words.delivery_id(ALERT.id, event, channel, target, 1)
    return AlertDelivery(name, ALERT.id, ALERT.incident_id, event, channel, target, NOON, NOON, round=1)


TO_ANN, TO_BOB, TO_OPS = planned("ann"), planned("bob"), planned("ops", Channel.WEBHOOK)


# --------------------------------------------------------------------------- pushes


def test_a_guard_is_told_on_every_device_what_it_is_about_and_until_when(world: World) -> None:
    world.plan(TO_ANN)
    assert world.attempt() == 1
    ((push, tokens),) = world.phones.sent
    assert tokens == ("phone", "tablet")
    assert (push.title, push.body) == ("Critical incident", "Haupteingang")
    assert push.data["alert_id"] == ALERT.id
    assert push.data["answer_by"] == (NOON + timedelta(seconds=45)).isoformat()
    assert (push.collapse_key, push.lifetime) == ("inc-1", timedelta(seconds=45))
    stored = world.stored(TO_ANN)
    assert (stored.state, stored.attempts, stored.last_status) == (DeliveryState.SENT, 1, "sent")
    assert world.attempt() == 0
    assert len(world.phones.sent) == 1


def test_a_device_that_is_gone_is_forgotten_and_the_guard_was_reached_on_the_other(world: World) -> None:
    world.phones.says["phone"] = PushReceipt(PushOutcome.UNREGISTERED, code="unregistered")
    world.plan(TO_ANN)
    world.attempt()
    assert guards.get(world.documents, "ann")[0].tokens == ("tablet",)
    stored = world.stored(TO_ANN)
    assert (stored.state, stored.last_error) == (DeliveryState.SENT, "1 of 2 devices were not reached: unregistered.")


@pytest.mark.parametrize(
    ("delivery", "status"),
    [(TO_BOB, "no_token"), (planned("nobody"), "no_guard"), (planned("none", Channel.WEBHOOK), "no_webhook")],
)
def test_who_cannot_be_reached_at_all_is_given_up_at_once_and_loudly(
    delivery: AlertDelivery, status: str, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.plan(delivery)
    world.attempt()
    stored = world.stored(delivery)
    assert (stored.state, stored.attempts, stored.last_status) == (DeliveryState.FAILED, 1, status)
    assert stored.last_error is not None
    assert stored.last_error.endswith(".")
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_refused_by_every_device_is_given_up_and_later_is_tried_again(world: World) -> None:
    world.phones.says = {
        "phone": PushReceipt(PushOutcome.REFUSED, code="invalid_argument"),
        "tablet": PushReceipt(PushOutcome.LATER, code="unavailable"),
    }
    world.plan(TO_ANN)
    world.attempt()
    assert world.stored(TO_ANN).state is DeliveryState.PENDING
    world.phones.says["tablet"] = world.phones.says["phone"]
    world.clock.advance(10)
    world.attempt()
    stored = world.stored(TO_ANN)
    assert (stored.state, stored.attempts, stored.last_status) == (DeliveryState.FAILED, 2, "invalid_argument")


def test_nobody_is_called_about_an_alert_that_is_over(world: World) -> None:
    world.phones.failing = Retryable("away")
    world.plan(TO_ANN)
    world.attempt()
    found = alerts.find(world.documents, ALERT.id)
    assert found is not None
    world.documents.commit([alerts.update(replace(found[0], state=AlertState.ACCEPTED), found[1])])
    world.phones.failing = None
    world.clock.advance(10)
    world.attempt()
    assert world.phones.sent == []
    assert (world.stored(TO_ANN).state, world.stored(TO_ANN).last_status) == (DeliveryState.FAILED, "alert_over")


TAKEN_SINCE = [
    {"status": IncidentStatus.RESOLVED},
    {"status": IncidentStatus.ASSIGNED},
    {"acknowledged_by": "Olga"},
    {"priority": Priority.HIGH},
]
"""What makes a call needless after the last round. (A change of priority has an alert of its own.)"""


@pytest.mark.parametrize("since", [{}, *TAKEN_SINCE])
def test_who_could_not_be_reached_in_time_is_called_as_long_as_nobody_has_it(
    world: World, since: dict[str, Any]
) -> None:
    world.phones.failing = Retryable("away")
    world.plan(TO_ANN)
    world.attempt()
    found = alerts.find(world.documents, ALERT.id)
    incident = incidents.find(world.documents, INCIDENT.id)
    assert found is not None
    assert incident is not None
    exhausted = replace(found[0], state=AlertState.EXHAUSTED, deadline=None, ended_at=NOON)
    changed = Update(incidents.INCIDENTS, INCIDENT.id, to_data(replace(INCIDENT, **since)), version=incident[1])
    world.documents.commit([alerts.update(exhausted, found[1]), changed])
    world.phones.failing = None
    world.clock.advance(10)
    world.attempt()
    assert len(world.phones.sent) == (0 if since else 1)
    assert world.stored(TO_ANN).state is (DeliveryState.FAILED if since else DeliveryState.SENT)


# --------------------------------------------------------------------------- webhooks


def test_a_webhook_gets_the_incident_the_alert_and_links_signed_and_each_noted(world: World) -> None:
    image = EvidenceImage(3, "incidents/x.jpg", "image/jpeg", 9, "s", "r", 4, 4, "Frame 1", "gate", 1, NOON, "inc-1", 7)
    gone = replace(image, id=4, deleted_at=NOON, deleted_because="retention")
    world.documents.commit([evidence_images.creation(image), evidence_images.creation(gone)])
    world.plan(TO_OPS)
    world.clock.advance(2)
    world.attempt()

    ((url, body, headers),) = world.receiver.got
    assert url == HOOK.url
    told = json.loads(body)
    assert told["event"] == "incident.opened"
    assert told["delivery_id"] == headers["Sightline-Delivery"] == TO_OPS.id
    assert told["incident"]["beacon_location"] == "Haupteingang"
    assert told["alert"] == {
        "alert_id": ALERT.id,
        "cause": "opened",
        "state": "active",
        "priority": "Critical",
        "round": 1,
        "created_at": NOON.isoformat(),
    }
    assert [(one["image_id"], one["url"]) for one in told["images"]] == [(3, "https://evidence.example.com/3")]
    assert told["sent_at"] == (NOON + timedelta(seconds=2)).isoformat()
    assert world.views == [(3, "webhook ops")]
    stamp, signed = headers["Sightline-Timestamp"], headers["Sightline-Signature"]
    assert verify("s3cret", signed, stamp, body, world.clock.now())
    assert world.stored(TO_OPS).last_status == "200"
    assert "s3cret" not in body.decode()


def test_no_link_is_no_reason_to_be_silent_nor_to_be_late(world: World) -> None:
    image = EvidenceImage(3, "incidents/x.jpg", "image/jpeg", 9, "s", "r", 4, 4, "F", "gate", 1, NOON, "inc-1", 7)
    images = [replace(image, id=number) for number in (3, 4, 5)]
    world.documents.commit([evidence_images.creation(one) for one in images])
    asked: list[int] = []

    def refuses(image: EvidenceImage, by: str) -> str:
        asked.append(image.id)
        raise Retryable("IAM is away")

    world.plan(TO_OPS)
    delivering.attempt_due(ALERT.id, replace(world.deps, link=refuses))
    assert [one["url"] for one in json.loads(world.receiver.got[0][1])["images"]] == [None, None, None]
    assert asked == [3]
    assert world.stored(TO_OPS).state is DeliveryState.SENT


def test_the_five_retries_come_by_timers_at_their_times_and_then_it_is_given_up(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.receiver.answers = [WebhookReply(500), WebhookReply(404), FetchFailed("timeout", "It hung.", status=408)]
    world.plan(TO_OPS)
    world.attempt()
    for seconds in (10, 30, 120, 600, 3600):
        assert world.stored(TO_OPS).state is DeliveryState.PENDING
        world.clock.advance(seconds - 0.001)
        assert (world.attempt(), world.heard()) == (0, [])
        world.clock.advance(0.001)
        assert world.heard() == [ALERT.id]
        assert world.attempt() == 1
    stored = world.stored(TO_OPS)
    assert (stored.state, stored.attempts, stored.last_status, stored.last_error) == (
        DeliveryState.FAILED,
        6,
        "timeout",
        "It hung.",
    )
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 5 + ["ERROR"]
    assert len({headers["Sightline-Delivery"] for _, _, headers in world.receiver.got}) == 1
    assert len({headers["Sightline-Signature"] for _, _, headers in world.receiver.got}) == 6
    world.clock.advance(7200)
    assert (world.attempt(), world.heard()) == (0, [])


def test_receivers_that_hang_keep_a_call_no_longer_than_one_attempt_at_each(world: World) -> None:
    class Hanging(Receiver):
        def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> WebhookReply:
            world.clock.advance(11)  # longer than the first pause before a retry
            return super().post(url, body, headers)

    targets = [f"w{number}" for number in range(delivering.SIDE_BY_SIDE + 1)]
    world.documents.commit([webhooks.storing(replace(HOOK, id=target), None) for target in targets])
    world.plan(*(planned(target, Channel.WEBHOOK) for target in targets))
    receiver = Hanging([FetchFailed("timeout", "It hung.", status=408)])
    assert delivering.attempt_due(ALERT.id, replace(world.deps, webhook=receiver)) == len(targets)
    assert len(receiver.got) == len(targets)
    world.clock.advance(10)
    assert len(world.heard()) == len(targets)  # each has a timer for its retry


@pytest.mark.parametrize("target", ["ops ", "Zentrale München"])
def test_whatever_a_webhook_is_called_its_delivery_has_an_id_that_a_header_can_carry(world: World, target: str) -> None:
    world.documents.commit([webhooks.storing(replace(HOOK, id=target), None)])
    world.plan(planned(target, Channel.WEBHOOK))
    world.attempt()
    ((_, body, headers),) = world.receiver.got
    h11.Request(method="POST", target="/", headers=[("Host", "hooks.example.com"), *headers.items()])
    assert json.loads(body)["delivery_id"] == headers["Sightline-Delivery"]


def test_retry_after_is_heeded_within_an_hour(world: World) -> None:
    world.receiver.answers = [WebhookReply(429, 90.0), WebhookReply(503, 1e9), WebhookReply(204)]
    world.plan(TO_OPS)
    world.attempt()
    assert world.stored(TO_OPS).due == world.clock.now() + timedelta(seconds=90)
    world.clock.advance(90)
    world.attempt()
    assert world.stored(TO_OPS).due == world.clock.now() + timedelta(hours=1)
    world.clock.advance(3600)
    world.attempt()
    assert world.stored(TO_OPS).state is DeliveryState.SENT


def test_gone_switches_the_webhook_off_and_others_of_it_are_not_sent(world: World) -> None:
    raised = planned("ops", Channel.WEBHOOK, AlertEvent.RAISED)
    world.receiver.answers = [WebhookReply(410)]
    world.plan(TO_OPS)
    world.attempt()
    world.plan(raised)
    world.attempt()
    webhook, _ = webhooks.get(world.documents, "ops")
    assert not webhook.active
    assert webhook.disabled_because == "The receiver answered 410 Gone, so the webhook was switched off."
    assert len(world.receiver.got) == 1
    assert world.stored(raised).last_status == "inactive"


def test_a_url_that_may_not_be_asked_is_given_up_at_once(world: World) -> None:
    world.receiver.answers = [FetchFailed("host_refused", "Not public.", status=400)]
    world.plan(TO_OPS)
    world.attempt()
    assert (world.stored(TO_OPS).state, world.stored(TO_OPS).attempts) == (DeliveryState.FAILED, 1)


def test_what_nobody_thought_of_counts_as_an_attempt_and_spares_the_others(world: World) -> None:
    world.receiver.answers = [RuntimeError("a mistake")]
    world.plan(TO_OPS, TO_ANN)
    assert world.attempt() == 2
    assert world.stored(TO_ANN).state is DeliveryState.SENT
    failed = world.stored(TO_OPS)
    assert (failed.state, failed.last_status) == (DeliveryState.PENDING, "error")
    assert "mistake" not in str(failed.last_error)


# --------------------------------------------------------------------------- several workers, and death


def test_two_workers_at_once_attempt_a_delivery_once(world: World) -> None:
    for number in range(12):
        world.documents.commit([guards.write(Guard(f"g{number}", "G", tokens=(f"t{number}",)), None)])
        world.plan(planned(f"g{number}"))
    barrier = threading.Barrier(4)

    def work(_: int) -> int:
        barrier.wait()
        try:
            return delivering.attempt_due(ALERT.id, world.deps)
        except InProgress:
            return -1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert sorted(tokens for _, tokens in world.phones.sent) == sorted((f"t{number}",) for number in range(12))


def test_who_comes_while_another_is_at_it_is_told_to_come_again(world: World) -> None:
    world.plan(TO_ANN)
    held = deliveries.find(world.documents, TO_ANN.id)
    assert held is not None
    until = world.clock.now() + delivering.CLAIM
    world.documents.commit([deliveries.update(deliveries.claimed(held[0], NOON, until), held[1])])
    with pytest.raises(InProgress) as caught:
        world.attempt()
    assert caught.value.retry_after == delivering.CLAIM.total_seconds()
    world.clock.advance(40)
    assert world.attempt() == 1
    assert (world.stored(TO_ANN).state, world.stored(TO_ANN).attempts) == (DeliveryState.SENT, 2)


class Killed(BaseException):
    """The worker's process is gone."""


class MortalDocuments:
    """Lets the worker die at its n-th write, before or after it."""

    def __init__(self, inner: Any, dies_at: int, after: bool) -> None:
        self._inner = inner
        self._left = dies_at
        self._after = after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def commit(self, writes: Any) -> None:
        self._left -= 1
        if self._left == 0 and not self._after:
            raise Killed
        self._inner.commit(writes)
        if self._left == 0:
            raise Killed


deaths = st.lists(st.tuples(st.integers(1, 4), st.booleans()), max_size=12)
answers = st.lists(st.sampled_from([200, 302, 404, 410, 429, 500]), min_size=1, max_size=8)


@given(deaths=deaths, answers=answers)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_wherever_workers_die_every_delivery_ends_and_nothing_is_sent_after_its_end(
    deaths: list[tuple[int, bool]], answers: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    world = made(tmp_path_factory.mktemp("mortal"))
    world.receiver.answers = [WebhookReply(status) for status in answers]
    world.plan(TO_OPS, TO_ANN, TO_BOB)
    for dies_at, after in deaths:
        mortal: Any = MortalDocuments(world.documents, dies_at, after)
        try:
            delivering.attempt_due(ALERT.id, replace(world.deps, documents=mortal))
        except (Killed, InProgress):
            world.clock.advance(41)
    for _ in range(20):
        world.clock.advance(3600)
        world.attempt()
    ended = [world.stored(one) for one in (TO_OPS, TO_ANN, TO_BOB)]
    assert all(one.state is not DeliveryState.PENDING and 1 <= one.attempts <= MAX_ATTEMPTS for one in ended)
    # Every attempt is claimed first, so there are never more sends than attempts; a death loses none that was due.
    assert len(world.receiver.got) <= ended[0].attempts
    assert len(world.phones.sent) <= ended[1].attempts
    if ended[0].state is DeliveryState.SENT:
        assert ended[0].last_status == "200"
    assert ended[1].state is DeliveryState.SENT or ended[1].last_status == "worker_lost"
    assert ended[2].state is DeliveryState.FAILED
    world.queue.close()


def test_a_timer_that_cannot_be_set_is_left_to_the_sweeper(world: World, caplog: pytest.LogCaptureFixture) -> None:
    class NoTimers:
        def publish_at(self, when: object, message: OutgoingMessage, *, name: str) -> None:
            raise Retryable("Cloud Tasks is away")

    world.receiver.answers = [WebhookReply(500)]
    world.plan(TO_OPS)
    delivering.attempt_due(ALERT.id, replace(world.deps, timers=NoTimers()))
    assert "the sweeper will see to it" in caplog.text
    assert world.stored(TO_OPS).state is DeliveryState.PENDING
    assert not to_data(world.stored(TO_OPS))["claimed_until"]


def test_a_store_that_is_away_is_not_the_deliverys_fault(world: World) -> None:
    world.plan(TO_ANN)

    class Away(MortalDocuments):
        def query(self, *_: object, **__: object) -> object:
            raise Retryable("away")

    away: Any = Away(world.documents, 99, after=False)
    with pytest.raises(Retryable, match="away"):
        delivering.attempt_due(ALERT.id, replace(world.deps, documents=away))
    assert world.stored(TO_ANN).attempts == 0
