"""Implements `DeadLetters` on the subscription that holds what Pub/Sub gave up.

Pub/Sub has no way to look at a subscription: messages are pulled, which hides them from others, and given back. So two
lists at the same moment each see a part, and a message may be missing from one for a few seconds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, MutableSequence, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import islice

from google.api_core import exceptions
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.types import PubsubMessage, ReceivedMessage

from shared.adapters.google.bus import PubSubBus, translated_errors
from shared.errors import NotFound
from shared.ports import DeadLetter, OutgoingMessage

# What Pub/Sub adds to the attributes of a message that it moves to a dead-letter topic.
ADDED = "CloudPubSubDeadLetterSource"
DELIVERY_COUNT = f"{ADDED}DeliveryCount"
SUBSCRIPTION = f"{ADDED}Subscription"
SUBSCRIPTION_PROJECT = f"{ADDED}SubscriptionProject"
PUBLISH_TIME = f"{ADDED}TopicPublishTime"

DELETED_TOPIC = "_deleted-topic_"
"""What Pub/Sub calls the topic of a subscription whose topic is gone."""

MAX_PULL = 1000
"""Messages one pull may return, and acknowledgement ids one request may carry."""


class PubSubDeadLetters:
    """Implements `DeadLetters`. A handle is the id that the message has in the dead-letter topic.

    `patience`: seconds that a list or a search waits for more messages once nothing comes.
    """

    def __init__(
        self,
        subscriber: SubscriberClient,
        publisher: PublisherClient,
        project: str,
        subscription: str = "dead-letter-hold",
        *,
        patience: float = 2.0,
    ) -> None:
        self._subscriber = subscriber
        self._bus = PubSubBus(publisher, project)
        self._project = project
        self._subscription = SubscriberClient.subscription_path(project, subscription)
        self._patience = patience
        self._topics: dict[str, str] = {}

    def list(self, limit: int = 100) -> list[DeadLetter]:
        """Implements `DeadLetters.list`, in no particular order."""
        with self._held(limit) as messages:
            return [self._dead_letter(received.message) for received in islice(messages, limit)]

    def replay(self, handle: str) -> str:
        """Implements `DeadLetters.replay`."""
        with self._held(MAX_PULL) as messages:
            found = next((received for received in messages if received.message.message_id == handle), None)
            if found is None:
                raise NotFound("unknown_dead_letter", "There is no such dead letter.")
            message = self._dead_letter(found.message).message
            if not message.topic:
                raise NotFound("unknown_topic", "The topic of this dead letter is not known any more.")
            message_id = self._bus.publish(message)
            with translated_errors("subscription"):
                self._subscriber.acknowledge(subscription=self._subscription, ack_ids=[found.ack_id])
        return message_id

    @contextmanager
    def _held(self, at_once: int) -> Iterator[Iterator[ReceivedMessage]]:
        """The messages, pulled as they are asked for; at the end all of them are available to others again."""
        ack_ids: MutableSequence[str] = []
        try:
            yield self._pulled(min(at_once, MAX_PULL), ack_ids)
        finally:
            # An acknowledged message is gone; naming it here does it no harm.
            for start in range(0, len(ack_ids), MAX_PULL):
                with translated_errors("subscription"):
                    self._subscriber.modify_ack_deadline(
                        subscription=self._subscription,
                        ack_ids=ack_ids[start : start + MAX_PULL],
                        ack_deadline_seconds=0,
                    )

    def _pulled(self, at_once: int, ack_ids: MutableSequence[str]) -> Iterator[ReceivedMessage]:
        seen: set[str] = set()
        quiet_until = time.monotonic() + self._patience
        while (left := quiet_until - time.monotonic()) > 0:
            batch = self._pull(at_once, left)
            ack_ids.extend(received.ack_id for received in batch)
            # In a long search the first messages come back when their deadline has passed.
            fresh = [received for received in batch if received.message.message_id not in seen]
            seen |= {received.message.message_id for received in fresh}
            yield from fresh
            if fresh:
                quiet_until = time.monotonic() + self._patience

    def _pull(self, at_once: int, timeout: float) -> Sequence[ReceivedMessage]:
        with translated_errors("subscription"):
            try:
                reply = self._subscriber.pull(
                    subscription=self._subscription, max_messages=at_once, timeout=timeout, retry=None
                )
            except (exceptions.DeadlineExceeded, exceptions.Cancelled):
                return ()  # nothing came in time; which of the two it is depends on which side notices first
        return tuple(reply.received_messages)

    def _dead_letter(self, message: PubsubMessage) -> DeadLetter:
        attributes = dict(message.attributes)
        published = attributes.get(PUBLISH_TIME)
        return DeadLetter(
            handle=message.message_id,
            subscription=attributes.get(SUBSCRIPTION, ""),
            message=OutgoingMessage(
                topic=self._topic_of(attributes),
                data=message.data,
                attributes={name: value for name, value in attributes.items() if not name.startswith(ADDED)},
            ),
            attempts=int(attributes.get(DELIVERY_COUNT, 1)),
            published=datetime.fromisoformat(published) if published else message.publish_time,
        )

    def _topic_of(self, attributes: Mapping[str, str]) -> str:
        """The topic that the subscription which gave up listens to; empty if one of the two is gone."""
        name = attributes.get(SUBSCRIPTION)
        if not name:
            return ""  # somebody published to the dead-letter topic by hand
        if name not in self._topics:
            path = SubscriberClient.subscription_path(attributes.get(SUBSCRIPTION_PROJECT, self._project), name)
            try:
                with translated_errors("subscription"):
                    topic = self._subscriber.get_subscription(subscription=path).topic
            except NotFound:
                return ""
            if topic == DELETED_TOPIC:
                return ""
            self._topics[name] = topic.rpartition("/")[2]
        return self._topics[name]
