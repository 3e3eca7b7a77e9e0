"""What a deployment consists of, read from what `terraform show -json` tells of a state or a plan.

It judges nothing; the rules beside it do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from infra.topology import Topology

ACCOUNT_PREFIX = "sightline-"
"""What the ids of all service accounts begin with; the rest is the topology's name."""

_GRANT = re.compile(r"^google_(?P<kind>\w+?)_iam_(?P<form>member|binding|policy|audit_config)$")
_PREFIX = re.compile(
    r'^resource\.name\.startsWith\("projects/_/buckets/(?P<bucket>[^/"]+)/objects/(?P<prefix>[^"]+)"\)$'
)

# The argument that names what a role is granted on, by the kind of resource.
_TARGET_ARGUMENTS = {
    "artifact_registry_repository": "repository",
    "billing_account": "billing_account_id",
    "cloud_run_service": "service",
    "cloud_run_v2_service": "name",
    "cloud_tasks_queue": "name",
    "cloudfunctions2_function": "cloud_function",
    "kms_crypto_key": "crypto_key_id",
    "kms_key_ring": "key_ring_id",
    "project": "project",
    "pubsub_subscription": "subscription",
    "pubsub_topic": "topic",
    "secret_manager_secret": "secret_id",
    "service_account": "service_account_id",
    "storage_bucket": "bucket",
}


@dataclass(frozen=True)
class Finding:
    """Something an auditor objects to: which rule, where in the Terraform, and what is wrong."""

    rule: str
    address: str
    text: str

    def __str__(self) -> str:
        return f"{self.address}: {self.text} ({self.rule})"


@dataclass(frozen=True)
class Resource:
    """One managed resource. `values` are its arguments and attributes; what is not known yet is absent or None."""

    address: str
    type: str
    values: Mapping[str, Any]

    def get(self, name: str) -> Any:
        """An argument, None where it is not said."""
        return self.values.get(name)

    def block(self, name: str) -> Mapping[str, Any]:
        """The only block of this name, empty where there is none."""
        found = self.values.get(name) or [{}]
        block: Mapping[str, Any] = found[0] if isinstance(found, list) else found
        return block


@dataclass(frozen=True)
class Grant:
    """A role that one member has on one resource. `kind` is the resource's type without `google_`.

    `target` is the resource's own name, `condition` the expression of an IAM condition, empty without one.
    """

    address: str
    kind: str
    target: str
    role: str
    member: str
    condition: str = ""

    @property
    def account(self) -> str | None:
        """The topology's name of the service account that is the member, None where it is none of ours."""
        return account_of(self.member.removeprefix("serviceAccount:"))

    @property
    def prefix(self) -> str | None:
        """The beginning of the objects' names that the condition allows, None where it is another one or none."""
        found = _PREFIX.match(self.condition)
        return found["prefix"] if found and found["bucket"] == self.target else None


def account_of(email: str | None) -> str | None:
    """The topology's name of one of our service accounts by its e-mail address or full name; None for any other."""
    local, at, _ = (email or "").rpartition("/")[2].partition("@")
    return local.removeprefix(ACCOUNT_PREFIX) if at and local.startswith(ACCOUNT_PREFIX) else None


def is_agent(member: str, service: str) -> bool:
    """Whether a member is Google's own account of a service in some project."""
    return member.startswith("serviceAccount:") and member.endswith(f"@gcp-sa-{service}.iam.gserviceaccount.com")


def last_part(name: str | None) -> str:
    """`topic` of `projects/p/topics/topic`; a bare name as it is."""
    return (name or "").rpartition("/")[2]


class Deployment:
    """All resources of a state or a plan, and the topology that they are to be."""

    def __init__(self, shown: Mapping[str, Any], topology: Topology) -> None:
        """`shown`: the whole answer of `terraform show -json`."""
        self.topology = topology
        values = shown.get("planned_values") or shown.get("values") or {}
        self.resources = tuple(_resources(values.get("root_module", {})))

    def of(self, *types: str) -> list[Resource]:
        """The resources of these types, named without `google_`."""
        wanted = {f"google_{name}" for name in types}
        return [resource for resource in self.resources if resource.type in wanted]

    @cached_property
    def grants(self) -> tuple[Grant, ...]:
        """Every role that anybody has on anything."""
        return tuple(grant for resource in self.resources for grant in _grants(resource))

    @cached_property
    def bucket_keys(self) -> dict[str, str]:
        """The topology's key of every bucket by its real name: what follows the prefix that all have in common."""
        return {
            str(bucket.get("name")): str(bucket.get("name")).rpartition("-")[2] for bucket in self.of("storage_bucket")
        }


def _resources(module: Mapping[str, Any]) -> Iterator[Resource]:
    for found in module.get("resources", []):
        if found["mode"] == "managed":
            yield Resource(found["address"], found["type"], found["values"])
    for child in module.get("child_modules", []):
        yield from _resources(child)


def _grants(resource: Resource) -> Iterator[Grant]:
    matched = _GRANT.match(resource.type)
    if not matched or matched["form"] == "audit_config":
        return
    kind = matched["kind"]
    target = resource.get(_TARGET_ARGUMENTS.get(kind, ""))
    members = resource.get("members") if matched["form"] == "binding" else [resource.get("member")]
    for member in members or [None]:
        yield Grant(
            resource.address,
            kind,
            last_part(target),
            str(resource.get("role")),
            str(member),
            str(resource.block("condition").get("expression") or ""),
        )
