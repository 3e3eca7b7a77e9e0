output "topics" {
  description = "The topics' whole names (`projects/…/topics/…`) by their short ones."
  value       = { for name, topic in google_pubsub_topic.this : name => "projects/${topic.project}/topics/${topic.name}" }
}

output "dead_letter_topic" {
  description = "The whole name of the topic of messages that could not be handled."
  value       = "projects/${var.project_id}/topics/${google_pubsub_topic.dead_letters.name}"
}

output "dead_letter_subscription" {
  description = "The short name of the subscription that keeps them."
  value       = google_pubsub_subscription.dead_letters.name
}

output "queues" {
  description = "The queues' whole names (`projects/…/locations/…/queues/…`) by their short ones."
  value       = { for name, queue in google_cloud_tasks_queue.this : name => "projects/${queue.project}/locations/${queue.location}/queues/${queue.name}" }
}
