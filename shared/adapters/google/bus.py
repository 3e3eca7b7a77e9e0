"""Implements `Bus` on Pub/Sub. It knows topics and errors, and nothing of what the messages mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from google.api_core import exceptions
from google.api_core.retry import Retry, if_exception_type
from google.pubsub_v1 import PublisherClient
from google.pubsub_v1.types import PublishRequest, PubsubMessage

from shared.errors import NotFound, Retryable
from shared.ports import OutgoingMessage

TRANSIENT = (
    exceptions.Aborted,
    exceptions.Cancelled,
    exceptions.GatewayTimeout,  # DeadlineExceeded is one
    exceptions.InternalServerError,
    exceptions.RetryError,
    exceptions.ServiceUnavailable,
    exceptions.TooManyRequests,  # ResourceExhausted is one
    exceptions.Unknown,
)

ATTEMPT_SECONDS = 10.0


class PubSubBus:
    """Publishes one message a call and returns when Pub/Sub has stored it.

    `publisher` is the plain client; the batching one of `google.cloud.pubsub_v1`, which is derived from it, serves as
    well, but its `publish` is bypassed. The caller waits for each message, so a batch would add its delay and a thread
    and gain nothing; and there attributes are keyword arguments, where one called `topic` or `data` breaks the call.
    """

    def __init__(self, publisher: PublisherClient, project: str, *, timeout: float = 30.0) -> None:
        self._publisher = publisher
        self._project = project
        self._retry = Retry(if_exception_type(*TRANSIENT), initial=0.1, maximum=2.0, multiplier=2.0, timeout=timeout)

    def publish(self, message: OutgoingMessage) -> str:
        """Implements `Bus.publish`; gives up with `Retryable` after the timeout of the constructor."""
        content = PubsubMessage(data=message.data, attributes=dict(message.attributes))
        topic = PublisherClient.topic_path(self._project, message.topic)
        request = PublishRequest(topic=topic, messages=[content])
        with translated_errors("topic"):
            reply = PublisherClient.publish(self._publisher, request, retry=self._retry, timeout=ATTEMPT_SECONDS)
        return str(reply.message_ids[0])


def connect(project: str) -> PubSubBus:
    """The bus of a deployed function, with the function's own credentials (or PUBSUB_EMULATOR_HOST)."""
    return PubSubBus(PublisherClient(), project)


@contextmanager
def translated_errors(what: str) -> Iterator[None]:
    """Turns Pub/Sub's errors into ours; `what` names the kind of thing that may be missing.

    Others (no permission, an invalid request) are mistakes of the deployment and pass as they are.
    """
    try:
        yield
    except exceptions.NotFound as error:
        raise NotFound(f"unknown_{what}", f"There is no such {what}.") from error
    except TRANSIENT as error:
        raise Retryable(f"Pub/Sub does not answer: {type(error).__name__}") from error
