# What functions are built from and into, and who builds them.
resource "google_storage_bucket" "sources" {
  #checkov:skip=CKV_GCP_62:who reads it is in the audit log, which tells more than an access log
  name                        = "${coalesce(var.bucket_prefix, var.project_id)}-sources"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = true # only what is built again from a checkout

  versioning {
    enabled = true
  }

  # Bundles of earlier releases are no longer live; a release is rolled back from its checkout, not from here.
  lifecycle_rule {
    action {
      type = "Delete"
    }

    condition {
      days_since_noncurrent_time = 90
      with_state                 = "ARCHIVED"
    }
  }

  dynamic "encryption" {
    for_each = var.kms_key == null ? [] : [module.keys.name]

    content {
      default_kms_key_name = encryption.value
    }
  }

  depends_on = [module.project, module.keys]
}

resource "google_artifact_registry_repository" "images" {
  repository_id = "sightline"
  location      = var.region
  format        = "DOCKER"
  description   = "Images of the functions and of live."
  kms_key_name  = module.keys.name

  # What runs is never older than the last few of its own package.
  cleanup_policies {
    id     = "keep-the-latest"
    action = "KEEP"

    most_recent_versions {
      keep_count = 5
    }
  }

  cleanup_policies {
    id     = "delete-the-old"
    action = "DELETE"

    condition {
      tag_state  = "ANY"
      older_than = "${30 * 24 * 3600}s"
    }
  }

  depends_on = [module.project, module.keys]
}

# Builds run what packages bring along: as an account that can reach nothing else, least of all people's videos.
resource "google_service_account" "build" {
  project      = var.project_id
  account_id   = "sightline-build"
  display_name = "Sightline: builds the functions"

  depends_on = [module.project]
}

locals {
  build_email      = "${google_service_account.build.account_id}@${google_service_account.build.project}.iam.gserviceaccount.com"
  build_member     = "serviceAccount:${local.build_email}"
  image_repository = "${var.region}-docker.pkg.dev/${var.project_id}/${google_artifact_registry_repository.images.repository_id}"
}

resource "google_project_iam_member" "build_logs" {
  project = var.project_id
  role    = "roles/logging.logWriter"
  member  = local.build_member
}

resource "google_artifact_registry_repository_iam_member" "build" {
  location   = var.region
  repository = google_artifact_registry_repository.images.name
  role       = "roles/artifactregistry.writer"
  member     = local.build_member
}

resource "google_storage_bucket_iam_member" "build" {
  bucket = google_storage_bucket.sources.name
  role   = "roles/storage.objectViewer"
  member = local.build_member
}

# Cloud Run functions copies each bundle into a bucket of its own making, from which it is built.
resource "google_project_iam_member" "build_copies" {
  project = var.project_id
  role    = "roles/storage.objectViewer"
  member  = local.build_member

  condition {
    title       = "copies-of-sources"
    description = "Only the bucket that Cloud Run functions copies bundles into."
    expression  = "resource.name.startsWith(\"projects/_/buckets/gcf-v2-sources-${module.project.number}-${var.region}\")"
  }
}
