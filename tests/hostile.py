"""A hostile world, reproducible by its seed: losses, duplicates, reordering, other workers cutting in, sudden death.

All that fate does happens in one thread; that of a lease, which renews it while a slow machine works, meets none.
Whenever the code under test touches the store or the bus, the world may first let another worker handle a delivery from
start to end (so every interleaving at the ports can happen), or let this worker die before or after the operation, as a
killed process would: nothing is cleaned up, the delivery comes again. A message that is lost never reaches one of its
subscribers; only the sweeper can know.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from shared.domain.stages import MAX_ATTEMPTS
from shared.ports import Delivery, Document, Documents, OutgoingMessage, Page, Query, Subscription, Write
from tests.fakes import ManualClock

MAX_DEPTH = 3
MOST_STEPS = 20_000


class Killed(BaseException):
    """The worker's process is gone. Not an Exception: no handler of the code under test may catch it."""


@dataclass
class Pending:
    """A delivery on its way to one subscriber."""

    subscriber: str
    delivery: Delivery


class HostileWorld:
    """The bus, the scheduler and fate."""

    def __init__(
        self,
        seed: int,
        clock: ManualClock,
        topics: dict[str, list[str]],
        *,
        lease_seconds: float,
        deaths: float = 0.04,
        intrusions: float = 0.10,
        losses: float = 0.05,
    ) -> None:
        self.random = random.Random(seed)
        self.clock = clock
        self.handlers: dict[str, Callable[[Delivery], None]] = {}
        self.published: list[OutgoingMessage] = []
        self.dead_letters = 0
        self._topics = topics
        self._lease_seconds = lease_seconds
        self._deaths = deaths
        self._intrusions = intrusions
        self._losses = losses
        self.lost = 0
        self._pending: list[Pending] = []
        self._numbers = 0
        self._depth = 0
        self._calm = False
        self._thread = threading.get_ident()

    # ------------------------------------------------------------ the bus

    def publish(self, message: OutgoingMessage) -> str:
        """Implements `Bus`: up to three copies an subscriber; the publisher may die on either side of it."""
        self.touch()
        self.published.append(message)
        for _ in range(self.random.choice([1, 1, 2])):  # a publisher's own retry gives the copy a message id of its own
            self._numbers += 1
            for subscriber in self._topics[message.topic]:
                delivery = Delivery(f"m{self._numbers}", message.data, message.attributes)
                if not self._loses():
                    self._pending += [Pending(subscriber, delivery)] * self.random.choice([1, 1, 1, 2, 3])
        self.touch()
        return f"m{self._numbers}"

    def inject(self, subscriber: str, delivery: Delivery) -> None:
        """A delivery from outside, up to three times, one of them as another message; or never."""
        if self._loses():
            return
        again = replace(delivery, message_id=f"{delivery.message_id}-again")
        self._pending += [Pending(subscriber, delivery)] * self.random.choice([1, 2])
        self._pending += [Pending(subscriber, again)] * self.random.choice([0, 1])

    # ------------------------------------------------------------ fate

    def touch(self) -> None:
        """Called around every operation on a port."""
        if self._calm or threading.get_ident() != self._thread:
            return
        if self._depth < MAX_DEPTH and self._pending and self.random.random() < self._intrusions:
            self._deliver_one()
        if self._depth and self.random.random() < self._deaths:
            raise Killed

    def run(self) -> None:
        """Delivers until nothing is left. Towards the end fate calms down, so that every run ends."""
        steps = 0
        while self._pending:
            steps += 1
            self._calm = self._calm or steps > 2000
            assert steps < MOST_STEPS, "the world never comes to rest"
            self._deliver_one()

    def calm_down(self) -> None:
        """From now on nobody dies, nothing is lost, and nobody cuts in."""
        self._calm = True

    def _loses(self) -> bool:
        if self._calm or self.random.random() >= self._losses:
            return False
        self.lost += 1
        return True

    def _deliver_one(self) -> None:
        pending = self._pending.pop(self.random.randrange(len(self._pending)))
        self._depth += 1
        try:
            self.handlers[pending.subscriber](pending.delivery)
        except (Killed, Exception):
            self._again(pending)
        finally:
            self._depth -= 1

    def _again(self, pending: Pending) -> None:
        attempt = pending.delivery.attempt + 1
        if attempt > MAX_ATTEMPTS:
            self.dead_letters += 1
            attempt = 1  # somebody replays the dead letter
        self.clock.advance(self.random.random() * self._lease_seconds * 1.5)
        self._pending.append(Pending(pending.subscriber, replace(pending.delivery, attempt=attempt)))


class HostileDocuments:
    """A `Documents` in the hostile world."""

    def __init__(self, inner: Documents, world: HostileWorld) -> None:
        self._inner = inner
        self._world = world

    def get(self, collection: str, id: str) -> Document | None:
        """See the port."""
        self._world.touch()
        return self._inner.get(collection, id)

    def get_many(self, keys: Sequence[tuple[str, str]]) -> list[Document | None]:
        """See the port."""
        self._world.touch()
        return self._inner.get_many(keys)

    def commit(self, writes: Sequence[Write]) -> None:
        """See the port; death may come before or after the commit."""
        self._world.touch()
        self._inner.commit(writes)
        self._world.touch()

    def query(self, query: Query, *, limit: int = 100, cursor: str | None = None) -> Page:
        """See the port."""
        self._world.touch()
        return self._inner.query(query, limit=limit, cursor=cursor)

    def count(self, query: Query) -> int:
        """See the port."""
        self._world.touch()
        return self._inner.count(query)

    def watch(self, query: Query, on_change: Callable[[tuple[Document, ...]], Any]) -> Subscription:
        """See the port."""
        return self._inner.watch(query, on_change)
