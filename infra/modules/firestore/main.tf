# The database: what it can be put back to, its indexes, what it forgets by itself, and what browsers may read of it.
resource "google_firestore_database" "this" {
  project                           = var.project_id
  name                              = var.name
  location_id                       = var.location
  type                              = "FIRESTORE_NATIVE"
  point_in_time_recovery_enablement = "POINT_IN_TIME_RECOVERY_ENABLED"
  delete_protection_state           = var.deletion_protection ? "DELETE_PROTECTION_ENABLED" : "DELETE_PROTECTION_DISABLED"
  deletion_policy                   = var.deletion_protection ? "ABANDON" : "DELETE"

  dynamic "cmek_config" {
    for_each = var.kms_key[*]

    content {
      kms_key_name = cmek_config.value
    }
  }
}

# The last seven days can be read and restored to the minute; this is for what is found out later.
resource "google_firestore_backup_schedule" "daily" {
  project   = var.project_id
  database  = google_firestore_database.this.name
  retention = "${var.backup_days * 86400}s"

  daily_recurrence {}
}

# Firestore adds the document's name by itself, in the direction of the last field: as the queries end.
resource "google_firestore_index" "this" {
  for_each = { for index in var.indexes : "${index.collection}:${join(",", index.fields)}" => index }

  project     = var.project_id
  database    = google_firestore_database.this.name
  collection  = each.value.collection
  query_scope = "COLLECTION"

  dynamic "fields" {
    for_each = each.value.fields

    content {
      field_path = trimprefix(fields.value, "-")
      order      = startswith(fields.value, "-") ? "DESCENDING" : "ASCENDING"
    }
  }
}

locals {
  expiring = { for each in var.expiry : "${each.collection}:${each.field}" => each }
  exempt   = merge([for each in var.unindexed : { for field in each.fields : "${each.collection}:${field}" => { collection = each.collection, field = field } }]...)
}

# One setting a field: a field that expires and has no index would say both in one resource.
resource "google_firestore_field" "this" {
  for_each = merge(local.exempt, local.expiring)

  project    = var.project_id
  database   = google_firestore_database.this.name
  collection = each.value.collection
  field      = each.value.field

  # An empty configuration takes the field's own indexes away; without one it keeps the usual.
  dynamic "index_config" {
    for_each = contains(keys(local.exempt), each.key) ? [true] : []

    content {}
  }

  dynamic "ttl_config" {
    for_each = contains(keys(local.expiring), each.key) ? [true] : []

    content {}
  }
}

resource "google_firebaserules_ruleset" "this" {
  project = google_firestore_database.this.project

  source {
    files {
      name    = "firestore.rules"
      content = var.rules
    }
  }

  # The rules in force can't be removed before others are.
  lifecycle {
    create_before_destroy = true
  }
}

resource "google_firebaserules_release" "this" {
  project      = var.project_id
  name         = var.name == "(default)" ? "cloud.firestore" : "cloud.firestore/${var.name}"
  ruleset_name = "projects/${var.project_id}/rulesets/${google_firebaserules_ruleset.this.name}"
}
