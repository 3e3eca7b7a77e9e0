# The APIs that bootstrapping and building need; the deployment enables its own.
resource "google_project_service" "this" {
  for_each = toset([
    "artifactregistry.googleapis.com",
    "cloudbuild.googleapis.com",
    "cloudresourcemanager.googleapis.com",
    "compute.googleapis.com",
    "iam.googleapis.com",
    "iamcredentials.googleapis.com",
    "logging.googleapis.com",
    "pubsub.googleapis.com",
    "secretmanager.googleapis.com",
    "serviceusage.googleapis.com",
    "storage.googleapis.com",
  ])

  service            = each.value
  disable_on_destroy = false
}

# Some organisations let Google make these accounts editors of the project. Nothing runs as them; and the deploy account,
# which must be able to grant who acts as an account, shall find none that is worth acting as.
resource "google_project_default_service_accounts" "this" {
  project        = var.project_id
  action         = "DEPRIVILEGE"
  restore_policy = "NONE"

  depends_on = [google_project_service.this]
}

data "google_project" "this" {
  project_id = var.project_id

  depends_on = [google_project_service.this]
}
