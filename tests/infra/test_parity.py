"""The topology grants each function what its code asks for: nothing that it needs is missing, nothing is to spare."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import pkgutil

import pytest

import shared
from infra import topology
from infra.topology import Role
from shared import messages

DECLARED = topology.load()
FUNCTIONS = sorted(DECLARED.functions)

NEEDS = {
    "bus.connect": "publish",
    "documents.connect": "documents",
    "fcm.connect": "push",
    "gemini.connect": "models",
    "health.TopicCheck": "topic",
    "language.connect": "quota",
    "signing.for_evidence": "sign evidence",
    "signing.for_uploads": "sign uploads",
    "timers.connect": "timers",
    "video_intelligence.connect": "quota",
    "vision.connect": "quota",
}
"""What a function may have to do, by what its `main.py` connects to."""

NEEDS_NOTHING = {"blobs.connect", "firebase_identities.connect", "routed_blobs.connect"}
"""Of the buckets, further below; tokens are checked with keys that everybody may read."""

GIVES = {
    ("roles/aiplatform.user", "project"): "models",
    ("roles/cloudtasks.enqueuer", "queue/timers"): "timers",
    ("roles/datastore.user", "project"): "documents",
    ("roles/datastore.viewer", "project"): "documents",
    ("roles/firebasecloudmessaging.admin", "project"): "push",
    ("roles/iam.serviceAccountTokenCreator", "account/evidence-signer"): "sign evidence",
    ("roles/iam.serviceAccountTokenCreator", "account/signer"): "sign uploads",
    ("roles/iam.serviceAccountUser", "account/timer"): "timers",
    ("roles/serviceusage.serviceUsageConsumer", "project"): "quota",
}
"""What a role is for; publishing and buckets are granted one by one."""


def main_of(function: str) -> ast.Module:
    return ast.parse((topology.ROOT / "functions" / function / "main.py").read_text())


def adapters_of(function: str) -> set[str]:
    """The modules of Google's adapters that the function composes."""
    return {
        alias.name
        for node in ast.walk(main_of(function))
        if isinstance(node, ast.ImportFrom) and node.module == "shared.adapters.google"
        for alias in node.names
    }


def named_in(function: str) -> set[str]:
    """What of the adapters the function uses, as `module.name`."""
    adapters = adapters_of(function)
    return {
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(main_of(function))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in adapters
    }


def given(role: Role) -> str | None:
    if role.resource.startswith("topic/"):
        return {"roles/pubsub.publisher": "publish", "roles/pubsub.viewer": "topic"}[role.role]
    return None if role.resource.startswith("bucket/") else GIVES[role.role, role.resource]


def needed(function: str) -> set[str]:
    return {NEEDS[name] for name in named_in(function) - NEEDS_NOTHING}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_may_do_what_its_adapters_do_and_nothing_else(function: str) -> None:
    roles = {given(role) for role in DECLARED.functions[function].roles} - {None}
    assert roles == needed(function)


def test_a_role_that_no_adapter_needs_is_seen() -> None:
    generous = Role(role="roles/aiplatform.user", resource="project")
    assert given(generous) not in needed("ingest")


NAMES_ONLY = {"annotate": {"media"}}
"""Buckets that a function only speaks of: work on uploads is known by where they lie."""


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_reaches_the_buckets_that_it_is_told_the_names_of(function: str) -> None:
    granted = {
        role.resource.removeprefix("bucket/")
        for role in DECLARED.functions[function].roles
        if role.resource.startswith("bucket/")
    }
    told = {
        name for name, bucket in DECLARED.buckets.items() if bucket.variable in DECLARED.functions[function].variables
    }
    assert granted == told - NAMES_ONLY.get(function, set())
    assert bool(granted) == bool({"blobs", "routed_blobs"} & adapters_of(function))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_who_only_reads_documents_is_only_asked_to_read(function: str) -> None:
    declared = DECLARED.functions[function]
    if "roles/datastore.viewer" in {role.role for role in declared.roles}:
        assert {route.partition(" ")[0] for route in declared.routes} == {"GET"}


def test_every_message_has_a_topic_and_every_topic_a_message() -> None:
    """What is only told by the clock has nothing to say but its name."""
    told = {
        message.TOPIC
        for _, message in inspect.getmembers(messages, dataclasses.is_dataclass)
        if hasattr(message, "TOPIC")
    }
    assert told | {schedule.topic for schedule in DECLARED.schedules} == set(DECLARED.topics)


def test_every_beginning_of_names_is_one_that_the_code_uses() -> None:
    constants = {
        value
        for module in pkgutil.walk_packages(shared.__path__, "shared.")
        if not module.name.startswith(("shared.adapters.", "shared.detection.t", "shared.detection.convert"))
        for name, value in vars(importlib.import_module(module.name)).items()
        if "PREFIX" in name and isinstance(value, str)
    }
    declared = {rule.prefix for bucket in DECLARED.buckets.values() for rule in bucket.notifications}
    declared |= {role.prefix for holder in holders() for role in holder if role.prefix is not None}
    assert declared - constants == set()


def holders() -> list[list[Role]]:
    declared = [each.roles for each in DECLARED.functions.values()]
    return declared + [each.roles for each in DECLARED.accounts.values()]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_role_is_granted_twice(function: str) -> None:
    roles = DECLARED.functions[function].roles
    assert len(roles) == len(set(map(repr, roles)))


def test_what_a_role_on_a_part_gives_is_not_given_on_the_whole_already() -> None:
    """A prefix beside the same role without one narrows nothing."""
    for roles in holders():
        whole = {(role.role, role.resource) for role in roles if role.prefix is None}
        assert not [role for role in roles if role.prefix is not None and (role.role, role.resource) in whole]
