"""Reads `pipeline.yaml`, the one topology, into typed records. Unknown or missing keys are errors."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from shared.ports import Index, Order, OutgoingMessage, Unindexed

ROOT = Path(__file__).resolve().parent.parent
PIPELINE = ROOT / "infra" / "pipeline.yaml"


Platform = Literal["function", "service"]

# https://cloud.google.com/run/docs/configuring/services/cpu: CPUs, and the least and most MiB that go with them.
# Parts of a CPU stand for themselves and all between them and the next.
MEMORY_OF_CPUS = {
    0.08: (128, 512),
    0.5: (128, 1024),
    1.0: (128, 4096),
    2.0: (128, 8192),
    4.0: (2048, 16384),
    6.0: (4096, 24576),
    8.0: (4096, 32768),
}

LONGEST_PUSH = 540
"""Seconds: a push must be over well before Pub/Sub's longest acknowledgement deadline of 600."""

LONGEST_REQUEST = 3600
"""Seconds, of Cloud Run."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Notification(_Strict):
    """Finalised objects whose name starts with `prefix` are announced on `topic`."""

    prefix: str
    topic: str


class LifecycleRule(_Strict):
    """What the bucket does by itself with an object `after_days` of its age, if its name starts with `prefix`.

    `delete_noncurrent` counts from when a newer version took its place, and keeps the three newest in any case.
    """

    action: Literal["delete", "delete_noncurrent", "nearline"]
    after_days: int = Field(ge=1)
    prefix: str | None = None


class Bucket(_Strict):
    """A bucket; its real name is in the environment variable `variable`.

    `public`: a deployment may let anybody read its objects, if they know their names. `versioned`: it keeps what is
    overwritten. `browser_methods`: what pages of the allowed origins may do there with signed URLs.
    """

    variable: str
    public: bool = False
    versioned: bool = False
    browser_methods: list[Literal["GET", "HEAD", "POST", "PUT"]] = Field(default_factory=list)
    lifecycle: list[LifecycleRule] = Field(default_factory=list)
    notifications: list[Notification] = Field(default_factory=list)


class DeliveryPolicy(_Strict):
    """How push subscriptions deliver; times in seconds.

    `retention`: how long what nobody takes is kept; `retention_of` says otherwise for single topics.
    """

    ack_deadline: int = Field(ge=10, le=600)
    minimum_backoff: int = Field(ge=0, le=600)
    maximum_backoff: int = Field(ge=0, le=600)
    max_attempts: int = Field(ge=5, le=100)
    retention: int = Field(ge=600, le=2_678_400)
    retention_of: dict[str, int] = Field(default_factory=dict)
    dead_letter_topic: str
    dead_letter_subscription: str
    dead_letter_retention: int = Field(ge=600, le=2_678_400)


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
    """An IAM role on one resource: `project`, `bucket/…`, `topic/…`, `queue/…` or `account/…`.

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
    """A Cloud Tasks queue; its whole name is in the environment variable `variable`.

    `rate`: tasks started a second; `concurrency`: at a time. A failed task waits `minimum_backoff` seconds, then twice
    as long each time up to `maximum_backoff`, and is dropped after `max_attempts`.
    """

    variable: str
    rate: int = Field(ge=1, le=500)
    concurrency: int = Field(ge=1, le=5000)
    max_attempts: int = Field(ge=1)
    minimum_backoff: int = Field(ge=1)
    maximum_backoff: int = Field(ge=1)


class Function(_Strict):
    """One deployed function: an event function has `triggers` (topics), an HTTP function `routes`. `memory` in MiB.

    `platform` `service`: a plain Cloud Run service, started by its `Procfile`: functions-framework has no WebSocket.
    """

    platform: Platform = "function"
    triggers: list[str] = Field(default_factory=list)
    routes: list[str] = Field(default_factory=list)
    file_routes: list[str] = Field(default_factory=list)
    requests_per_minute: int = Field(default=100, gt=0)
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
    min_instances: int = Field(default=0, ge=0)
    max_instances: int = Field(ge=1)
    files: list[str] = Field(default_factory=list)
    roles: list[Role]

    @model_validator(mode="after")
    def _is_what_cloud_run_takes(self) -> Function:
        least, most = memory_range(self.cpu)
        if not least <= self.memory <= most:
            raise ValueError(f"memory: with {self.cpu:g} CPU there are {least} to {most} MiB")
        if self.concurrency > 1 and self.cpu < 1:
            raise ValueError("concurrency: several requests at a time need a whole CPU")
        longest = LONGEST_PUSH if self.triggers else LONGEST_REQUEST
        if not 1 <= self.timeout <= longest:
            raise ValueError(f"timeout: is not 1 to {longest} seconds")
        if self.min_instances > self.max_instances:
            raise ValueError("min_instances: is more than max_instances")
        return self

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


class Expiry(_Strict):
    """Documents of `collection` are worthless once the time in their `field` has come: the store may remove them."""

    collection: str
    field: str


class Exemption(_Strict):
    """Top-level fields of a collection that no query needs an index of their own of."""

    collection: str
    fields: list[str]


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
    expiry: list[Expiry]
    unindexed: list[Exemption]

    def event_functions(self) -> dict[str, Function]:
        """Those with a trigger."""
        return {name: function for name, function in self.functions.items() if function.triggers}

    def http_functions(self) -> dict[str, Function]:
        """Those with routes."""
        return {name: function for name, function in self.functions.items() if function.routes}

    def document_indexes(self) -> list[Index | Unindexed]:
        """The declared composite indexes, and the fields that have none of their own."""
        exempt = [Unindexed(each.collection, field) for each in self.unindexed for field in each.fields]
        return [*(declaration.as_index() for declaration in self.indexes), *exempt]


def memory_range(cpus: float) -> tuple[int, int]:
    """The least and the most MiB with so many CPUs. Raises ValueError where there are no such instances."""
    known = [number for number in MEMORY_OF_CPUS if number <= cpus]
    if not known or (cpus >= 1 and cpus not in MEMORY_OF_CPUS):
        raise ValueError(f"cpu: there are no instances of {cpus:g} CPU")
    return MEMORY_OF_CPUS[max(known)]


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
