"""What Terraform would keep data in: closed, restorable, encrypted as asked, and never emptied by a clock."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatch
from typing import Any

import pytest

from infra import checks, topology
from shared.adapters import blob_names
from shared.domain.assets import DIRECT_PREFIX
from tests.infra.planned import resources

pytestmark = pytest.mark.xdist_group("terraform")

DECLARED = topology.load()

LIBRARIES = {"tasks": "cloudtasks"}
"""What Google's client libraries call an API, where that is not the API's own name."""

NOT_DEPLOYED = {"generativelanguage", "www"}
"""Gemini by key, which the deployment does without, and the names of scopes."""


def by_key(planned: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The topology's buckets by their keys there."""
    found = {
        bucket["name"].removeprefix("sightline-example-"): bucket
        for bucket in resources(planned, "google_storage_bucket")
    }
    return {key: found[key] for key in DECLARED.buckets}


def environments(planned: dict[str, Any]) -> dict[str, dict[str, str]]:
    """What each function is told."""
    functions = resources(planned, "google_cloudfunctions2_function")
    return {found["name"]: found["service_config"][0]["environment_variables"] for found in functions}


def test_every_api_the_code_speaks_to_is_enabled(example_plan: dict[str, Any]) -> None:
    sources = [path.read_text() for path in (topology.ROOT / "shared").rglob("*.py")]
    spoken = _found(r"\b([a-z]+)\.googleapis\.com", sources) - NOT_DEPLOYED
    libraries = _found(r"\bgoogle\.cloud(?:\.| import )([a-z]+)", sources)
    enabled = {found["service"] for found in resources(example_plan, "google_project_service")}
    assert {"firestore", "vision"} <= libraries
    assert {f"{name}.googleapis.com" for name in spoken | {LIBRARIES.get(each, each) for each in libraries}} <= enabled


def _found(pattern: str, texts: Iterable[str]) -> set[str]:
    return {match for text in texts for match in re.findall(pattern, text)}


def test_only_files_of_dead_direct_analyses_end_by_their_age() -> None:
    """What a legal hold may keep is deleted by the application alone, which knows of holds."""
    ending = [
        (key, rule.prefix)
        for key, bucket in DECLARED.buckets.items()
        for rule in bucket.lifecycle
        if rule.action == "delete"
    ]
    assert ending == [("media", DIRECT_PREFIX)]
    assert not [
        key for key, bucket in DECLARED.buckets.items() if bucket.versioned and key not in {"library", "models"}
    ]


def test_what_is_deleted_by_mistake_can_be_restored(example_plan: dict[str, Any]) -> None:
    for key, bucket in by_key(example_plan).items():
        assert bucket["soft_delete_policy"][0]["retention_duration_seconds"] >= 7 * 86_400, key
        assert not bucket["force_destroy"], key


def test_no_bucket_is_public_unless_somebody_says_so(example_plan: dict[str, Any]) -> None:
    assert {bucket["public_access_prevention"] for bucket in by_key(example_plan).values()} == {"enforced"}
    told = environments(example_plan)["signals"]
    assert told["EVIDENCE_URLS"] == "signed"


def test_public_evidence_is_the_evidence_alone_and_every_function_that_links_to_it_knows(
    full_plan: dict[str, Any],
) -> None:
    buckets = by_key(full_plan)
    assert [key for key, found in buckets.items() if found["public_access_prevention"] != "enforced"] == ["evidence"]
    everybodys = [
        (found["bucket"], found["role"])
        for found in resources(full_plan, "google_storage_bucket_iam_member")
        if found["member"] in {"allUsers", "allAuthenticatedUsers"}
    ]
    assert {role for _, role in everybodys} == {"roles/storage.legacyObjectReader"}
    assert sorted(bucket for bucket, _ in everybodys) == ["sightline-example-dashboard", "sightline-example-evidence"]
    told = environments(full_plan)
    linking = {name for name, function in DECLARED.functions.items() if "EVIDENCE_URLS" in function.variables}
    assert {name for name in told if told[name].get("EVIDENCE_URLS") == "public"} == linking & told.keys()


def test_a_page_may_send_every_header_that_an_upload_needs_and_read_where_it_goes_on(
    full_plan: dict[str, Any],
) -> None:
    (cors,) = by_key(full_plan)["media"]["cors"]
    needed = [
        *blob_names.upload_headers("video/mp4", 1, {"camera": "gate"}),
        "x-goog-resumable",
        "content-range",
        "location",
        "range",
        "etag",
    ]
    shared = [header.lower() for header in cors["response_header"]]
    assert [header for header in needed if not any(fnmatch(header, pattern) for pattern in shared)] == []
    assert cors["origin"] == [checks.ORIGIN]
    assert {"PUT", "POST"} <= set(cors["method"])
    assert [key for key, bucket in by_key(full_plan).items() if bucket["cors"]] == ["media"]


def test_everything_stored_is_encrypted_by_the_key(full_plan: dict[str, Any]) -> None:
    assert {bucket["encryption"][0]["default_kms_key_name"] for bucket in by_key(full_plan).values()} == {checks.KEY}
    (database,) = resources(full_plan, "google_firestore_database")
    assert database["cmek_config"][0]["kms_key_name"] == checks.KEY
    for secret in resources(full_plan, "google_secret_manager_secret"):
        (replica,) = secret["replication"][0]["user_managed"][0]["replicas"]
        assert replica["customer_managed_encryption"][0]["kms_key_name"] == checks.KEY
    for kind in ("google_pubsub_topic", "google_artifact_registry_repository", "google_cloudfunctions2_function"):
        assert {found["kms_key_name"] for found in resources(full_plan, kind)} == {checks.KEY}, kind


def test_documents_expire_and_are_indexed_as_the_topology_says(example_plan: dict[str, Any]) -> None:
    settled = {
        (found["collection"], found["field"]): (bool(found["ttl_config"]), bool(found["index_config"]))
        for found in resources(example_plan, "google_firestore_field")
    }
    expiring = {(each.collection, each.field) for each in DECLARED.expiry}
    exempt = {(each.collection, name) for each in DECLARED.unindexed for name in each.fields}
    assert settled == {key: (key in expiring, key in exempt) for key in expiring | exempt}


def test_reads_and_writes_are_logged_but_for_the_functions_own_of_the_database(example_plan: dict[str, Any]) -> None:
    for found in resources(example_plan, "google_project_iam_audit_config"):
        logged = {entry["log_type"] for entry in found["audit_log_config"]}
        assert logged == {"ADMIN_READ", "DATA_READ", "DATA_WRITE"}
        exempted = {member for entry in found["audit_log_config"] for member in entry["exempted_members"]}
        assert all(member.startswith("serviceAccount:sightline-") for member in exempted)
        assert bool(exempted) is (found["service"] == "datastore.googleapis.com")
