# Who deploys acts as the accounts that functions run, are built and are called as, and as no other: it is granted that
# on each of them and not on the project.
resource "google_service_account_iam_member" "deployer_runs" {
  for_each = var.deployer == null ? {} : module.accounts.emails

  service_account_id = "projects/${var.project_id}/serviceAccounts/${each.value}"
  role               = "roles/iam.serviceAccountUser"
  member             = "serviceAccount:${var.deployer}"
}

resource "google_service_account_iam_member" "deployer_builds" {
  for_each = toset(var.deployer[*])

  service_account_id = google_service_account.build.name
  role               = "roles/iam.serviceAccountUser"
  member             = "serviceAccount:${each.value}"
}
