# One plain Cloud Run service, for what functions-framework can't serve; its image is built from its bundle.
resource "google_cloud_run_v2_service" "this" {
  project             = var.project_id
  location            = var.region
  name                = var.name
  ingress             = var.public ? "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER" : "INGRESS_TRAFFIC_INTERNAL_ONLY"
  deletion_protection = false # it holds nothing, and goes when there is no image of it

  template {
    service_account                  = var.account
    encryption_key                   = var.kms_key
    timeout                          = "${var.size.timeout}s"
    max_instance_request_concurrency = var.size.concurrency
    session_affinity                 = true # who connects again finds what its instance has in memory

    scaling {
      min_instance_count = var.size.min_instances
      max_instance_count = var.size.max_instances
    }

    containers {
      image = var.image

      # HTTP/1: a WebSocket begins as one of its requests.
      ports {
        name           = "http1"
        container_port = 8080
      }

      resources {
        limits            = { cpu = tostring(var.size.cpu), memory = "${var.size.memory}Mi" }
        cpu_idle          = true # an open stream is a request, so that nothing needs to run without one
        startup_cpu_boost = true
      }

      dynamic "env" {
        for_each = var.environment

        content {
          name  = env.key
          value = env.value
        }
      }

      dynamic "env" {
        for_each = var.secrets

        content {
          name = env.key

          value_source {
            secret_key_ref {
              secret  = env.value
              version = "latest" # as it is when an instance starts
            }
          }
        }
      }

      # It asks nothing behind it: an outage of the store must not make Cloud Run end every stream.
      startup_probe {
        period_seconds    = 2
        failure_threshold = 30

        http_get {
          path = "/health"
        }
      }

      liveness_probe {
        period_seconds    = 30
        timeout_seconds   = 10
        failure_threshold = 3

        http_get {
          path = "/health"
        }
      }
    }

    dynamic "vpc_access" {
      for_each = var.vpc_connector == null ? [] : [var.vpc_connector]

      content {
        connector = vpc_access.value
        egress    = "ALL_TRAFFIC"
      }
    }
  }
}

# Anybody, but only through the load balancer (ingress): the application asks for the token itself.
resource "google_cloud_run_v2_service_iam_member" "public" {
  for_each = var.public ? toset(["allUsers"]) : toset([])

  project  = var.project_id
  location = var.region
  name     = google_cloud_run_v2_service.this.name
  role     = "roles/run.invoker"
  member   = each.key
}
