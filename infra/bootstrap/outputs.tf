output "state_bucket" {
  description = "Where Terraform's state is: STATE_BUCKET of `make plan`."
  value       = google_storage_bucket.this["state"].name
}

output "releases" {
  description = "Where releases are kept: RELEASES of `make plan`."
  value       = google_storage_bucket.this["releases"].url
}

output "deploy_account" {
  description = "The account that deploys: `deployer` among the deployment's variables."
  value       = google_service_account.this["deploy"].email
}

output "images" {
  description = "Where the image of the streams goes: IMAGE of `make live-image`."
  value       = "${var.region}-docker.pkg.dev/${var.project_id}/${google_artifact_registry_repository.releases.repository_id}/live"
}

output "roles" {
  description = "The predefined roles of the accounts that build, each with its reason."
  value       = { deploy = local.deploy_roles, plan = local.plan_roles }
}
