# The edge by itself: what a domain, a page and a stricter firewall change.
# Nobody is asked, so that the real provider needs no credentials here.
mock_provider "google" {}

variables {
  project_id = "sightline-test"
  region     = "europe-west1"

  backends = {
    query   = { service = "projects/sightline-test/locations/europe-west1/services/query", routes = ["GET /", "GET /health", "GET /analysis/*"] }
    analyse = { service = "analyse", routes = ["POST /analysis", "POST /analysis/*/replay"], file_routes = ["POST /analysis"] }
    devices = { service = "devices", routes = ["POST /signals/"], requests_per_minute = 600 }
  }
}

run "a_domain_means_https_for_everybody" {
  command = plan

  module {
    source = "./modules/edge"
  }

  variables {
    domain = "sightline.example.org"
  }

  assert {
    condition     = google_compute_ssl_policy.this["sightline.example.org"].min_tls_version == "TLS_1_2"
    error_message = "Older TLS than 1.2 is spoken."
  }

  assert {
    condition     = google_compute_global_forwarding_rule.https["sightline.example.org"].port_range == "443"
    error_message = "Nothing listens for HTTPS."
  }

  assert {
    condition     = google_compute_url_map.to_https["sightline.example.org"].default_url_redirect[0].https_redirect
    error_message = "HTTP does not lead to HTTPS."
  }

  assert {
    condition     = google_compute_url_map.this.default_url_redirect[0].host_redirect == "sightline.example.org"
    error_message = "Another host name is answered as if it were ours."
  }

  assert {
    condition     = output.url == "https://sightline.example.org"
    error_message = "The origin is not the domain's."
  }
}

run "without_a_domain_the_address_serves_http" {
  command = plan

  module {
    source = "./modules/edge"
  }

  assert {
    condition     = length(google_compute_managed_ssl_certificate.this) == 0 && length(google_compute_url_map.to_https) == 0
    error_message = "There is nothing to have a certificate for."
  }

  assert {
    condition     = one(google_compute_url_map.this.host_rule).hosts == toset(["*"])
    error_message = "The address is not answered."
  }
}

run "a_service_is_named_by_its_last_part" {
  command = plan

  module {
    source = "./modules/edge"
  }

  assert {
    condition     = google_compute_region_network_endpoint_group.this["query"].cloud_run[0].service == "query"
    error_message = "Network endpoint groups take a service's name, not its id."
  }
}

run "whole_paths_are_tried_before_open_ones" {
  command = plan

  module {
    source = "./modules/edge"
  }

  assert {
    condition = [
      for rule in google_compute_url_map.this.path_matcher[0].route_rules :
      coalesce(rule.match_rules[0].full_path_match, rule.match_rules[0].path_template_match, rule.match_rules[0].prefix_match)
    ] == ["/analysis", "/signals/", "/health", "/", "/analysis/*/replay", "/analysis/"]
    error_message = "The most specific rule does not come first."
  }
}

run "every_backend_is_guarded_and_logged" {
  command = apply

  module {
    source = "./modules/edge"
  }

  assert {
    condition     = alltrue([for backend in google_compute_backend_service.this : backend.security_policy == google_compute_security_policy.this.id && backend.log_config[0].enable])
    error_message = "A backend stands open."
  }

  assert {
    condition     = alltrue([for backend in google_compute_backend_service.this : backend.load_balancing_scheme == "EXTERNAL_MANAGED"])
    error_message = "A backend has the scheme of the classic load balancer."
  }
}

run "a_page_is_served_to_browsers" {
  command = plan

  module {
    source = "./modules/edge"
  }

  variables {
    dashboard = "projects/sightline-test/global/backendBuckets/page"
  }

  assert {
    condition     = google_compute_url_map.this.path_matcher[0].route_rules[0].route_action[0].url_rewrite[0].path_prefix_rewrite == "/dashboard/index.html"
    error_message = "The page is not found at the root."
  }

  assert {
    condition     = [for header in google_compute_url_map.this.path_matcher[0].route_rules[0].match_rules[0].header_matches : header.header_name] == [":method", "accept"]
    error_message = "Programs would get the page, too."
  }
}

run "regions_and_ranges_are_refused" {
  command = plan

  module {
    source = "./modules/edge"
  }

  variables {
    firewall = {
      allowed_regions = ["DE", "FR"]
      allowed_ranges  = ["192.0.2.0/24", "2001:db8::/32"]
      denied_ranges   = [for number in range(12) : "198.51.100.${number}/32"]
      preview         = true
    }
  }

  assert {
    condition     = length([for rule in google_compute_security_policy.this.rule : rule if rule.description == "denied ranges"]) == 2
    error_message = "A rule holds at most ten ranges."
  }

  assert {
    condition = contains(
      flatten([for rule in google_compute_security_policy.this.rule : rule.match[0].expr[*].expression]),
      "request.path != '/health' && !(inIpRange(origin.ip, '192.0.2.0/24') || inIpRange(origin.ip, '2001:db8::/32'))",
    )
    error_message = "Who is outside the allowed ranges is let in."
  }

  assert {
    condition = contains(
      flatten([for rule in google_compute_security_policy.this.rule : rule.match[0].expr[*].expression]),
      "request.path != '/health' && !origin.region_code.matches('^(DE|FR)$')",
    )
    error_message = "Who is outside the allowed regions is let in."
  }

  assert {
    condition     = alltrue([for rule in google_compute_security_policy.this.rule : rule.preview == startswith(rule.description, "managed") if rule.preview != null])
    error_message = "Managed rules are to log only, and they alone."
  }
}

run "a_route_that_is_none_is_refused" {
  command = plan

  module {
    source = "./modules/edge"
  }

  variables {
    backends = { query = { service = "query", routes = ["GET /", "FETCH /health"] } }
  }

  expect_failures = [var.backends]
}

run "somebody_must_answer_at_the_root" {
  command = plan

  module {
    source = "./modules/edge"
  }

  variables {
    backends = { query = { service = "query", routes = ["GET /health"] } }
  }

  expect_failures = [var.backends]
}

run "five_allowed_ranges_are_too_many" {
  command = plan

  module {
    source = "./modules/edge"
  }

  variables {
    firewall = { allowed_ranges = [for number in range(5) : "192.0.2.${number}/32"] }
  }

  expect_failures = [var.firewall]
}
