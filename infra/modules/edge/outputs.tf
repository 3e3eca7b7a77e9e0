output "address" {
  description = "The IPv4 address; the domain's A record points at it."
  value       = google_compute_global_address.this.address
}

output "url" {
  description = "The one origin."
  # Not known before the address is reserved.
  value = var.domain == null ? try("http://${google_compute_global_address.this.address}", null) : "https://${var.domain}"
}

output "url_map" {
  description = "The URL map's name, which the load balancer's metrics bear."
  value       = google_compute_url_map.this.name
}

output "conditions" {
  description = "Of whom requests are refused, as expressions of Cloud Armor: for what else stands at the edge."
  value       = local.conditions
}
