"""An auditor finds nothing in what Terraform would make, and finds every fault that is put into it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from infra import audit, checks, terraform, topology
from infra.audit.deployment import Deployment, account_of, last_part

pytestmark = pytest.mark.xdist_group("terraform")

DECLARED = topology.load()

Shown = dict[str, Any]
Values = dict[str, Any]


@pytest.fixture(scope="module")
def states(made: Mapping[str, terraform.Made]) -> Mapping[str, Shown]:
    """What would be there after an apply, under every set of variables."""
    return {name: each.applied for name, each in made.items()}


@pytest.fixture
def shown(states: Mapping[str, Shown]) -> Shown:
    """The fullest deployment, to be spoiled."""
    return copy.deepcopy(states["full"])


@pytest.mark.parametrize("name", checks.ENVIRONMENTS)
def test_there_is_nothing_to_object_to_but_what_is_accepted(states: Mapping[str, Shown], name: str) -> None:
    """And what is accepted is really objected to, or nobody would have to accept it."""
    rules = {finding.rule for finding in audit.findings(states[name], DECLARED)}
    assert rules == set(checks.ENVIRONMENTS[name].accepted)


def resources(module: Values) -> Iterator[Values]:
    yield from module.get("resources", [])
    for child in module.get("child_modules", []):
        yield from resources(child)


def first(shown: Shown, kind: str, **values: Any) -> Values:
    """The arguments of a resource of this type that has these values."""
    for found in resources(shown["values"]["root_module"]):
        if found["type"] == f"google_{kind}" and all(found["values"].get(key) == values[key] for key in values):
            arguments: Values = found["values"]
            return arguments
    raise LookupError(f"no {kind} with {values}")


def add(shown: Shown, kind: str, **values: Any) -> None:
    found = {"mode": "managed", "address": f"google_{kind}.added", "type": f"google_{kind}", "values": values}
    shown["values"]["root_module"].setdefault("resources", []).append(found)


def remove(shown: Shown, kind: str, **values: Any) -> None:
    gone = first(shown, kind, **values)

    def without(module: Values) -> None:
        module["resources"] = [each for each in module.get("resources", []) if each["values"] is not gone]
        for child in module.get("child_modules", []):
            without(child)

    without(shown["values"]["root_module"])


def granted(kind: str, role: str, member: str, **target: Any) -> Callable[[Shown], None]:
    return lambda shown: add(shown, f"{kind}_iam_member", role=role, member=member, condition=[], **target)


def setting(kind: str, path: str, value: Any, **values: Any) -> Callable[[Shown], None]:
    """Sets one argument of one resource; `block.argument` for one in a block."""

    def change(shown: Shown) -> None:
        place: Any = first(shown, kind, **values)
        *blocks, argument = path.split(".")
        for block in blocks:
            place = place[block][0] if isinstance(place[block], list) else place[block]
        assert place.get(argument) != value, "nothing would be spoiled"
        place[argument] = value

    return change


def removed(kind: str, **values: Any) -> Callable[[Shown], None]:
    return lambda shown: remove(shown, kind, **values)


def added(kind: str, **values: Any) -> Callable[[Shown], None]:
    return lambda shown: add(shown, kind, **values)


PROJECT = "sightline-example"
DETECT = f"serviceAccount:sightline-detect@{PROJECT}.iam.gserviceaccount.com"
PUBSUB = "serviceAccount:service-1@gcp-sa-pubsub.iam.gserviceaccount.com"
DEFAULT = "serviceAccount:1-compute@developer.gserviceaccount.com"
MEDIA, EVIDENCE = f"{PROJECT}-media", f"{PROJECT}-evidence"
HELD = DECLARED.delivery.dead_letter_subscription
MAIN_DATABASE = "(default)"

SPOILED: list[tuple[str, Callable[[Shown], None], str]] = [
    ("nobody anonymous", granted("cloud_run_v2_service", "roles/run.invoker", "allUsers", name="detect"), "allUsers"),
    ("nobody anonymous", granted("storage_bucket", "roles/storage.objectViewer", "allUsers", bucket=MEDIA), "allUsers"),
    (
        "nobody anonymous",
        granted("storage_bucket", "roles/storage.objectViewer", "allUsers", bucket=EVIDENCE),
        "objectViewer",
    ),
    (
        "nobody anonymous",
        granted("pubsub_topic", "roles/pubsub.publisher", "allAuthenticatedUsers", topic="alert-due"),
        "allAuthenticatedUsers",
    ),
    (
        "nobody from outside",
        granted("storage_bucket", "roles/storage.objectViewer", "user:a@example.org", bucket=MEDIA),
        "user:a@example.org",
    ),
    (
        "nobody from outside",
        granted("storage_bucket", "roles/storage.objectViewer", "domain:example.org", bucket=MEDIA),
        "domain:example.org",
    ),
    (
        "nobody from outside",
        granted("project", "roles/datastore.user", DETECT.replace(PROJECT, "another"), project=PROJECT),
        "@another.",
    ),
    (
        "no wide roles",
        granted("project", "roles/iam.serviceAccountTokenCreator", DETECT, project=PROJECT),
        "stands for every account",
    ),
    ("no wide roles", granted("project", "roles/editor", DETECT, project=PROJECT), "whole project"),
    ("no wide roles", granted("project", "roles/storage.objectViewer", DETECT, project=PROJECT), "whole project"),
    ("no wide roles", granted("folder", "roles/datastore.user", DETECT, folder="1"), "above the project"),
    ("no wide roles", granted("storage_bucket", "roles/storage.admin", DETECT, bucket=MEDIA), "change who has access"),
    (
        "no default accounts",
        granted("pubsub_topic", "roles/pubsub.publisher", DEFAULT, topic="alert-due"),
        "-compute@",
    ),
    ("no policy is replaced", added("storage_bucket_iam_binding", role="r", members=[], bucket=MEDIA), "one by one"),
    ("no policy is replaced", added("project_iam_policy", policy_data="{}", project=PROJECT), "one by one"),
    ("no keys", added("service_account_key", service_account_id="x"), "long-lived"),
    (
        "granted as declared",
        granted("storage_bucket", "roles/storage.objectUser", DETECT, bucket=MEDIA),
        "which pipeline.yaml does not say",
    ),
    ("granted as declared", removed("project_iam_member", role="roles/datastore.user", member=DETECT), "lacks"),
    (
        "granted as declared",
        setting("storage_bucket_iam_member", "condition", [], role="roles/storage.objectCreator"),
        "lacks roles/storage.objectCreator",
    ),
    (
        "acting as others",
        granted(
            "service_account",
            "roles/iam.serviceAccountTokenCreator",
            DEFAULT,
            service_account_id=f"projects/{PROJECT}/serviceAccounts/sightline-signer@{PROJECT}.iam.gserviceaccount.com",
        ),
        "sightline-signer@",
    ),
    (
        "acting as others",
        granted(
            "service_account",
            "roles/iam.serviceAccountTokenCreator",
            PUBSUB,
            service_account_id=f"projects/{PROJECT}/serviceAccounts/sightline-detect@{PROJECT}.iam.gserviceaccount.com",
        ),
        "sightline-detect@",
    ),
    (
        "secrets",
        granted("secret_manager_secret", "roles/secretmanager.secretAccessor", DETECT, secret_id="sightline-api-token"),
        "secretAccessor on sightline-api-token",
    ),
    ("secrets", removed("secret_manager_secret_iam_member", member=DETECT.replace("detect", "query")), "can't read"),
    ("secrets", removed("secret_manager_secret", secret_id="sightline-api-token"), "is missing"),
    ("secrets", added("secret_manager_secret_version", secret_data="hunter2"), "Terraform's state"),
    (
        "others are granted little",
        granted("pubsub_topic", "roles/pubsub.publisher", DETECT.replace("detect", "build"), topic="alert-due"),
        "build has roles/pubsub.publisher",
    ),
    ("topics", removed("pubsub_topic", name="media-uploaded"), "no such topic"),
    ("topics", added("pubsub_topic", name="gossip"), "knows no such topic"),
    ("subscriptions", removed("pubsub_subscription", name="detect-on-media-uploaded"), "no such subscription"),
    ("subscriptions", removed("pubsub_subscription", name=HELD), "no such subscription"),
    ("nothing expires", setting("pubsub_subscription", "expiration_policy", [], name=HELD), "deletes it"),
    (
        "nothing expires",
        setting("pubsub_subscription", "expiration_policy.ttl", "2678400s", name="detect-on-media-uploaded"),
        "deletes it",
    ),
    (
        "delivery",
        setting("pubsub_subscription", "push_config.oidc_token", [], name="detect-on-media-uploaded"),
        "no OIDC token",
    ),
    (
        "delivery",
        setting("pubsub_subscription", "push_config.push_endpoint", "http://x", name="detect-on-media-uploaded"),
        "no https",
    ),
    (
        "delivery",
        setting("pubsub_subscription", "ack_deadline_seconds", 10, name="detect-on-media-uploaded"),
        "deadline is not 600",
    ),
    (
        "delivery",
        setting("pubsub_subscription", "retry_policy", [], name="detect-on-media-uploaded"),
        "backoff is not",
    ),
    (
        "delivery",
        setting("pubsub_subscription", "dead_letter_policy", [], name="detect-on-media-uploaded"),
        "no dead-letter topic",
    ),
    (
        "delivery",
        setting(
            "pubsub_subscription", "dead_letter_policy.max_delivery_attempts", 100, name="detect-on-media-uploaded"
        ),
        "after 5 attempts",
    ),
    (
        "delivery",
        setting("pubsub_subscription", "message_retention_duration", "600s", name="detect-on-media-uploaded"),
        "does not keep",
    ),
    (
        "callers",
        granted("cloud_run_v2_service", "roles/run.invoker", DETECT.replace("detect", "push-detect"), name="ingest"),
        "may call",
    ),
    (
        "dead letters",
        setting("pubsub_subscription", "message_retention_duration", "600s", name=HELD),
        "does not keep them",
    ),
    (
        "dead letters",
        removed("pubsub_subscription_iam_member", subscription="detect-on-media-uploaded"),
        "roles/pubsub.subscriber",
    ),
    ("dead letters", removed("pubsub_topic_iam_member", topic="dead-letter"), "roles/pubsub.publisher"),
    (
        "notifications",
        setting("storage_notification", "event_types", ["OBJECT_DELETE"], object_name_prefix="media/"),
        "something else",
    ),
    ("notifications", removed("storage_notification", object_name_prefix="media/"), "is missing"),
    ("schedules", setting("cloud_scheduler_job", "schedule", "0 0 * * *", name="maintenance-due"), "is missing"),
    ("queues", removed("cloud_tasks_queue", name="timers"), "is missing"),
    ("buckets", removed("storage_bucket", name=MEDIA), "no such bucket"),
    ("buckets", added("storage_bucket", name=f"{PROJECT}-scratch"), "knows no such bucket"),
    (
        "buckets are closed",
        setting("storage_bucket", "uniform_bucket_level_access", False, name=MEDIA),
        "access lists of their own",
    ),
    (
        "buckets are closed",
        setting("storage_bucket", "public_access_prevention", "inherited", name=MEDIA),
        "not prevented",
    ),
    (
        "buckets are closed",
        setting("storage_bucket", "soft_delete_policy.retention_duration_seconds", 0, name=MEDIA),
        "neither versions",
    ),
    ("buckets are closed", setting("storage_bucket", "force_destroy", True, name=MEDIA), "destroyed"),
    ("buckets are closed", setting("storage_bucket", "cors.origin", ["*"], name=MEDIA), "every web page"),
    ("buckets are closed", setting("storage_bucket", "lifecycle_rule", [], name=MEDIA), "nothing ends"),
    (
        "cors",
        setting("storage_bucket", "cors", [{"origin": ["https://a.example"]}], name=f"{PROJECT}-models"),
        "browsers",
    ),
    ("database", setting("firestore_database", "delete_protection_state", "DELETE_PROTECTION_DISABLED"), "delete_prot"),
    ("database", setting("firestore_database", "point_in_time_recovery_enablement", None), "point_in_time"),
    ("database", removed("firestore_database"), "there are 0"),
    ("database", removed("firestore_backup_schedule"), "nothing saves"),
    ("database", removed("firebaserules_release"), "not in force"),
    ("indexes", removed("firestore_index", collection="replays"), "is missing"),
    ("indexes", setting("firestore_index", "collection", "gossip", collection="replays"), "is not declared"),
    ("fields", removed("firestore_field", collection="verdicts", field="expires_at"), "do not expire"),
    ("fields", removed("firestore_field", collection="assets", field="context"), "is indexed"),
    ("keys", added("kms_crypto_key", rotation_period=None), "not rotated"),
    ("one key", setting("pubsub_topic", "kms_key_name", None, name="alert-due"), "customer's key"),
    ("one key", setting("storage_bucket", "encryption", [], name=MEDIA), "customer's key"),
    ("audit logs", removed("project_iam_audit_config", service="storage.googleapis.com"), "is not logged"),
    ("functions", removed("cloudfunctions2_function", name="detect"), "is missing"),
    ("functions", setting("cloudfunctions2_function", "service_config.timeout_seconds", 60, name="detect"), "timeout"),
    (
        "functions",
        setting("cloudfunctions2_function", "service_config.available_memory", "4Gi", name="detect"),
        "not 1024 MiB",
    ),
    (
        "functions",
        setting("cloudfunctions2_function", "service_config.ingress_settings", "ALLOW_ALL", name="query"),
        "ALLOW_INTERNAL_AND_GCLB",
    ),
    (
        "functions",
        setting("cloudfunctions2_function", "event_trigger", [{"event_type": "x"}], name="detect"),
        "Eventarc",
    ),
    ("functions", setting("cloudfunctions2_function", "build_config.runtime", "python39", name="detect"), "python39"),
    ("services", setting("cloud_run_v2_service", "template.timeout", "60s", name="live"), "times"),
    ("services", setting("cloud_run_v2_service", "template.scaling.max_instance_count", 999, name="live"), "bounds"),
    (
        "own account",
        setting(
            "cloudfunctions2_function",
            "service_config.service_account_email",
            DETECT.removeprefix("serviceAccount:"),
            name="ingest",
        ),
        "runs as",
    ),
    (
        "own account",
        setting("cloudfunctions2_function", "build_config.service_account", None, name="ingest"),
        "default account",
    ),
    ("own account", setting("cloud_run_v2_service", "template.service_account", None, name="live"), "runs as"),
    (
        "environment",
        setting(
            "cloudfunctions2_function", "service_config.environment_variables.SIGHTLINE_API_TOKEN", "t", name="query"
        ),
        "looks like a secret",
    ),
    (
        "environment",
        setting(
            "cloudfunctions2_function", "service_config.environment_variables.VISION_ENDPOINT", "t", name="moderate"
        ),
        "leads to an emulator",
    ),
    (
        "environment",
        setting("cloudfunctions2_function", "service_config.environment_variables.FUNCTION_CPU", "9", name="detect"),
        "FUNCTION_CPU is '9'",
    ),
    (
        "environment",
        setting("cloudfunctions2_function", "service_config.environment_variables.MEDIA_BUCKET", None, name="detect"),
        "MEDIA_BUCKET is not set",
    ),
    ("ingress", setting("cloud_run_v2_service", "ingress", "INGRESS_TRAFFIC_ALL", name="live"), "ingress is"),
    ("invokers", removed("cloud_run_v2_service_iam_member", name="query", member="allUsers"), "lets nobody"),
    ("tls", setting("compute_ssl_policy", "min_tls_version", "TLS_1_0"), "old versions"),
    ("tls", setting("compute_target_https_proxy", "ssl_policy", None), "which TLS"),
    ("tls", setting("compute_url_map", "default_url_redirect", [], name="sightline-to-https"), "without TLS"),
    ("guard", setting("compute_backend_service", "security_policy", None), "no security policy"),
]


@pytest.mark.parametrize(("rule", "spoil", "text"), SPOILED, ids=[f"{rule}: {text}" for rule, _, text in SPOILED])
def test_a_fault_is_found(shown: Shown, rule: str, spoil: Callable[[Shown], None], text: str) -> None:
    before = audit.findings(shown, DECLARED)
    spoil(shown)
    fresh = [finding for finding in audit.findings(shown, DECLARED) if finding not in before]
    assert [str(finding) for finding in fresh if finding.rule == rule and text in finding.text], fresh


def test_every_rule_is_proven_by_a_fault() -> None:
    """Rules yield findings under the names that the faults above are found by."""
    names = {name for rule in audit.RULES for name in rule.__code__.co_consts if isinstance(name, str)}
    proven = {rule for rule, _, _ in SPOILED}
    assert proven <= names
    assert not [rule.__name__ for rule in audit.RULES if not proven & {*map(str, rule.__code__.co_consts)}]


def test_of_a_plan_the_planned_values_are_read() -> None:
    resource = {"mode": "managed", "address": "google_pubsub_topic.a", "type": "google_pubsub_topic", "values": {}}
    data = {**resource, "mode": "data"}
    planned = {"planned_values": {"root_module": {"child_modules": [{"resources": [resource, data]}]}}}
    assert [found.address for found in Deployment(planned, DECLARED).resources] == ["google_pubsub_topic.a"]


def test_an_empty_project_lacks_everything() -> None:
    rules = {finding.rule for finding in audit.findings({}, DECLARED)}
    assert {"topics", "subscriptions", "functions", "buckets", "database", "indexes", "secrets", "queues"} <= rules


@pytest.mark.parametrize(
    ("name", "account"),
    [
        (f"sightline-detect@{PROJECT}.iam.gserviceaccount.com", "detect"),
        (f"projects/{PROJECT}/serviceAccounts/sightline-signer@{PROJECT}.iam.gserviceaccount.com", "signer"),
        ("1-compute@developer.gserviceaccount.com", None),
        ("sightline-detect", None),
        (None, None),
    ],
)
def test_our_own_accounts_are_told_from_others(name: str | None, account: str | None) -> None:
    assert account_of(name) == account


def test_a_name_is_the_same_however_it_is_written() -> None:
    assert {last_part(name) for name in ("projects/p/topics/t", "google_pubsub_topic/t", "t")} == {"t"}
