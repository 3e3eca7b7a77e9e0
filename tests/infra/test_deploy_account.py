"""The account that deploys may make everything the deployment consists of, and the one that plans may look at it.

Nobody but Google can say what a role holds, so the table names for each kind of resource what making one asks for:
a permission of the custom role, or the predefined role that has it. A new kind of resource needs a line here.
"""

from __future__ import annotations

import re

import hcl2
import pytest

from infra import terraform

ACCOUNTS = terraform.FOLDER / "bootstrap" / "accounts.tf"
GRANTING = "roles/resourcemanager.projectIamAdmin"
BILLING = "roles/billing.costsManager"
A_PERSON = "by hand, whose key it is"
FILES = "roles/storage.objectUser"

# Without `google_`.
NEEDED = {
    "artifact_registry_repository": "roles/artifactregistry.admin",
    "artifact_registry_repository_iam_member": "roles/artifactregistry.admin",
    "billing_budget": BILLING,
    "cloud_run_v2_service": "roles/run.admin",
    "cloud_run_v2_service_iam_member": "roles/run.admin",
    "cloud_scheduler_job": "roles/cloudscheduler.admin",
    "cloud_tasks_queue": "roles/cloudtasks.queueAdmin",
    "cloud_tasks_queue_iam_member": "roles/cloudtasks.queueAdmin",
    "cloudfunctions2_function": "roles/cloudfunctions.developer",
    "compute_backend_bucket": "compute.backendBuckets.setSecurityPolicy",
    "compute_backend_service": "compute.globalOperations.get",
    "compute_global_address": "roles/compute.loadBalancerAdmin",
    "compute_global_forwarding_rule": "roles/compute.loadBalancerAdmin",
    "compute_managed_ssl_certificate": "roles/compute.loadBalancerAdmin",
    "compute_region_network_endpoint_group": "compute.regionNetworkEndpointGroups.create",
    "compute_security_policy": "compute.securityPolicies.create",
    "compute_ssl_policy": "roles/compute.loadBalancerAdmin",
    "compute_target_http_proxy": "roles/compute.loadBalancerAdmin",
    "compute_target_https_proxy": "roles/compute.loadBalancerAdmin",
    "compute_url_map": "roles/compute.loadBalancerAdmin",
    "firebaserules_release": "roles/firebaserules.admin",
    "firebaserules_ruleset": "roles/firebaserules.admin",
    "firestore_backup_schedule": "datastore.backupSchedules.create",
    "firestore_database": "datastore.databases.create",
    "firestore_field": "datastore.indexes.update",
    "firestore_index": "datastore.indexes.create",
    "kms_crypto_key_iam_member": A_PERSON,
    "logging_metric": "logging.logMetrics.create",
    "logging_project_bucket_config": "logging.buckets.update",
    "logging_project_exclusion": "logging.exclusions.create",
    "monitoring_alert_policy": "logging.notificationRules.create",  # of those that match lines of the log
    "monitoring_custom_service": "roles/monitoring.editor",
    "monitoring_dashboard": "roles/monitoring.editor",
    "monitoring_notification_channel": "roles/monitoring.editor",
    "monitoring_slo": "roles/monitoring.editor",
    "monitoring_uptime_check_config": "roles/monitoring.editor",
    "project_iam_audit_config": GRANTING,
    "project_iam_member": GRANTING,
    "project_service": "roles/serviceusage.serviceUsageAdmin",
    "pubsub_subscription": "roles/pubsub.admin",
    "pubsub_subscription_iam_member": "roles/pubsub.admin",
    "pubsub_topic": "roles/pubsub.admin",
    "pubsub_topic_iam_member": "roles/pubsub.admin",
    "secret_manager_secret": "secretmanager.secrets.create",
    "secret_manager_secret_iam_member": "secretmanager.secrets.setIamPolicy",
    "secret_manager_secret_version": "secretmanager.versions.add",
    "service_account": "iam.serviceAccounts.create",
    "service_account_iam_member": "iam.serviceAccounts.setIamPolicy",
    "storage_bucket": "storage.buckets.create",
    "storage_bucket_iam_member": "storage.buckets.setIamPolicy",
    "storage_bucket_object": FILES,
    "storage_notification": "storage.buckets.update",
}


def kinds() -> set[str]:
    """What the deployment consists of: the types of all resources of the root and its modules."""
    files = [*terraform.FOLDER.glob("*.tf"), *terraform.FOLDER.glob("modules/*/*.tf")]
    return {kind for file in files for kind in re.findall(r'^resource "google_(\w+)"', file.read_text(), re.MULTILINE)}


@pytest.fixture(scope="module")
def held() -> set[str]:
    """The permissions and roles that infra/bootstrap grants the account that deploys."""
    text = ACCOUNTS.read_text()
    said = hcl2.loads(text)["locals"][0]
    conditional = {role for role in (GRANTING, BILLING, FILES) if f'"{role}"' in text}
    plain = [*said["deploy_roles"], *said["deploy_permissions"]]
    return {name.strip('"') for name in plain} | conditional


def test_every_kind_of_resource_was_thought_of() -> None:
    assert kinds() == set(NEEDED)


@pytest.mark.parametrize("kind", sorted(set(NEEDED) - {"kms_crypto_key_iam_member"}))
def test_the_account_that_deploys_may_make_it(held: set[str], kind: str) -> None:
    assert NEEDED[kind] in held


def test_nothing_is_held_for_services_that_the_deployment_does_not_use(held: set[str]) -> None:
    services = {name.partition(".")[0] for name in held if not name.startswith("roles/")}
    assert services == {"compute", "datastore", "iam", "logging", "resourcemanager", "secretmanager", "storage"}
