"""What an auditor would object to in a deployment: rules over what Terraform would make, and the topology.

`findings(shown, topology)` is pure. `python -m infra.checks audit` applies the Terraform to the stand-in for the
provider, where every value is known, and prints what this finds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from infra.audit import access, compute, messaging, storage
from infra.audit.deployment import Deployment, Finding
from infra.topology import Topology

Rule = Callable[[Deployment], Iterator[Finding]]

RULES: tuple[Rule, ...] = (
    access.nobody_anonymous,
    access.nobody_from_outside,
    access.no_wide_roles,
    access.nothing_is_granted_to_default_accounts,
    access.no_policy_is_replaced,
    access.no_keys,
    access.accounts_have_what_the_topology_grants,
    access.nobody_else_acts_as_an_account,
    access.secrets_are_read_by_who_names_them,
    access.others_are_granted_little,
    messaging.topics_are_the_topologys,
    messaging.every_trigger_has_a_subscription,
    messaging.nothing_expires,
    messaging.pushes_are_delivered_as_declared,
    messaging.every_pusher_is_its_own,
    messaging.dead_letters_are_kept,
    messaging.notifications_are_the_topologys,
    messaging.schedules_are_the_topologys,
    messaging.queues_are_the_topologys,
    storage.buckets_are_the_topologys,
    storage.buckets_are_closed,
    storage.cors_is_for_the_media_alone,
    storage.the_database_is_safe,
    storage.indexes_are_the_topologys,
    storage.fields_are_the_topologys,
    storage.secrets_are_the_topologys,
    storage.keys_are_rotated,
    storage.one_key_encrypts_all,
    storage.reads_and_writes_are_logged,
    compute.functions_are_the_topologys,
    compute.services_are_the_topologys,
    compute.everything_has_its_own_account,
    compute.environments_are_the_topologys,
    compute.required_settings_are_there,
    compute.services_are_reached_through_the_balancer,
    compute.what_is_public_is_called_by_everybody,
    compute.the_edge_speaks_tls,
    compute.the_edge_is_guarded,
)


def findings(shown: Mapping[str, Any], topology: Topology) -> list[Finding]:
    """Everything to object to in what `terraform show -json` told of a state or a plan."""
    deployment = Deployment(shown, topology)
    return [finding for rule in RULES for finding in rule(deployment)]
