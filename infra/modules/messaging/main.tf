# What goes between the functions: topics, what becomes of messages nobody could handle, timers, and the clock.
resource "google_pubsub_topic" "this" {
  #checkov:skip=CKV_GCP_83:encrypted by a key of Google's, or by the customer's where an environment has a kms_key
  for_each = toset(var.topics)

  project      = var.project_id
  name         = each.key
  kms_key_name = var.kms_key

  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }
}

resource "google_pubsub_topic" "dead_letters" {
  #checkov:skip=CKV_GCP_83:encrypted by a key of Google's, or by the customer's where an environment has a kms_key
  project      = var.project_id
  name         = var.delivery.dead_letter_topic
  kms_key_name = var.kms_key

  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }
}

# Without a subscription dead letters would be gone at once; one that is seldom pulled from must not expire.
resource "google_pubsub_subscription" "dead_letters" {
  project                    = var.project_id
  name                       = var.delivery.dead_letter_subscription
  topic                      = google_pubsub_topic.dead_letters.name
  ack_deadline_seconds       = 60
  message_retention_duration = "${var.delivery.dead_letter_retention}s"

  expiration_policy {
    ttl = ""
  }
}

# Pub/Sub itself moves what failed too often.
resource "google_pubsub_topic_iam_member" "dead_letters" {
  project = var.project_id
  topic   = google_pubsub_topic.dead_letters.name
  role    = "roles/pubsub.publisher"
  member  = "serviceAccount:${var.pubsub_agent}"
}

locals {
  grants = {
    for grant in var.grants : join(":", [grant.account, grant.role, grant.kind, grant.target]) => grant
    if contains(["topic", "queue"], grant.kind)
  }
}

resource "google_pubsub_topic_iam_member" "this" {
  for_each = { for key, grant in local.grants : key => grant if grant.kind == "topic" }

  project = var.project_id
  topic   = google_pubsub_topic.this[each.value.target].name
  role    = each.value.role
  member  = var.members[each.value.account]
}

resource "google_cloud_tasks_queue" "this" {
  for_each = var.queues

  project  = var.project_id
  name     = each.key
  location = var.region

  rate_limits {
    max_dispatches_per_second = each.value.rate
    max_concurrent_dispatches = each.value.concurrency
  }

  retry_config {
    max_attempts  = each.value.max_attempts
    min_backoff   = "${each.value.minimum_backoff}s"
    max_backoff   = "${each.value.maximum_backoff}s"
    max_doublings = 16 # doubles until the longest wait is reached
  }
}

resource "google_cloud_tasks_queue_iam_member" "this" {
  for_each = { for key, grant in local.grants : key => grant if grant.kind == "queue" }

  project  = var.project_id
  location = var.region
  name     = google_cloud_tasks_queue.this[each.value.target].name
  role     = each.value.role
  member   = var.members[each.value.account]
}

resource "google_cloud_scheduler_job" "this" {
  for_each = var.schedules

  project     = var.project_id
  region      = var.region
  name        = each.key
  description = "Publishes to ${each.key} every ${each.value} seconds."
  schedule    = each.value == 3600 ? "0 * * * *" : "*/${each.value / 60} * * * *"
  time_zone   = "Etc/UTC"

  pubsub_target {
    topic_name = "projects/${var.project_id}/topics/${google_pubsub_topic.this[each.key].name}"
    data       = base64encode("{}")
  }
}
