# One function of the second generation: its bundle, itself, who may call it, and the subscriptions that push to it.
resource "google_storage_bucket_object" "bundle" {
  # Its name is its content's, so that a function is built again when and only when its bundle has changed.
  name   = "${var.name}/${filesha256(var.bundle)}.zip"
  bucket = var.build.bucket
  source = var.bundle

  lifecycle {
    create_before_destroy = true
  }
}

resource "google_cloudfunctions2_function" "this" {
  project      = var.project_id
  location     = var.region
  name         = var.name
  kms_key_name = var.kms_key

  build_config {
    runtime           = var.runtime
    entry_point       = "main"
    docker_repository = var.build.repository
    service_account   = var.build.account

    source {
      storage_source {
        bucket = var.build.bucket
        object = google_storage_bucket_object.bundle.name
      }
    }

    # Google mends the runtime beneath the bundle, without a deployment.
    automatic_update_policy {}
  }

  service_config {
    available_memory                 = "${var.size.memory}Mi"
    available_cpu                    = tostring(var.size.cpu)
    timeout_seconds                  = var.size.timeout
    max_instance_request_concurrency = var.size.concurrency
    min_instance_count               = var.size.min_instances
    max_instance_count               = var.size.max_instances
    service_account_email            = var.account
    environment_variables            = var.environment
    all_traffic_on_latest_revision   = true
    ingress_settings                 = var.public ? "ALLOW_INTERNAL_AND_GCLB" : "ALLOW_INTERNAL_ONLY"
    vpc_connector                    = var.vpc_connector
    vpc_connector_egress_settings    = var.vpc_connector == null ? null : "ALL_TRAFFIC"

    dynamic "secret_environment_variables" {
      for_each = var.secrets

      content {
        project_id = var.project_id
        key        = secret_environment_variables.key
        secret     = secret_environment_variables.value
        version    = "latest" # as it is when an instance starts
      }
    }
  }
}

# Anybody, but only through the load balancer (ingress): the application asks for the token itself.
resource "google_cloud_run_v2_service_iam_member" "public" {
  for_each = var.public ? toset(["allUsers"]) : toset([])

  project  = var.project_id
  location = var.region
  name     = google_cloudfunctions2_function.this.name
  role     = "roles/run.invoker"
  member   = each.key
}

# In whose name its subscriptions push: an account of their own, which may call this function and nothing else.
resource "google_service_account" "push" {
  for_each = length(var.triggers) == 0 ? toset([]) : toset([var.name])

  project      = var.project_id
  account_id   = "sightline-push-${each.key}"
  display_name = "Sightline: pushes messages to ${each.key}"
}

locals {
  push_accounts = { for name, account in google_service_account.push : name => "${account.account_id}@${account.project}.iam.gserviceaccount.com" }
}

resource "google_cloud_run_v2_service_iam_member" "push" {
  for_each = local.push_accounts

  project  = var.project_id
  location = var.region
  name     = google_cloudfunctions2_function.this.name
  role     = "roles/run.invoker"
  member   = "serviceAccount:${each.value}"
}

# Pub/Sub signs the tokens of this account, of no other.
resource "google_service_account_iam_member" "push" {
  for_each = local.push_accounts

  service_account_id = "projects/${var.project_id}/serviceAccounts/${each.value}"
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = "serviceAccount:${var.pubsub_agent}"

  # In a new project the agent may not be there before Pub/Sub was used.
  depends_on = [google_cloudfunctions2_function.this]
}

# Who makes a subscription must be allowed to act as the account it pushes in the name of.
resource "google_service_account_iam_member" "deployer" {
  for_each = var.deployer == null ? {} : local.push_accounts

  service_account_id = "projects/${var.project_id}/serviceAccounts/${each.value}"
  role               = "roles/iam.serviceAccountUser"
  member             = "serviceAccount:${var.deployer}"
}

resource "google_pubsub_subscription" "push" {
  for_each = var.triggers

  project                    = var.project_id
  name                       = "${var.name}-on-${each.key}"
  topic                      = each.value
  ack_deadline_seconds       = var.delivery.ack_deadline
  message_retention_duration = "${lookup(var.delivery.retention_of, each.key, var.delivery.retention)}s"

  expiration_policy {
    ttl = ""
  }

  # In the JSON envelope, which alone tells the attempt: no `no_wrapper`.
  push_config {
    push_endpoint = google_cloudfunctions2_function.this.service_config[0].uri

    oidc_token {
      service_account_email = local.push_accounts[var.name]
      audience              = google_cloudfunctions2_function.this.service_config[0].uri
    }
  }

  retry_policy {
    minimum_backoff = "${var.delivery.minimum_backoff}s"
    maximum_backoff = "${var.delivery.maximum_backoff}s"
  }

  dead_letter_policy {
    dead_letter_topic     = var.dead_letter_topic
    max_delivery_attempts = var.delivery.max_attempts
  }

  # The first push must find its caller let in, or it counts as a failed attempt.
  depends_on = [
    google_cloud_run_v2_service_iam_member.push,
    google_service_account_iam_member.deployer,
    google_service_account_iam_member.push,
  ]
}

# Pub/Sub acknowledges here what it has moved to the dead letters.
resource "google_pubsub_subscription_iam_member" "dead_letters" {
  for_each = google_pubsub_subscription.push

  project      = var.project_id
  subscription = each.value.name
  role         = "roles/pubsub.subscriber"
  member       = "serviceAccount:${var.pubsub_agent}"
}
