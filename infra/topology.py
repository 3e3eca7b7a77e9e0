"""Reads `pipeline.yaml`, the one topology, into typed records. Unknown or missing keys are errors."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator

from shared.ports import Index, Order, OutgoingMessage

ROOT = Path(__file__).resolve().parent.parent
PIPELINE = ROOT / "infra" / "pipeline.yaml"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Notification(_Strict):
    """Finalised objects whose name starts with `prefix` are announced on `topic`."""

    prefix: str
    topic: str


class Bucket(_Strict):
    """A bucket; its real name is in the environment variable `variable`."""

    variable: str
    notifications: list[Notification] = Field(default_factory=list)


class DeliveryPolicy(_Strict):
    """How push subscriptions deliver; times in seconds."""

    ack_deadline: int
    minimum_backoff: int
    maximum_backoff: int
    max_attempts: int
    dead_letter_topic: str
    dead_letter_subscription: str


class Schedule(_Strict):
    """Cloud Scheduler publishes to `topic` every `every` seconds: whole minutes that divide the hour."""

    topic: str
    every: int = Field(ge=60, le=3600)

    @field_validator("every")
    @classmethod
    def _divides_the_hour(cls, seconds: int) -> int:
        if seconds % 60 or 3600 % seconds:
            raise ValueError("is not a number of whole minutes that divides an hour")
        return seconds

    def cron(self) -> str:
        """As unix-cron, the form Cloud Scheduler takes."""
        minutes = self.every // 60
        return "0 * * * *" if minutes == 60 else f"*/{minutes} * * * *"

    def message(self) -> OutgoingMessage:
        """What is published: the topic says it all."""
        return OutgoingMessage(self.topic, b"{}")


class Role(_Strict):
    """An IAM role on one resource: `project`, `bucket/…`, `topic/…` or `account/…`.

    `prefix`: of a bucket, only the objects whose names start with it (an IAM condition).
    """

    role: str
    resource: str
    prefix: str | None = None


class Account(_Strict):
    """A service account beside the functions' own; its name is in the environment variable `variable`."""

    variable: str
    roles: list[Role]


class Queue(_Strict):
    """A Cloud Tasks queue; its whole name is in the environment variable `variable`."""

    variable: str


class Function(_Strict):
    """One deployed function: an event function has `triggers` (topics), an HTTP function `routes`. `memory` in MiB."""

    triggers: list[str] = Field(default_factory=list)
    routes: list[str] = Field(default_factory=list)
    public: bool = False
    publishes: list[str] = Field(default_factory=list)
    settings: str
    variables: list[str] = Field(default_factory=list)
    secrets: list[str] = Field(default_factory=list)
    environment: dict[str, str] = Field(default_factory=dict)
    memory: int
    cpu: float
    timeout: int
    concurrency: int
    max_instances: int
    files: list[str] = Field(default_factory=list)
    roles: list[Role]

    def own_environment(self) -> dict[str, str]:
        """The constants of its environment, and its size, by which it estimates what it costs."""
        return {**self.environment, "FUNCTION_CPU": f"{self.cpu:g}", "FUNCTION_MEMORY_MIB": str(self.memory)}


class IndexDeclaration(_Strict):
    """A composite index; a leading `-` means descending."""

    collection: str
    fields: list[str]

    def as_index(self) -> Index:
        """As the ports want it."""
        return Index(self.collection, tuple(Order(f.removeprefix("-"), f.startswith("-")) for f in self.fields))


class Topology(_Strict):
    """The whole of `pipeline.yaml`. `secrets`: environment variables, each with the name of its secret."""

    runtime: str
    topics: list[str]
    buckets: dict[str, Bucket]
    common_variables: list[str]
    emulator_variables: list[str]
    secrets: dict[str, str]
    accounts: dict[str, Account]
    schedules: list[Schedule]
    queues: dict[str, Queue]
    delivery: DeliveryPolicy
    functions: dict[str, Function]
    indexes: list[IndexDeclaration]

    def event_functions(self) -> dict[str, Function]:
        """Those with a trigger."""
        return {name: function for name, function in self.functions.items() if function.triggers}

    def http_functions(self) -> dict[str, Function]:
        """Those with routes."""
        return {name: function for name, function in self.functions.items() if function.routes}

    def document_indexes(self) -> list[Index]:
        """The declared composite indexes."""
        return [declaration.as_index() for declaration in self.indexes]


def subscription_name(function: str, topic: str) -> str:
    """The push subscription of an event function."""
    return f"{function}-on-{topic}"


class _EachKeyOnce(yaml.SafeLoader):
    """YAML in which the second of two equal keys does not silently win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping. Raises yaml's ConstructorError."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for number, key in enumerate(keys):
            if key in keys[:number]:
                where = node.value[number][0].start_mark
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} is there twice", where)
        return super().construct_mapping(node, deep)


@cache
def load(path: Path = PIPELINE) -> Topology:
    """The topology, read once a process.

    Raises pydantic's ValidationError, which names every wrong place, and yaml's errors.
    """
    content: Any = yaml.load(path.read_text(), _EachKeyOnce)  # noqa: S506 - it is a safe loader
    return Topology.model_validate(content)
