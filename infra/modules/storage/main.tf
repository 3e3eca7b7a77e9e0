# The buckets, what they announce, and who may do what with their objects.
locals {
  # A rule with an age never touches what a legal hold may keep: the topology lists temporary prefixes only.
  lifecycle_actions = {
    delete            = { type = "Delete", storage_class = null, state = "LIVE" }
    delete_noncurrent = { type = "Delete", storage_class = null, state = "ARCHIVED" }
    nearline          = { type = "SetStorageClass", storage_class = "NEARLINE", state = "LIVE" }
  }

  # In both directions: what a page may send with an upload, and what it may read of the answer.
  browser_headers = [
    "Content-Length",
    "Content-Range",
    "Content-Type",
    "ETag",
    "Location",
    "Range",
    "x-goog-content-length-range",
    "x-goog-generation",
    "x-goog-hash",
    "x-goog-if-generation-match",
    "x-goog-meta-*",
    "x-goog-meta-source-id", # whether Cloud Storage takes the pattern above is not said anywhere
    "x-goog-resumable",
  ]

  public_buckets = { for key, bucket in var.buckets : key => bucket if bucket.public }

  notifications = merge([
    for key, bucket in var.buckets : {
      for rule in bucket.notifications : "${key}/${rule.prefix}" => { bucket = key, prefix = rule.prefix, topic = rule.topic }
    }
  ]...)

  grants = {
    for grant in var.grants : join(":", [grant.account, grant.role, grant.target, grant.prefix]) => grant
    if grant.kind == "bucket"
  }
}

resource "google_storage_bucket" "this" {
  #checkov:skip=CKV_GCP_114:prevented but for evidence where evidence_public asks for URLs without an end; an audit of ours holds that
  #checkov:skip=CKV_GCP_62:who reads and writes objects is in the audit log, which tells more than an access log
  #checkov:skip=CKV_GCP_78:what is deleted or overwritten stays for soft_delete_days; versions would outlive an order to erase
  for_each = var.buckets

  project                     = var.project_id
  name                        = each.value.name
  location                    = var.location
  storage_class               = "STANDARD"
  force_destroy               = false
  uniform_bucket_level_access = true
  public_access_prevention    = each.value.public ? "inherited" : "enforced"
  labels                      = var.labels

  soft_delete_policy {
    retention_duration_seconds = var.soft_delete_days * 86400
  }

  versioning {
    enabled = each.value.versioned
  }

  dynamic "encryption" {
    for_each = var.kms_key[*]

    content {
      default_kms_key_name = encryption.value
    }
  }

  dynamic "cors" {
    for_each = length(each.value.browser_methods) == 0 || length(var.allowed_origins) == 0 ? [] : [each.value.browser_methods]

    content {
      origin          = var.allowed_origins
      method          = cors.value
      response_header = local.browser_headers
      max_age_seconds = 3600
    }
  }

  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }

    condition {
      age = 7 # as long as a resumable session lives
    }
  }

  dynamic "lifecycle_rule" {
    for_each = each.value.lifecycle

    content {
      action {
        type          = local.lifecycle_actions[lifecycle_rule.value.action].type
        storage_class = local.lifecycle_actions[lifecycle_rule.value.action].storage_class
      }

      condition {
        age                        = lifecycle_rule.value.action == "delete_noncurrent" ? null : lifecycle_rule.value.after_days
        days_since_noncurrent_time = lifecycle_rule.value.action == "delete_noncurrent" ? lifecycle_rule.value.after_days : null
        num_newer_versions         = lifecycle_rule.value.action == "delete_noncurrent" ? 3 : null
        matches_prefix             = lifecycle_rule.value.prefix == null ? null : [lifecycle_rule.value.prefix]
        matches_storage_class      = lifecycle_rule.value.action == "nearline" ? ["STANDARD"] : null
        with_state                 = local.lifecycle_actions[lifecycle_rule.value.action].state
      }
    }
  }
}

# An object is read by who knows its name; nobody lists the bucket.
resource "google_storage_bucket_iam_member" "public" {
  #checkov:skip=CKV_GCP_28:evidence_public asks for it, and then an object is read only by who knows its name
  for_each = local.public_buckets

  bucket = google_storage_bucket.this[each.key].name
  role   = "roles/storage.legacyObjectReader"
  member = "allUsers"
}

# Where there is a prefix, the role is for objects whose names start with it. Listing is a right on the bucket, which no
# prefix gives: who lists, or must tell what is absent from what is forbidden, has the role to view it whole as well.
resource "google_storage_bucket_iam_member" "this" {
  for_each = local.grants

  bucket = google_storage_bucket.this[each.value.target].name
  role   = each.value.role
  member = var.members[each.value.account]

  dynamic "condition" {
    for_each = each.value.prefix == "" ? [] : [each.value.prefix]

    content {
      title       = "objects-below-${trimsuffix(condition.value, "/")}"
      description = "Only objects whose names start with ${condition.value}."
      expression  = "resource.name.startsWith(\"projects/_/buckets/${google_storage_bucket.this[each.value.target].name}/objects/${condition.value}\")"
    }
  }
}

# Cloud Storage refuses a notification to a topic that its agent may not publish to.
resource "google_pubsub_topic_iam_member" "announcer" {
  for_each = toset([for rule in local.notifications : rule.topic])

  project = var.project_id
  topic   = var.topics[each.key]
  role    = "roles/pubsub.publisher"
  member  = "serviceAccount:${var.storage_agent}"
}

resource "google_storage_notification" "this" {
  for_each = local.notifications

  bucket             = google_storage_bucket.this[each.value.bucket].name
  topic              = var.topics[each.value.topic]
  payload_format     = "JSON_API_V1"
  event_types        = ["OBJECT_FINALIZE"]
  object_name_prefix = each.value.prefix

  depends_on = [google_pubsub_topic_iam_member.announcer]
}
