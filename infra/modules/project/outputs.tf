output "id" {
  description = "The project's id, once its APIs are enabled: who names the project by it comes after them."
  value       = var.project_id
  depends_on  = [google_project_service.this]
}

output "number" {
  description = "The project's number."
  value       = data.google_project.this.number
}

output "agents" {
  description = "The addresses of Google's service agents in this project: artifacts, firestore, functions, pubsub, run, scheduler, secrets, storage, tasks."
  value       = { for name, domain in local.agent_domains : name => "service-${data.google_project.this.number}@${domain}.iam.gserviceaccount.com" }
  depends_on  = [google_project_service.this, data.google_storage_project_service_account.this]
}
