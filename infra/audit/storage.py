"""Rules on what is kept: buckets, the database, its indexes, secrets and keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from infra.audit.deployment import Deployment, Finding, Resource

LONGEST_ROTATION = 90 * 86_400.0
"""Seconds until a key is replaced, at most."""


def buckets_are_the_topologys(deployment: Deployment) -> Iterator[Finding]:
    """One each; others hold what the deployment itself needs, by the names of `OTHER_BUCKETS`."""
    found = set(deployment.bucket_keys.values())
    for key in sorted(deployment.topology.buckets.keys() - found):
        yield Finding("buckets", key, "there is no such bucket")
    for key in sorted(found - deployment.topology.buckets.keys() - OTHER_BUCKETS.keys()):
        yield Finding("buckets", key, "pipeline.yaml knows no such bucket")


REBUILT = frozenset({"dashboard", "sources"})
"""Buckets whose files are made again from a checkout."""

OTHER_BUCKETS = {
    "dashboard": "the files of the web page, which hold nothing of anybody",
    "sources": "the bundles that functions are built from",
    "logs": "who read which object, where audit logs are kept apart",
}


def buckets_are_closed(deployment: Deployment) -> Iterator[Finding]:
    """Access by policies alone, public only for evidence and the dashboard, and a way back from a mistake."""
    for bucket in deployment.of("storage_bucket"):
        for text in _objections(bucket, deployment.bucket_keys[str(bucket.get("name"))], deployment):
            yield Finding("buckets are closed", bucket.address, text)


def _objections(bucket: Resource, key: str, deployment: Deployment) -> Iterator[str]:
    if bucket.get("uniform_bucket_level_access") is not True:
        yield "single objects may have access lists of their own"
    shown = any(g.member == "allUsers" and g.target == bucket.get("name") for g in deployment.grants)
    if bucket.get("public_access_prevention") != ("inherited" if shown else "enforced"):
        yield "public access is not prevented"
    if not _comes_back(bucket):
        yield "what is deleted or overwritten by mistake is gone: neither versions nor soft deletion"
    if bucket.get("force_destroy") and key not in REBUILT:
        yield "it is destroyed with everything in it"
    if any("*" in (rule.get("origin") or []) for rule in bucket.get("cors") or []):
        yield "every web page may speak to it"
    if not bucket.get("lifecycle_rule") and key != "dashboard":
        yield "nothing ends what it keeps: unfinished uploads, old versions"


def _comes_back(bucket: Resource) -> bool:
    soft = bucket.block("soft_delete_policy").get("retention_duration_seconds") or 0
    return bool(bucket.block("versioning").get("enabled")) or soft >= 7 * 86_400


def cors_is_for_the_media_alone(deployment: Deployment) -> Iterator[Finding]:
    """Browsers send uploads to the one bucket and to no other."""
    for bucket in deployment.of("storage_bucket"):
        if bucket.get("cors") and deployment.bucket_keys[str(bucket.get("name"))] != "media":
            yield Finding("cors", bucket.address, "browsers have nothing to send there")


def the_database_is_safe(deployment: Deployment) -> Iterator[Finding]:
    """One in native mode, which can't be deleted by mistake, can be put back to any minute, and is saved every day."""
    databases = deployment.of("firestore_database")
    if len(databases) != 1:
        yield Finding("database", "google_firestore_database", f"there are {len(databases)}")
    for database in databases:
        wanted = {
            "type": "FIRESTORE_NATIVE",
            "delete_protection_state": "DELETE_PROTECTION_ENABLED",
            "point_in_time_recovery_enablement": "POINT_IN_TIME_RECOVERY_ENABLED",
        }
        for argument, value in wanted.items():
            if database.get(argument) != value:
                yield Finding("database", database.address, f"{argument} is not {value}")
    if not deployment.of("firestore_backup_schedule"):
        yield Finding("database", "google_firestore_backup_schedule", "nothing saves the database")
    if not deployment.of("firebaserules_release"):
        yield Finding("database", "google_firebaserules_release", "the rules for browsers are not in force")


_Index = tuple[str, tuple[str, ...]]


def indexes_are_the_topologys(deployment: Deployment) -> Iterator[Finding]:
    """Each declared one is made, and none that is not."""
    wanted = {(index.collection, tuple(index.fields)) for index in deployment.topology.indexes}
    found = {_index(resource) for resource in deployment.of("firestore_index")}
    for collection, fields in sorted(wanted ^ found):
        where = "is missing" if (collection, fields) in wanted else "is not declared"
        yield Finding("indexes", collection, f"the index of {', '.join(fields)} {where}")


def _index(resource: Resource) -> _Index:
    fields = (field for field in resource.get("fields") or [] if field.get("field_path") != "__name__")
    return str(resource.get("collection")), tuple(
        ("-" if field.get("order") == "DESCENDING" else "") + str(field.get("field_path")) for field in fields
    )


def fields_are_the_topologys(deployment: Deployment) -> Iterator[Finding]:
    """Documents expire by the fields that the topology names, and those that are never asked for have no index."""
    topology = deployment.topology
    fields = deployment.of("firestore_field")
    expiring = {(each.get("collection"), each.get("field")) for each in fields if each.get("ttl_config")}
    wanted = {(each.collection, each.field) for each in topology.expiry}
    for collection, field in sorted(wanted ^ expiring, key=str):
        where = "do not expire" if (collection, field) in wanted else "expire, which is not declared"
        yield Finding("fields", str(collection), f"documents {where} by {field}")
    bare = {(each.get("collection"), each.get("field")) for each in fields if _has_no_index(each)}
    exempt = {(each.collection, field) for each in topology.unindexed for field in each.fields}
    for collection, field in sorted(exempt - bare, key=str):
        yield Finding("fields", str(collection), f"{field} is indexed, which nobody asks for")


def _has_no_index(field: Resource) -> bool:
    return bool(field.get("index_config")) and not field.block("index_config").get("indexes")


def secrets_are_the_topologys(deployment: Deployment) -> Iterator[Finding]:
    """Those it names. What is in them is no business of Terraform's, whose state would show it."""
    found = {str(secret.get("secret_id")) for secret in deployment.of("secret_manager_secret")}
    for name in sorted({*deployment.topology.secrets.values()} ^ found):
        yield Finding(
            "secrets", name, "is missing" if name in deployment.topology.secrets.values() else "is not declared"
        )
    for version in deployment.of("secret_manager_secret_version"):
        if version.get("secret_data"):
            yield Finding("secrets", version.address, "the secret itself lies in Terraform's state")


def keys_are_rotated(deployment: Deployment) -> Iterator[Finding]:
    """Where customer-managed keys are used, they are replaced every three months and never destroyed."""
    for key in deployment.of("kms_crypto_key"):
        period = str(key.get("rotation_period") or "").removesuffix("s")
        if not period or float(period) > LONGEST_ROTATION:
            yield Finding("keys", key.address, "it is not rotated every 90 days")


_KEYS = {
    "artifact_registry_repository": ("kms_key_name",),
    "cloud_run_v2_service": ("template", "encryption_key"),
    "cloudfunctions2_function": ("kms_key_name",),
    "firestore_database": ("cmek_config", "kms_key_name"),
    "pubsub_topic": ("kms_key_name",),
    "secret_manager_secret": (
        "replication",
        "user_managed",
        "replicas",
        "customer_managed_encryption",
        "kms_key_name",
    ),
    "storage_bucket": ("encryption", "default_kms_key_name"),
}
"""Where each type says by which key it is encrypted."""


def one_key_encrypts_all(deployment: Deployment) -> Iterator[Finding]:
    """Where a customer brings a key, nothing is stored by another: not the pictures, and not their messages."""
    keys = {
        resource.address: _key_of(resource)
        for resource in deployment.of(*_KEYS)
        if deployment.bucket_keys.get(str(resource.get("name"))) != "dashboard"
    }
    if any(keys.values()):
        for address in sorted(address for address, key in keys.items() if key is None):
            yield Finding("one key", address, "it is not encrypted by the customer's key")


def _key_of(resource: Resource) -> str | None:
    found: object = resource.values
    for name in _KEYS[resource.type.removeprefix("google_")]:
        inner = found[0] if isinstance(found, list) and found else found
        found = inner.get(name) if isinstance(inner, Mapping) else None
    return found if isinstance(found, str) and not found.startswith("stub-") else None


def reads_and_writes_are_logged(deployment: Deployment) -> Iterator[Finding]:
    """Who read or wrote pictures, documents and secrets is in the audit log."""
    logged = {
        (str(config.get("service")), str(entry.get("log_type")))
        for config in deployment.of("project_iam_audit_config")
        for entry in config.get("audit_log_config") or []
    }
    for service in ("storage.googleapis.com", "datastore.googleapis.com", "secretmanager.googleapis.com"):
        for kind in ("DATA_READ", "DATA_WRITE"):
            if not logged & {(service, kind), ("allServices", kind)}:
                yield Finding("audit logs", service, f"{kind} is not logged")
