"""The edge of every event function: from an HTTP push to a `Delivery`, and from its end to an acknowledgement.

Pub/Sub pushes are taken wrapped (the JSON envelope, with its delivery attempt) and unwrapped or as CloudEvents (binary
or structured). What cannot be read is recorded and acknowledged: the framework's own CloudEvent decorator would answer
400, and Pub/Sub would deliver the same broken envelope until it is a dead letter (docs/decisions/001).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from shared.delivery import Consumer, StageRunner, receive, receive_news, receive_tick, record_rejection
from shared.errors import Malformed, Retryable
from shared.json_objects import read_object
from shared.ports import Clock, Delivery, Documents

log = logging.getLogger(__name__)

M = TypeVar("M")
D = TypeVar("D")

ACKNOWLEDGED = 204
TRY_AGAIN = 503
FAILED = 500
MAX_BODY_BYTES = 16 << 20
"""Pub/Sub messages have at most 10 MB, which base64 makes a third larger."""


@dataclass(frozen=True)
class EventFunction(Generic[M, D]):
    """A composed event function: the stage, its collaborators, and the ledger's runner."""

    consumer: Consumer[M, D]
    deps: D
    runner: StageRunner

    def answer(self, headers: Mapping[str, str], body: bytes) -> tuple[str, int]:
        """Handles one push. The status acknowledges (204) or asks for redelivery (503, 500); the body says nothing."""
        return _answer(headers, body, self._handle, partial(self.runner.reject, self.consumer.stage))

    def _handle(self, delivery: Delivery) -> None:
        receive(self.consumer, self.deps, self.runner, delivery)


@dataclass(frozen=True)
class ScheduledFunction:
    """A composed event function whose messages say only that it is time; they concern no asset."""

    name: str
    perform: Callable[[], object]
    documents: Documents
    clock: Clock

    def answer(self, headers: Mapping[str, str], body: bytes) -> tuple[str, int]:
        """Handles one push, and acknowledges it unless not even a broken envelope could be recorded."""
        reject = partial(record_rejection, self.name, documents=self.documents, clock=self.clock)
        return _answer(headers, body, partial(receive_tick, self.name, self.perform), reject)


@dataclass(frozen=True)
class NewsFunction:
    """A composed event function whose messages concern no asset; `handle` tells those of several topics apart."""

    name: str
    handle: Callable[[Delivery], object]
    documents: Documents
    clock: Clock

    def answer(self, headers: Mapping[str, str], body: bytes) -> tuple[str, int]:
        """Handles one push: acknowledged (204) when it was handled or recorded as rejected, else to be repeated."""
        receive_one = partial(receive_news, self.name, self.handle, self.documents, self.clock)
        reject = partial(record_rejection, self.name, documents=self.documents, clock=self.clock)
        return _answer(headers, body, receive_one, reject)


Handle = Callable[[Delivery], None]
Reject = Callable[[Delivery, Malformed], None]


def _answer(headers: Mapping[str, str], body: bytes, handle: Handle, reject: Reject) -> tuple[str, int]:
    try:
        _deliver(headers, body, handle, reject)
    except Retryable as error:
        log.warning("the delivery will be repeated: %s", error)
        return "", TRY_AGAIN
    except Exception:
        log.exception("the delivery failed and will be repeated")
        return "", FAILED
    return "", ACKNOWLEDGED


def _deliver(headers: Mapping[str, str], body: bytes, handle: Handle, reject: Reject) -> None:
    try:
        delivery = decode_push(headers, body)
    except Malformed as error:
        reject(_unread(body), error)
        return
    handle(delivery)


def _unread(body: bytes) -> Delivery:
    """What stands for a push whose message could not be read: the same body, the same id."""
    return Delivery(hashlib.sha256(body).hexdigest(), body, {})


def decode_push(headers: Mapping[str, str], body: bytes) -> Delivery:
    """The delivery in an HTTP push. Raises `Malformed`."""
    lowered = {name.lower(): value for name, value in headers.items()}
    if len(body) > MAX_BODY_BYTES:
        raise Malformed("envelope_too_large", "The envelope is larger than any Pub/Sub message.")
    if "ce-id" in lowered and "ce-type" in lowered:
        return _from_binary_event(lowered, body)
    envelope = read_object(body)
    if "specversion" in envelope:
        return _from_structured_event(envelope)
    return _from_envelope(envelope)


def _from_binary_event(headers: Mapping[str, str], body: bytes) -> Delivery:
    """A CloudEvent in HTTP's binary mode. Google's `messagePublished` carries the Pub/Sub envelope in its data."""
    if headers["ce-type"].startswith("google.cloud.pubsub."):
        return _from_envelope(read_object(body))
    attributes = {name: value for name, value in headers.items() if name.startswith("ce-")}
    attributes.update({name: headers[name] for name in ("traceparent", "content-type") if name in headers})
    return Delivery(headers.get("x-goog-pubsub-message-id", headers["ce-id"]), body, attributes)


def _from_structured_event(event: Mapping[str, Any]) -> Delivery:
    if not isinstance(event.get("id"), str) or not isinstance(event.get("type"), str):
        raise Malformed("invalid_cloud_event", "The CloudEvent lacks an id or a type.")
    data = event.get("data")
    if event["type"].startswith("google.cloud.pubsub.") and isinstance(data, dict):
        return _from_envelope(data)
    attributes = {f"ce-{name}": value for name, value in event.items() if isinstance(value, str) and name != "data"}
    return Delivery(event["id"], json.dumps(data).encode(), attributes)


def _from_envelope(envelope: Mapping[str, Any]) -> Delivery:
    message = envelope.get("message")
    if not isinstance(message, dict):
        raise Malformed("invalid_envelope", "The Pub/Sub envelope has no message.")
    message_id = message.get("messageId") or message.get("message_id")
    attributes = message.get("attributes") or {}
    if not isinstance(message_id, str) or not _is_text_mapping(attributes):
        raise Malformed("invalid_envelope", "The Pub/Sub message has no id, or attributes that are no text.")
    attempt = envelope.get("deliveryAttempt") or 1
    if not isinstance(attempt, int):
        raise Malformed("invalid_envelope", "The delivery attempt is not a number.")
    return Delivery(message_id, _decode_base64(message.get("data") or ""), attributes, attempt)


def _decode_base64(text: object) -> bytes:
    try:
        return base64.b64decode(text, validate=True) if isinstance(text, str) else _refuse_data()
    except binascii.Error:
        return _refuse_data()


def _refuse_data() -> bytes:
    raise Malformed("invalid_envelope", "The Pub/Sub message's data is not base64.")


def _is_text_mapping(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(k, str) and isinstance(v, str) for k, v in value.items())
