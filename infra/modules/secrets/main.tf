# The secrets, and who may read each. Values are written to Secret Manager and never to Terraform's state.
resource "google_secret_manager_secret" "this" {
  for_each = var.secrets

  project   = var.project_id
  secret_id = each.value.name
  labels    = var.labels

  replication {
    user_managed {
      replicas {
        location = var.region

        dynamic "customer_managed_encryption" {
          for_each = var.kms_key[*]

          content {
            kms_key_name = customer_managed_encryption.value
          }
        }
      }
    }
  }

  # A value that was replaced by mistake is still there for a week.
  version_destroy_ttl = "${7 * 86400}s"
}

resource "google_secret_manager_secret_version" "this" {
  for_each = toset(nonsensitive([for variable, value in var.values : variable if value != null]))

  secret                 = google_secret_manager_secret.this[each.key].id
  secret_data_wo         = var.values[each.key]
  secret_data_wo_version = var.values_version

  # What Terraform no longer knows is what functions still read.
  deletion_policy = "ABANDON"
}

resource "google_secret_manager_secret_iam_member" "this" {
  for_each = merge([
    for variable, secret in var.secrets : { for reader in secret.readers : "${reader}:${variable}" => { reader = reader, variable = variable } }
  ]...)

  project   = var.project_id
  secret_id = google_secret_manager_secret.this[each.value.variable].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = var.members[each.value.reader]
}
