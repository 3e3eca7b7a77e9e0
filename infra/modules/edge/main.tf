# One origin: a global external Application Load Balancer before the Cloud Run services.

resource "google_compute_global_address" "this" {
  name        = var.name
  description = "What the domain's A record points at."
  labels      = var.labels
}

resource "google_compute_region_network_endpoint_group" "this" {
  for_each = var.backends

  name                  = "${var.name}-${each.key}"
  region                = var.region
  network_endpoint_type = "SERVERLESS"

  cloud_run {
    service = basename(each.value.service)
  }
}

# Neither timeout_sec nor a health check: Google refuses both where the backend is serverless. Each service's own
# timeout holds, and streams may last an hour.
resource "google_compute_backend_service" "this" {
  for_each = var.backends

  name                    = "${var.name}-${each.key}"
  load_balancing_scheme   = "EXTERNAL_MANAGED"
  protocol                = "HTTPS"
  security_policy         = google_compute_security_policy.this.id
  custom_response_headers = [for header, value in var.response_headers : "${header}: ${value}"]

  backend {
    group = google_compute_region_network_endpoint_group.this[each.key].id
  }

  log_config {
    enable      = true
    sample_rate = var.log_sample_rate
  }
}

resource "google_compute_url_map" "this" {
  name            = var.name
  description     = "Made from the routes in pipeline.yaml."
  default_service = var.domain == null ? local.fallback : null

  # Who asks by another host name, or by the bare address, is led to the domain: replies that name the host name this one.
  dynamic "default_url_redirect" {
    for_each = var.domain == null ? [] : [var.domain]

    content {
      host_redirect          = default_url_redirect.value
      https_redirect         = true
      redirect_response_code = "MOVED_PERMANENTLY_DEFAULT"
      strip_query            = false
    }
  }

  host_rule {
    hosts        = [coalesce(var.domain, "*")]
    path_matcher = "routes"
  }

  path_matcher {
    name            = "routes"
    default_service = local.fallback

    dynamic "route_rules" {
      for_each = local.rules

      content {
        priority = route_rules.key + 1
        service  = route_rules.value.service

        dynamic "match_rules" {
          for_each = route_rules.value.matches

          content {
            full_path_match     = route_rules.value.full_path
            prefix_match        = route_rules.value.prefix
            path_template_match = route_rules.value.template

            dynamic "header_matches" {
              for_each = match_rules.value.headers

              content {
                header_name  = header_matches.value.name
                exact_match  = header_matches.value.exact
                prefix_match = header_matches.value.prefix
              }
            }
          }
        }

        dynamic "route_action" {
          for_each = route_rules.value.rewrite == null ? [] : [route_rules.value.rewrite]

          content {
            url_rewrite {
              path_prefix_rewrite = route_action.value
            }
          }
        }
      }
    }
  }
}
