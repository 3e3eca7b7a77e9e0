"""The embedded queue against a model of it: whatever is done in whatever order, nothing is lost or leased twice."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from shared.adapters.embedded.queue import LeasedDelivery, QueueSubscription, SqliteQueue
from shared.ports import DeadLetter, OutgoingMessage
from tests.fakes import ManualClock

MAX_ATTEMPTS = 3
LEASE = timedelta(seconds=30)
SUBSCRIPTIONS = [
    QueueSubscription(name, topic, MAX_ATTEMPTS, timedelta(seconds=5), timedelta(seconds=15), LEASE)
    for name, topic in [("detect", "uploads"), ("moderate", "uploads"), ("notify", "incidents")]
]


@dataclass
class Expected:
    """What the model knows of one message for one subscription. `holder`: the token of its lease, running or not."""

    due: datetime
    attempt: int = 0
    holder: str | None = None


class QueueMachine(RuleBasedStateMachine):
    leases: Bundle[LeasedDelivery] = Bundle("leases")

    @initialize()
    def open(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.clock = ManualClock()
        self.pending: dict[tuple[str, str], Expected] = {}
        self.ended: set[tuple[str, str]] = set()
        self.dead: set[str] = set()
        self.reopen()

    def teardown(self) -> None:
        if hasattr(self, "queue"):
            self.queue.close()
            shutil.rmtree(self.folder)

    @rule()
    def restart(self) -> None:
        self.queue.close()
        self.reopen()

    @rule(topic=st.sampled_from(["uploads", "incidents", "unheard"]), data=st.binary(max_size=8))
    def publish(self, topic: str, data: bytes) -> None:
        self.expect(self.queue.publish(OutgoingMessage(topic, data, {"é": "ü"})), topic)

    @rule(target=leases, name=st.sampled_from([one.name for one in SUBSCRIPTIONS]))
    def pull(self, name: str) -> LeasedDelivery:
        now = self.clock.now()
        due = {id: one for (id, subscription), one in self.pending.items() if subscription == name and one.due <= now}
        for id, one in list(due.items()):
            if one.attempt == MAX_ATTEMPTS:
                del due[id]
        leased = self.queue.pull(name)
        self.bury_exhausted(name)
        if leased is None:
            assert not due
            return multiple()  # type: ignore[return-value]
        one = due[leased.delivery.message_id]  # so it was neither held by a running lease nor waiting
        one.attempt, one.holder, one.due = one.attempt + 1, leased.token, now + LEASE
        assert leased.delivery.attempt == one.attempt <= MAX_ATTEMPTS
        return leased

    @rule(leased=consumes(leases))
    def acknowledge(self, leased: LeasedDelivery) -> None:
        held = self.held(leased)
        assert self.queue.acknowledge(leased) == held
        if held:
            self.end(leased)

    @rule(leased=consumes(leases), retry_after=st.sampled_from([0.0, 7.0, 40.0]))
    def fail(self, leased: LeasedDelivery, retry_after: float) -> None:
        held = self.held(leased)
        assert self.queue.fail(leased, retry_after) == held
        if held and leased.delivery.attempt == MAX_ATTEMPTS:
            self.end(leased)
            self.dead.add(leased.delivery.message_id + leased.subscription)
        elif held:
            backoff = min(5.0 * 2 ** (leased.delivery.attempt - 1), 15.0)
            self.wait(leased, max(backoff, retry_after), leased.delivery.attempt)

    @rule(leased=consumes(leases), retry_after=st.sampled_from([0.0, 7.0]))
    def postpone(self, leased: LeasedDelivery, retry_after: float) -> None:
        held = self.held(leased)
        assert self.queue.postpone(leased, retry_after) == held
        if held:
            self.wait(leased, max(5.0, retry_after), leased.delivery.attempt - 1)

    @rule(leased=leases)
    def extend(self, leased: LeasedDelivery) -> None:
        held = self.held(leased)
        assert self.queue.extend(leased) == held
        if held:
            self.of(leased).due = self.clock.now() + LEASE

    @rule(seconds=st.sampled_from([0.001, 5.0, 14.0, 30.0, 100.0]))
    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def release_leases(self) -> None:
        held = [one for one in self.pending.values() if one.holder]
        assert self.queue.release_leases() == len(held)
        for one in held:
            one.holder, one.due = None, self.clock.now()

    @rule(choice=st.integers(min_value=0))
    def replay(self, choice: int) -> None:
        letters = self.queue.list()
        if letters:
            letter = letters[choice % len(letters)]
            self.dead.remove(self.key_of(letter))
            self.expect(self.queue.replay(letter.handle), letter.message.topic)

    @invariant()
    def nothing_is_lost_and_nothing_is_left_over(self) -> None:
        database = sqlite3.connect(self.folder / "queue.db")
        stored = database.execute(
            "SELECT id, subscription, attempt, lease FROM deliveries JOIN messages ON number = message"
        ).fetchall()
        messages = {row[0] for row in database.execute("SELECT id FROM messages")}
        database.close()
        assert {(row[0], row[1]): (row[2], row[3]) for row in stored} == {
            key: (one.attempt, one.holder) for key, one in self.pending.items()
        }
        assert messages == {id for id, _ in self.pending}
        assert {self.key_of(letter) for letter in self.queue.list(1000)} == self.dead
        assert self.queue.idle() == (not self.pending)

    def reopen(self) -> None:
        topics = ["uploads", "incidents", "unheard"]
        self.queue = SqliteQueue(self.folder / "queue.db", topics, SUBSCRIPTIONS, self.clock)

    def expect(self, message_id: str, topic: str) -> None:
        for subscription in SUBSCRIPTIONS:
            if subscription.topic == topic:
                assert (message_id, subscription.name) not in self.pending.keys() | self.ended
                self.pending[message_id, subscription.name] = Expected(self.clock.now())

    def of(self, leased: LeasedDelivery) -> Expected:
        return self.pending[leased.delivery.message_id, leased.subscription]

    def held(self, leased: LeasedDelivery) -> bool:
        found = self.pending.get((leased.delivery.message_id, leased.subscription))
        return found is not None and found.holder == leased.token

    def wait(self, leased: LeasedDelivery, seconds: float, attempt: int) -> None:
        one = self.of(leased)
        one.due, one.attempt, one.holder = self.clock.now() + timedelta(seconds=seconds), attempt, None

    def end(self, leased: LeasedDelivery) -> None:
        key = (leased.delivery.message_id, leased.subscription)
        del self.pending[key]
        self.ended.add(key)

    def bury_exhausted(self, name: str) -> None:
        """A pull makes a dead letter of each delivery that it meets whose last lease ran out; some it need not meet."""
        letters = {self.key_of(letter) for letter in self.queue.list(1000)} - self.dead
        for key, one in list(self.pending.items()):
            if "".join(key) in letters:
                assert key[1] == name
                assert one.attempt == MAX_ATTEMPTS
                assert one.due <= self.clock.now()
                del self.pending[key]
                self.ended.add(key)
                self.dead.add("".join(key))

    @staticmethod
    def key_of(letter: DeadLetter) -> str:
        return letter.handle.partition(":")[0] + letter.subscription


QueueMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestQueueMachine = QueueMachine.TestCase
