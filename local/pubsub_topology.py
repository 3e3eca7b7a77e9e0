"""Makes topics and push subscriptions on the Pub/Sub emulator, for the tests and the developer's stack.

On Google Cloud, Terraform makes them (`infra/`); this must never run against a real project, whose pushes need OIDC.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from google.api_core.exceptions import AlreadyExists
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.types import DeadLetterPolicy, PushConfig, RetryPolicy, Subscription

from infra.topology import DeliveryPolicy


@dataclass(frozen=True)
class Backoff:
    """The shortest and longest wait before a failed push is repeated."""

    minimum: timedelta
    maximum: timedelta


@dataclass(frozen=True)
class PushSubscription:
    """Pushes a topic's messages to `endpoint` in the JSON envelope (message, subscription).

    `backoff`: None repeats as fast as the emulator can, once a second; with one, its steps are at least 3 seconds.
    """

    name: str
    topic: str
    endpoint: str
    backoff: Backoff | None = None


def create_topology(
    publisher: PublisherClient,
    subscriber: SubscriberClient,
    project: str,
    topics: Iterable[str],
    push_subscriptions: Sequence[PushSubscription],
    policy: DeliveryPolicy,
) -> None:
    """Makes what is missing. A push subscription that is there gets its endpoint changed and nothing else.

    Messages that fail as often as the policy allows go to its dead-letter topic, whose subscription keeps them until
    somebody pulls. The backoff is each subscription's own, since the emulator knows only coarse steps.
    """
    for topic in (*topics, policy.dead_letter_topic):
        _create_topic(publisher, PublisherClient.topic_path(project, topic))
    dead_letters = PublisherClient.topic_path(project, policy.dead_letter_topic)
    hold = SubscriberClient.subscription_path(project, policy.dead_letter_subscription)
    _create_subscription(subscriber, Subscription(name=hold, topic=dead_letters, ack_deadline_seconds=60))
    for subscription in push_subscriptions:
        _create_subscription(subscriber, _push_subscription(project, subscription, dead_letters, policy))


def _push_subscription(
    project: str, wanted: PushSubscription, dead_letters: str, policy: DeliveryPolicy
) -> Subscription:
    subscription = Subscription(
        name=SubscriberClient.subscription_path(project, wanted.name),
        topic=PublisherClient.topic_path(project, wanted.topic),
        push_config=PushConfig(push_endpoint=wanted.endpoint),
        ack_deadline_seconds=policy.ack_deadline,
        dead_letter_policy=DeadLetterPolicy(dead_letter_topic=dead_letters, max_delivery_attempts=policy.max_attempts),
    )
    if wanted.backoff is not None:
        subscription.retry_policy = RetryPolicy(
            minimum_backoff=wanted.backoff.minimum, maximum_backoff=wanted.backoff.maximum
        )
    return subscription


def _create_topic(publisher: PublisherClient, path: str) -> None:
    try:
        publisher.create_topic(name=path)
    except AlreadyExists:
        return


def _create_subscription(subscriber: SubscriberClient, wanted: Subscription) -> None:
    try:
        subscriber.create_subscription(wanted)
    except AlreadyExists:
        if wanted.push_config.push_endpoint:
            subscriber.modify_push_config(subscription=wanted.name, push_config=wanted.push_config)
