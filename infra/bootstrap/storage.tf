# Terraform's state, and the releases that a roll back goes to. Both say what is deployed: who writes them deploys.
locals {
  buckets = {
    state    = { kept_days = 365, kept_versions = 50 }
    releases = { kept_days = 90, kept_versions = 10 } # nothing but the record of what is good is ever overwritten
  }
}

resource "google_storage_bucket" "this" {
  #checkov:skip=CKV_GCP_62:access is in Cloud Audit Logs; a bucket of access logs would need the same protection again
  for_each = local.buckets

  name                        = "${var.project_id}-sightline-${each.key}"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false

  versioning {
    enabled = true
  }

  # No retention policy: Terraform must be able to replace its state. What is deleted comes back for a month.
  soft_delete_policy {
    retention_duration_seconds = 30 * 86400
  }

  lifecycle_rule {
    condition {
      days_since_noncurrent_time = each.value.kept_days
      num_newer_versions         = each.value.kept_versions
      with_state                 = "ARCHIVED"
    }

    action {
      type = "Delete"
    }
  }

  dynamic "encryption" {
    for_each = var.kms_key[*]

    content {
      default_kms_key_name = encryption.value
    }
  }

  lifecycle {
    prevent_destroy = true
  }

  depends_on = [google_project_service.this]
}

locals {
  # The deploy account writes both. Who plans reads the state, without its lock, and adds releases; it can't replace one,
  # nor the record of what is good: creating needs no right to delete, and replacing does.
  bucket_grants = {
    deploy_state    = { bucket = "state", role = "roles/storage.objectUser", account = "deploy" }
    deploy_releases = { bucket = "releases", role = "roles/storage.objectUser", account = "deploy" }
    plan_state      = { bucket = "state", role = "roles/storage.objectViewer", account = "plan" }
    plan_reads      = { bucket = "releases", role = "roles/storage.objectViewer", account = "plan" }
    plan_adds       = { bucket = "releases", role = "roles/storage.objectCreator", account = "plan" }
  }
}

resource "google_storage_bucket_iam_member" "this" {
  for_each = local.bucket_grants

  bucket = google_storage_bucket.this[each.value.bucket].name
  role   = each.value.role
  member = google_service_account.this[each.value.account].member
}

# Images of the streams, made before the deployment that runs them.
resource "google_artifact_registry_repository" "releases" {
  #checkov:skip=CKV_GCP_84:Google's own key unless var.kms_key names one, as for everything else
  repository_id = "sightline-releases"
  location      = var.region
  format        = "DOCKER"
  description   = "Images of releases. Roll backs need them: only what nobody tagged is removed."
  kms_key_name  = var.kms_key

  cleanup_policies {
    id     = "keep-the-latest"
    action = "KEEP"

    most_recent_versions {
      keep_count = 20
    }
  }

  cleanup_policies {
    id     = "delete-the-old"
    action = "DELETE"

    condition {
      tag_state  = "UNTAGGED"
      older_than = "${180 * 86400}s"
    }
  }

  depends_on = [google_project_service.this]
}

resource "google_artifact_registry_repository_iam_member" "plan" {
  location   = google_artifact_registry_repository.releases.location
  repository = google_artifact_registry_repository.releases.name
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.this["plan"].member
}

# Cloud Run pulls with its own agent, but looks whether the one who deploys may read the image.
resource "google_artifact_registry_repository_iam_member" "deploy" {
  location   = google_artifact_registry_repository.releases.location
  repository = google_artifact_registry_repository.releases.name
  role       = "roles/artifactregistry.reader"
  member     = google_service_account.this["deploy"].member
}
