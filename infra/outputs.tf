output "functions" {
  description = "The deployed functions: each one's address (not for the world: see `url`) and the account it runs as."
  value       = { for name, function in module.functions : name => { uri = function.uri, account = module.accounts.emails[name] } }
}

output "accounts" {
  description = "Everybody's service account, by the name in the topology."
  value       = module.accounts.emails
}

output "topics" {
  description = "The topics' whole names."
  value       = module.messaging.topics
}

output "dead_letter_subscription" {
  description = "Where messages wait that could not be handled."
  value       = module.messaging.dead_letter_subscription
}

output "queues" {
  description = "The Cloud Tasks queues' whole names."
  value       = module.messaging.queues
}

output "buckets" {
  description = "The buckets' names by the topology's, and that of the functions' bundles."
  value       = merge(module.storage.names, { sources = google_storage_bucket.sources.name })
}

output "image_repository" {
  description = "Where images are pushed to."
  value       = local.image_repository
}

output "next" {
  description = "What is to be done next, if anything: how the image of the streams is made."
  value = var.live_image != null ? [] : [
    for name in keys(local.services) : join(" ", [
      "unzip -o ${var.bundles}/${name}.zip -d ${var.bundles}/${name} &&",
      "gcloud builds submit ${var.bundles}/${name} --project=${var.project_id} --region=${var.region}",
      "--pack=image=${local.image_repository}/${name}",
      "# then set live_image to the image with its digest, and apply again",
    ])
  ]
}
