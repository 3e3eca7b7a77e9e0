"""The `Timers` on Google Cloud: a Cloud Tasks task that publishes to Pub/Sub when its time has come.

The task calls Pub/Sub's REST interface itself, in the name of a service account that may do nothing else, so nothing of
ours runs in between. Pub/Sub stores the message, and from there it is delivered like every other.
"""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime

from google.api_core import exceptions
from google.api_core.retry import Retry, if_exception_type
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport
from google.protobuf import timestamp_pb2

from shared.adapters.google.analyser_calls import plain_channel
from shared.adapters.google.bus import TRANSIENT
from shared.errors import Retryable
from shared.ports import OutgoingMessage

PUBSUB = "https://pubsub.googleapis.com"
SCOPE = "https://www.googleapis.com/auth/pubsub"
ATTEMPT_SECONDS = 5.0
TIMEOUT_SECONDS = 15.0


class CloudTimers:
    """Implements `Timers`. `queue`: the whole name of the Cloud Tasks queue; `account`: who publishes what is due.

    `publish_origin`: of Pub/Sub's REST interface. Without an account the task carries no token: for emulators.
    """

    def __init__(
        self,
        client: tasks_v2.CloudTasksClient,
        project: str,
        queue: str,
        account: str,
        *,
        publish_origin: str = PUBSUB,
    ) -> None:
        self._client = client
        self._project = project
        self._queue = queue
        self._account = account
        self._origin = publish_origin
        self._retry = Retry(if_exception_type(*TRANSIENT), initial=0.1, maximum=2.0, timeout=TIMEOUT_SECONDS)

    def publish_at(self, when: datetime, message: OutgoingMessage, *, name: str) -> None:
        """See `Timers.publish_at`. Cloud Tasks remembers a name for an hour or more after its task has run."""
        task = tasks_v2.Task(
            name=f"{self._queue}/tasks/{hashlib.sha256(name.encode()).hexdigest()}",
            schedule_time=_timestamp(when),
            http_request=self._request(message),
        )
        try:
            self._client.create_task(parent=self._queue, task=task, retry=self._retry, timeout=ATTEMPT_SECONDS)
        except exceptions.AlreadyExists:
            return  # said before, by us or by somebody who died afterwards
        except TRANSIENT as error:
            raise Retryable(f"Cloud Tasks does not answer: {type(error).__name__}") from error

    def _request(self, message: OutgoingMessage) -> tasks_v2.HttpRequest:
        content = {"data": base64.b64encode(message.data).decode(), "attributes": dict(message.attributes)}
        request = tasks_v2.HttpRequest(
            url=f"{self._origin}/v1/projects/{self._project}/topics/{message.topic}:publish",
            http_method=tasks_v2.HttpMethod.POST,
            headers={"Content-Type": "application/json"},
            body=json.dumps({"messages": [content]}).encode(),
        )
        request.oauth_token = tasks_v2.OAuthToken(service_account_email=self._account, scope=SCOPE)
        return request


def connect(project: str, queue: str, account: str, *, emulated: tuple[str, str] | None = None) -> CloudTimers:
    """Cloud Tasks with the function's own credentials; `account` publishes what is due.

    `emulated`: host:port of an emulator, which is asked without any, and the origin to which its tasks publish.
    """
    if emulated is None:
        return CloudTimers(tasks_v2.CloudTasksClient(), project, queue, account)
    endpoint, origin = emulated
    transport = CloudTasksGrpcTransport(channel=plain_channel(endpoint))
    return CloudTimers(tasks_v2.CloudTasksClient(transport=transport), project, queue, account, publish_origin=origin)


def _timestamp(when: datetime) -> timestamp_pb2.Timestamp:
    if when.tzinfo is None:
        raise ValueError("a timer's moment must be aware")
    stamp = timestamp_pb2.Timestamp()
    stamp.FromDatetime(when.astimezone(UTC))
    return stamp
