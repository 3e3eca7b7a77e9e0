"""What the embedded queue promises beyond the contract of `Bus`: its schedule, its leases, and life after `kill -9`."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from infra import topology
from local.home import queue_subscriptions
from shared.adapters.embedded import queue as queue_module
from shared.adapters.embedded.queue import LeasedDelivery, QueueSubscription, SqliteQueue
from shared.adapters.embedded.queue_workers import QueueWorkers
from shared.adapters.system_clock import SystemClock
from shared.errors import InProgress, NotFound, Retryable
from shared.ports import Delivery, OutgoingMessage
from tests.fakes import ManualClock

LEASE = timedelta(seconds=60)
DETECT = QueueSubscription(
    "detect", "uploads", minimum_backoff=timedelta(seconds=10), maximum_backoff=timedelta(seconds=60), lease=LEASE
)
MESSAGE = OutgoingMessage("uploads", b"{}", {"ce-id": "1"})


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "queue.db"


@pytest.fixture
def queue(path: Path, clock: ManualClock) -> Iterator[SqliteQueue]:
    opened = SqliteQueue(path, ["uploads"], [DETECT], clock)
    yield opened
    opened.close()


def pulled(queue: SqliteQueue) -> LeasedDelivery:
    leased = queue.pull("detect")
    assert leased is not None
    return leased


def stored_messages(path: Path) -> int:
    with sqlite3.connect(path) as database:
        count: int = database.execute("SELECT COUNT(*) FROM messages").fetchone()[0]
    database.close()
    return count


# --------------------------------------------------------------------------- schedule


def test_backoff_doubles_up_to_its_maximum_and_then_the_message_is_dead(queue: SqliteQueue, clock: ManualClock) -> None:
    queue.publish(MESSAGE)
    for attempt, wait in enumerate([10, 20, 40, 60], start=1):
        leased = pulled(queue)
        assert leased.delivery.attempt == attempt
        assert queue.fail(leased)
        clock.advance(wait - 0.001)
        assert queue.pull("detect") is None
        clock.advance(0.001)
    assert queue.fail(pulled(queue))
    assert queue.idle()
    (letter,) = queue.list()
    assert (letter.attempts, letter.message) == (5, MESSAGE)


def test_a_failure_waits_at_least_as_long_as_it_asks(queue: SqliteQueue, clock: ManualClock) -> None:
    queue.publish(MESSAGE)
    queue.fail(pulled(queue), retry_after=45)
    clock.advance(44)
    assert queue.pull("detect") is None
    clock.advance(1)
    assert pulled(queue).delivery.attempt == 2


def test_work_in_progress_elsewhere_is_no_attempt(queue: SqliteQueue, clock: ManualClock) -> None:
    queue.publish(MESSAGE)
    for _ in range(10):
        leased = pulled(queue)
        assert leased.delivery.attempt == 1
        assert queue.postpone(leased, retry_after=300)
        clock.advance(299)
        assert queue.pull("detect") is None
        clock.advance(1)
    queue.postpone(pulled(queue), retry_after=0)
    assert queue.pull("detect") is None  # and even then it does not spin
    assert queue.list() == []


def test_the_one_that_has_been_available_longest_comes_first(queue: SqliteQueue, clock: ManualClock) -> None:
    first = queue.publish(MESSAGE)
    second = queue.publish(MESSAGE)
    third = queue.publish(MESSAGE)
    leased = pulled(queue)
    assert leased.delivery.message_id == first
    queue.fail(leased)
    clock.advance(100)
    assert [pulled(queue).delivery.message_id for _ in range(3)] == [second, third, first]


# --------------------------------------------------------------------------- leases


def test_a_lease_that_runs_out_makes_the_delivery_available_and_counts(queue: SqliteQueue, clock: ManualClock) -> None:
    queue.publish(MESSAGE)
    for attempt in range(1, 6):
        assert pulled(queue).delivery.attempt == attempt
        clock.advance(LEASE.total_seconds() - 0.001)
        assert queue.pull("detect") is None
        clock.advance(0.001)
    assert queue.pull("detect") is None
    assert [letter.attempts for letter in queue.list()] == [5]


def test_who_lost_the_lease_can_no_longer_end_the_delivery(queue: SqliteQueue, clock: ManualClock) -> None:
    queue.publish(MESSAGE)
    late = pulled(queue)
    clock.advance(LEASE.total_seconds())
    present = pulled(queue)
    assert not queue.acknowledge(late)
    assert not queue.fail(late)
    assert not queue.postpone(late, 1)
    assert not queue.extend(late)
    assert queue.acknowledge(present)
    assert not queue.acknowledge(present)
    assert queue.idle()


def test_who_lost_the_last_lease_buries_nothing(path: Path, clock: ManualClock) -> None:
    queue = SqliteQueue(path, ["uploads"], [QueueSubscription("detect", "uploads", max_attempts=1)], clock)
    queue.publish(MESSAGE)
    late = pulled(queue)
    queue.release_leases()
    assert queue.pull("detect") is None  # its only attempt is used up: it is a dead letter now
    another = queue.publish(MESSAGE)
    assert not queue.fail(late)
    assert len(queue.list()) == 1
    assert pulled(queue).delivery.message_id == another
    queue.close()


def test_an_extended_lease_holds(queue: SqliteQueue, clock: ManualClock) -> None:
    queue.publish(MESSAGE)
    leased = pulled(queue)
    clock.advance(59)
    assert queue.extend(leased, timedelta(seconds=100))
    clock.advance(99)
    assert queue.pull("detect") is None
    assert queue.acknowledge(leased)


def test_start_up_releases_the_leases_of_the_dead(queue: SqliteQueue) -> None:
    queue.publish(MESSAGE)
    pulled(queue)
    assert queue.release_leases() == 1
    assert pulled(queue).delivery.attempt == 2


# --------------------------------------------------------------------------- storage


def test_a_message_is_removed_with_its_last_delivery(path: Path, clock: ManualClock) -> None:
    subscriptions = [QueueSubscription(name, "uploads", max_attempts=1) for name in ("detect", "moderate")]
    queue = SqliteQueue(path, ["uploads", "unheard"], subscriptions, clock)
    queue.publish(MESSAGE)
    queue.publish(OutgoingMessage("unheard", b"{}"))
    assert stored_messages(path) == 1
    assert queue.acknowledge(pulled(queue))
    assert stored_messages(path) == 1
    moderate = queue.pull("moderate")
    assert moderate is not None
    queue.fail(moderate)
    assert stored_messages(path) == 0
    assert len(queue.list()) == 1
    queue.close()


def test_dead_letters_of_a_topic_that_is_gone_stay(path: Path, clock: ManualClock) -> None:
    old = SqliteQueue(path, ["uploads"], [QueueSubscription("detect", "uploads", max_attempts=1)], clock)
    old.publish(MESSAGE)
    old.fail(pulled(old))
    old.close()
    new = SqliteQueue(path, ["signals"], [], clock)
    (letter,) = new.list()
    with pytest.raises(NotFound):
        new.replay(letter.handle)
    assert new.list() == [letter]
    new.close()


def test_a_file_that_another_process_keeps_locked_is_worth_another_try(
    path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "LOCK_TIMEOUT_SECONDS", 0.05)
    queue = SqliteQueue(path, ["uploads"], [DETECT], clock)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Retryable):
        queue.publish(MESSAGE)
    other.execute("ROLLBACK")
    other.close()
    assert queue.publish(MESSAGE)
    queue.close()


def test_many_may_create_the_file_at_once(path: Path, clock: ManualClock) -> None:
    barrier = threading.Barrier(8)

    def opened(_: int) -> SqliteQueue:
        barrier.wait()
        return SqliteQueue(path, ["uploads"], [DETECT], clock)

    with ThreadPoolExecutor(8) as threads:
        queues = list(threads.map(opened, range(8)))
    for queue in queues:
        queue.publish(MESSAGE)
        queue.close()
    assert stored_messages(path) == 8


@pytest.mark.parametrize(
    "subscriptions",
    [
        [QueueSubscription("detect", "unknown")],
        [DETECT, DETECT],
        [QueueSubscription("detect", "uploads", max_attempts=0)],
        [QueueSubscription("detect", "uploads", workers=0)],
        [QueueSubscription("detect", "uploads", lease=timedelta(0))],
    ],
)
def test_a_wrong_declaration_is_refused(path: Path, subscriptions: list[QueueSubscription]) -> None:
    with pytest.raises(ValueError, match="subscription"):
        SqliteQueue(path, ["uploads"], subscriptions, SystemClock())


# --------------------------------------------------------------------------- workers


def running(path: Path, handler: object, **options: timedelta | int) -> tuple[SqliteQueue, QueueWorkers]:
    subscription = QueueSubscription("detect", "uploads", **options)  # type: ignore[arg-type]
    queue = SqliteQueue(path, ["uploads"], [subscription], SystemClock())
    workers = QueueWorkers(queue, {"detect": handler})  # type: ignore[dict-item]
    workers.start()
    return queue, workers


def test_a_publish_wakes_a_worker_at_once(path: Path) -> None:
    handled = threading.Event()
    queue, workers = running(path, lambda _: handled.set())
    time.sleep(0.1)
    began = time.monotonic()
    queue.publish(MESSAGE)
    assert handled.wait(5)
    assert time.monotonic() - began < 0.2
    assert queue.wait_until_idle(5)
    assert workers.stop(5)
    queue.close()


def test_what_another_process_publishes_is_seen_within_the_poll(path: Path) -> None:
    handled = threading.Event()
    queue, workers = running(path, lambda _: handled.set())
    other = SqliteQueue(path, ["uploads"], [DETECT], SystemClock())
    other.publish(MESSAGE)
    assert handled.wait(2)
    other.close()
    assert workers.stop(5)
    queue.close()


def test_the_log_tells_expected_failures_from_unknown_ones(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    errors = [InProgress("busy", retry_after=0.01), Retryable("later"), KeyError("unexpected")]
    attempts = []

    def handler(delivery: Delivery) -> None:
        attempts.append(delivery.attempt)
        if errors:
            raise errors.pop(0)

    with caplog.at_level(logging.INFO):
        queue, workers = running(path, handler, minimum_backoff=timedelta(seconds=0.01))
        message_id = queue.publish(MESSAGE)
        assert queue.wait_until_idle(10)
        assert workers.stop(5)
    assert attempts == [1, 1, 2, 3]
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert [("Retryable" in w.getMessage(), bool(w.exc_info)) for w in warnings] == [(True, False), (False, True)]
    assert "KeyError" in warnings[1].getMessage()
    assert f"message {message_id}, attempt 2" in warnings[1].getMessage()
    queue.close()


def test_stop_waits_for_a_handler_and_says_when_it_did_not_end(path: Path) -> None:
    started, finish = threading.Event(), threading.Event()

    def handler(_: Delivery) -> None:
        started.set()
        finish.wait()

    queue, workers = running(path, handler)
    queue.publish(MESSAGE)
    assert started.wait(5)
    assert not queue.wait_until_idle(0.05)
    assert not workers.stop(0.05)
    finish.set()
    assert workers.stop(5)
    assert queue.idle()
    queue.close()


def test_a_handler_for_nothing_is_refused(queue: SqliteQueue) -> None:
    with pytest.raises(ValueError, match="undeclared"):
        QueueWorkers(queue, {"unknown": lambda _: None})


def test_a_function_has_as_many_workers_as_it_may_have_deliveries_at_once() -> None:
    declared = topology.load()
    workers = {subscription.name: subscription.workers for subscription in queue_subscriptions(declared)}
    for trigger in declared.functions["notify"].triggers:
        own = workers[topology.subscription_name("notify", trigger)]
        assert own >= declared.functions["notify"].concurrency == 8  # a webhook that hangs holds up no guard's call
