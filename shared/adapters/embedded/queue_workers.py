"""The threads that hand the embedded queue's deliveries to handlers: the local counterpart of push subscriptions.

It decides nothing about a message: a handler that returns acknowledges, one that raises asks for another try
(`queue.py` knows when). A worker thread survives every error, and leases are renewed as long as a handler runs.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from shared.adapters.embedded.queue import LeasedDelivery, SqliteQueue
from shared.errors import InProgress, Retryable
from shared.ports import Delivery

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
"""The longest wait before looking again: other processes publish without waking this one."""

Handler = Callable[[Delivery], None]


class QueueWorkers:
    """Runs handlers, keyed by subscription, in as many threads as each subscription wants.

    Subscriptions without a handler are left to other processes. Start and stop it once.
    """

    def __init__(self, queue: SqliteQueue, handlers: Mapping[str, Handler]) -> None:
        unknown = sorted(set(handlers) - set(queue.subscriptions))
        if unknown:
            raise ValueError(f"handlers for undeclared subscriptions: {', '.join(unknown)}")
        self._queue = queue
        self._stopping = threading.Event()
        self._arrivals = {name: _Arrivals() for name in handlers}
        self._heartbeat = _Heartbeat(queue, list(handlers))
        self._threads = [
            threading.Thread(target=self._work, args=(name, handler), name=f"{name}-{number}", daemon=True)
            for name, handler in handlers.items()
            for number in range(queue.subscriptions[name].workers)
        ]
        queue.listen(self._on_arrival)

    def start(self) -> None:
        """Starts the threads and returns."""
        self._heartbeat.start()
        for thread in self._threads:
            thread.start()

    def stop(self, timeout: float = 30.0) -> bool:
        """Takes no more deliveries and waits for the handlers that run; False if some still ran after `timeout` s.

        Those keep their leases until the process ends; then the leases run out and the deliveries come again.
        """
        self._stopping.set()
        for arrivals in self._arrivals.values():
            arrivals.announce(everybody=True)
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        ended = not any(thread.is_alive() for thread in self._threads)
        if ended:
            self._heartbeat.stop()
        return ended

    def _on_arrival(self, subscription: str) -> None:
        if subscription in self._arrivals:
            self._arrivals[subscription].announce()

    def _work(self, subscription: str, handler: Handler) -> None:
        arrivals = self._arrivals[subscription]
        while True:
            seen = arrivals.count  # read first, so that whatever is announced from now on ends the wait below at once
            if self._stopping.is_set():
                return
            try:
                leased = self._queue.pull(subscription)
                if leased is not None:
                    self._handle(leased, handler)
                    continue
                due = self._queue.due_in(subscription)
            except Exception:
                log.warning("the queue did not answer, trying again", exc_info=True)
                due = None
            arrivals.wait(seen, POLL_SECONDS if due is None else min(max(due, 0.0), POLL_SECONDS))

    def _handle(self, leased: LeasedDelivery, handler: Handler) -> None:
        with self._heartbeat.renewing(leased):
            try:
                handler(leased.delivery)
            except InProgress as error:
                log.info("postponed, another worker is at it: %s", _described(leased))
                held = self._queue.postpone(leased, error.retry_after)
            except Retryable as error:
                log.warning("failed (%s), to be tried again: %s", type(error).__name__, _described(leased))
                held = self._queue.fail(leased, error.retry_after)
            except Exception as error:
                log.warning("failed (%s): %s", type(error).__name__, _described(leased), exc_info=True)
                held = self._queue.fail(leased)
            else:
                held = self._queue.acknowledge(leased)
        if not held:
            log.warning("the lease was lost before the end, so it comes again: %s", _described(leased))


def _described(leased: LeasedDelivery) -> str:
    delivery = leased.delivery
    return f"subscription {leased.subscription}, message {delivery.message_id}, attempt {delivery.attempt}"


class _Arrivals:
    """Counts publishes and wakes one waiting worker for each; those that were busy see the count when they look."""

    def __init__(self) -> None:
        self.count = 0
        self._changed = threading.Condition()

    def announce(self, *, everybody: bool = False) -> None:
        with self._changed:
            self.count += 1
            if everybody:
                self._changed.notify_all()
            else:
                self._changed.notify()

    def wait(self, seen: int, timeout: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self.count != seen, timeout)


class _Heartbeat:
    """Renews the leases of the deliveries that are being handled, three times in the length of the shortest lease."""

    def __init__(self, queue: SqliteQueue, subscriptions: Sequence[str]) -> None:
        self._queue = queue
        leases = [queue.subscriptions[name].lease.total_seconds() for name in subscriptions]
        self._period = min(leases, default=1.0) / 3
        self._held: dict[str, LeasedDelivery] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="queue-heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    @contextmanager
    def renewing(self, leased: LeasedDelivery) -> Iterator[None]:
        with self._lock:
            self._held[leased.token] = leased
        try:
            yield
        finally:
            with self._lock:
                del self._held[leased.token]

    def _beat(self) -> None:
        while not self._ended.wait(self._period):
            with self._lock:
                held = list(self._held.values())
            try:
                for leased in held:
                    self._queue.extend(leased)
            except Exception:
                log.warning("leases could not be renewed, trying again", exc_info=True)
