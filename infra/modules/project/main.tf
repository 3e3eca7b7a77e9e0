# The APIs that Sightline uses, and who Google's own service agents are in this project.
resource "google_project_service" "this" {
  for_each = var.apis

  project = var.project_id
  service = each.key

  # Others may use the API in the same project, and a disabled API takes what it made with it.
  disable_on_destroy = false
}

# Read before any API is enabled: Terraform itself needs Cloud Resource Manager, which therefore is enabled by hand.
data "google_project" "this" {
  project_id = var.project_id
}

# Cloud Storage makes its agent when somebody first asks who it is; a role granted before is refused.
data "google_storage_project_service_account" "this" {
  project = var.project_id

  depends_on = [google_project_service.this]
}

locals {
  agent_domains = {
    artifacts = "gcp-sa-artifactregistry"
    firestore = "gcp-sa-firestore"
    functions = "gcf-admin-robot"
    pubsub    = "gcp-sa-pubsub"
    run       = "serverless-robot-prod"
    scheduler = "gcp-sa-cloudscheduler"
    secrets   = "gcp-sa-secretmanager"
    storage   = "gs-project-accounts"
    tasks     = "gcp-sa-cloudtasks"
  }
}
