output "service" {
  description = "The service's name."
  value       = google_cloud_run_v2_service.this.name
}

output "uri" {
  description = "Where it is called; only from within, or by the load balancer."
  value       = google_cloud_run_v2_service.this.uri
}
