# With a domain: HTTPS, and HTTP leads there. Without: plain HTTP.
locals {
  domains = var.domain == null ? {} : { (var.domain) = var.domain }
}

resource "google_compute_managed_ssl_certificate" "this" {
  for_each = local.domains

  # A certificate can't be changed, so another domain's has another name and is there before this one goes.
  name = "${var.name}-${substr(md5(each.value), 0, 8)}"

  managed {
    domains = [each.value]
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "google_compute_ssl_policy" "this" {
  for_each = local.domains

  name            = var.name
  profile         = "MODERN"
  min_tls_version = "TLS_1_2"
}

resource "google_compute_target_https_proxy" "this" {
  for_each = local.domains

  name             = var.name
  url_map          = google_compute_url_map.this.id
  ssl_certificates = [google_compute_managed_ssl_certificate.this[each.key].id]
  ssl_policy       = google_compute_ssl_policy.this[each.key].id
}

resource "google_compute_global_forwarding_rule" "https" {
  for_each = local.domains

  name                  = "${var.name}-https"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  ip_address            = google_compute_global_address.this.id
  port_range            = "443"
  target                = google_compute_target_https_proxy.this[each.key].id
  labels                = var.labels
}

resource "google_compute_url_map" "to_https" {
  for_each = local.domains

  name        = "${var.name}-to-https"
  description = "HTTP leads to HTTPS."

  default_url_redirect {
    https_redirect         = true
    redirect_response_code = "MOVED_PERMANENTLY_DEFAULT"
    strip_query            = false
  }
}

resource "google_compute_target_http_proxy" "this" {
  name    = var.name
  url_map = var.domain == null ? google_compute_url_map.this.id : google_compute_url_map.to_https[var.domain].id
}

resource "google_compute_global_forwarding_rule" "http" {
  name                  = "${var.name}-http"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  ip_address            = google_compute_global_address.this.id
  port_range            = "80"
  target                = google_compute_target_http_proxy.this.id
  labels                = var.labels
}
