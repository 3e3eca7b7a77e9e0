"""Whether the bus answers, for the health page: reading about a topic needs no right to publish to it."""

from __future__ import annotations

from google.pubsub_v1 import PublisherClient

TIMEOUT_SECONDS = 5.0


class TopicCheck:
    """Looks whether a topic is there. `see` raises whatever Pub/Sub answers when it can't be seen."""

    def __init__(self, project: str, topic: str) -> None:
        self._publisher = PublisherClient()
        self._path = PublisherClient.topic_path(project, topic)

    def see(self) -> None:
        """Asks once; raises Google's own exceptions."""
        self._publisher.get_topic(topic=self._path, timeout=TIMEOUT_SECONDS)
