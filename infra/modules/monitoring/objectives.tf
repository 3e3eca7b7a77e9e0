# What is promised, and whether somebody outside would agree.
locals {
  requests = "metric.type=\"loadbalancing.googleapis.com/https/request_count\" AND resource.type=\"https_lb_rule\" AND resource.labels.url_map_name=\"${var.url_map}\""
}

resource "google_monitoring_custom_service" "this" {
  service_id   = "sightline"
  display_name = "Sightline"
  user_labels  = var.labels
}

resource "google_monitoring_slo" "this" {
  for_each = {
    availability = { goal = var.objectives.availability, title = "requests without a server error" }
    analysed     = { goal = var.objectives.analysed, title = "uploads analysed within ${var.objectives.analysed_seconds} s" }
  }

  service             = google_monitoring_custom_service.this.service_id
  slo_id              = each.key
  display_name        = "${each.value.goal * 100} % of ${each.value.title}"
  goal                = each.value.goal
  rolling_period_days = 28
  user_labels         = var.labels

  request_based_sli {
    dynamic "good_total_ratio" {
      for_each = each.key == "availability" ? [local.requests] : []

      content {
        total_service_filter = good_total_ratio.value
        bad_service_filter   = "${good_total_ratio.value} AND metric.labels.response_code_class=\"500\""
      }
    }

    dynamic "distribution_cut" {
      for_each = each.key == "analysed" ? [local.series.analysed_seconds] : []

      content {
        distribution_filter = distribution_cut.value

        range {
          min = 0
          max = var.objectives.analysed_seconds
        }
      }
    }
  }
}

resource "google_monitoring_uptime_check_config" "health" {
  for_each = var.domain == null ? {} : { (var.domain) = var.domain }

  display_name = "Sightline: /health"
  period       = "60s"
  timeout      = "10s"
  checker_type = "STATIC_IP_CHECKERS"
  user_labels  = var.labels

  http_check {
    path         = "/health"
    port         = 443
    use_ssl      = true
    validate_ssl = true

    accepted_response_status_codes {
      status_class = "STATUS_CLASS_2XX"
    }
  }

  monitored_resource {
    type   = "uptime_url"
    labels = { host = each.value, project_id = var.project_id }
  }
}
