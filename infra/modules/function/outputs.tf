output "service" {
  description = "The name of the Cloud Run service that the function is."
  value       = google_cloudfunctions2_function.this.name
}

output "uri" {
  description = "Where it is called; only from within, or by the load balancer."
  value       = google_cloudfunctions2_function.this.service_config[0].uri
}

output "subscriptions" {
  description = "Its subscriptions' names by their topics."
  value       = { for topic, subscription in google_pubsub_subscription.push : topic => subscription.name }
}
