# Two builds: one for each commit, which ends by asking; one for each release, which waits until a person approves.
#
# They are joined by a message and not by one starting the other: who may start a build as the deploy account could start
# any build as it, without approval.
resource "google_pubsub_topic" "releases" {
  #checkov:skip=CKV_GCP_83:holds names of releases for minutes, and nothing about people
  name                       = "sightline-releases"
  message_retention_duration = "86400s"

  depends_on = [google_project_service.this]
}

resource "google_pubsub_topic_iam_member" "plan" {
  topic  = google_pubsub_topic.releases.id
  role   = "roles/pubsub.publisher"
  member = google_service_account.this["plan"].member
}

locals {
  triggers = var.repository == null ? {} : { only = var.repository }
  where = {
    _ENVIRONMENT  = var.environment
    _STATE_BUCKET = google_storage_bucket.this["state"].name
    _RELEASES     = google_storage_bucket.this["releases"].url
  }
}

resource "google_cloudbuild_trigger" "plan" {
  for_each = local.triggers

  name            = "sightline-plan"
  location        = var.region
  description     = "Checks a commit, plans its release, and asks for it."
  filename        = "cloudbuild.yaml"
  service_account = google_service_account.this["plan"].id

  repository_event_config {
    repository = each.value.name

    push {
      branch = "^${each.value.branch}$"
    }
  }

  substitutions = merge(local.where, {
    _IMAGE = "${var.region}-docker.pkg.dev/${var.project_id}/${google_artifact_registry_repository.releases.repository_id}/live"
    _TOPIC = google_pubsub_topic.releases.id
  })

  depends_on = [google_project_iam_member.this]
}

resource "google_cloudbuild_trigger" "release" {
  for_each = local.triggers

  name            = "sightline-release"
  location        = var.region
  description     = "Applies the release that was asked for, once a person has approved it."
  service_account = google_service_account.this["deploy"].id

  pubsub_config {
    topic = google_pubsub_topic.releases.id
  }

  # What is not a release's name and a sum starts nothing.
  filter = "_RELEASE.matches('^[0-9a-z]{1,12}-[0-9a-f]{12}$') && _PLAN.matches('^[0-9a-f]{64}$')"

  source_to_build {
    repository = each.value.name
    ref        = "refs/heads/${each.value.branch}"
    repo_type  = each.value.kind
  }

  git_file_source {
    path       = "cloudbuild.release.yaml"
    repository = each.value.name
    revision   = "refs/heads/${each.value.branch}"
    repo_type  = each.value.kind
  }

  approval_config {
    approval_required = true
  }

  substitutions = merge(local.where, {
    _RELEASE = "$(body.message.attributes.release)"
    _PLAN    = "$(body.message.attributes.plan)"
  })

  depends_on = [google_project_iam_member.this]
}

resource "google_project_iam_member" "approvers" {
  for_each = var.approvers

  project = var.project_id
  role    = "roles/cloudbuild.builds.approver"
  member  = each.value
}
