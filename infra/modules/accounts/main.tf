# One service account for each function, and for everybody else the topology names. Nothing runs as the project's
# default account, and none has a key: whoever acts as one is granted that on the account itself.
resource "google_service_account" "this" {
  for_each = var.accounts

  project      = var.project_id
  account_id   = "sightline-${each.key}"
  display_name = "Sightline: ${each.value}"
}

locals {
  emails  = { for name, account in google_service_account.this : name => "${account.account_id}@${account.project}.iam.gserviceaccount.com" }
  members = { for name, email in local.emails : name => "serviceAccount:${email}" }

  grants = {
    for grant in var.grants : join(":", [grant.account, grant.role, grant.kind, grant.target]) => grant
    if contains(["project", "account"], grant.kind)
  }
}

# Only what Google grants no smaller than on a project.
resource "google_project_iam_member" "this" {
  #checkov:skip=CKV_GCP_42:firebasecloudmessaging.admin sends messages and administers nothing, whatever its name
  for_each = { for key, grant in local.grants : key => grant if grant.kind == "project" }

  project = var.project_id
  role    = each.value.role
  member  = local.members[each.value.account]
}

resource "google_service_account_iam_member" "this" {
  for_each = { for key, grant in local.grants : key => grant if grant.kind == "account" }

  service_account_id = "projects/${var.project_id}/serviceAccounts/${local.emails[each.value.target]}"
  role               = each.value.role
  member             = local.members[each.value.account]
}
