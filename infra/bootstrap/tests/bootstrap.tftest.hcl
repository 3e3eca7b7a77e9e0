# What must be there before the first deployment, as planned for an empty project.
variables {
  project_id  = "sightline-example"
  environment = "example"
}

run "without_a_repository" {
  command = plan

  assert {
    condition     = alltrue([for bucket in google_storage_bucket.this : bucket.uniform_bucket_level_access && bucket.public_access_prevention == "enforced" && bucket.versioning[0].enabled])
    error_message = "State and releases are versioned, and nobody else's."
  }

  assert {
    condition     = length(google_cloudbuild_trigger.plan) + length(google_cloudbuild_trigger.release) == 0
    error_message = "Without a repository nothing is built."
  }

  assert {
    condition     = length(setintersection([for grant in google_project_iam_member.this : grant.role], ["roles/owner", "roles/editor", "roles/viewer", "roles/storage.admin", "roles/datastore.owner", "roles/iam.serviceAccountUser", "roles/iam.serviceAccountTokenCreator", "roles/iam.serviceAccountAdmin", "roles/secretmanager.admin"])) == 0
    error_message = "The accounts that build have no wide role, and act as nobody."
  }

  assert {
    condition     = !strcontains(google_project_iam_member.grants.condition[0].expression, "projectIamAdmin") && strcontains(google_project_iam_member.grants.condition[0].expression, "'roles/datastore.user'")
    error_message = "The deploy account grants what functions need, and not its own power to grant."
  }

  assert {
    condition     = alltrue([for permission in google_project_iam_custom_role.this["plan"].permissions : can(regex("[.](get|getIamPolicy|getMetadata|list)$", permission))])
    error_message = "Who plans reads only."
  }

  assert {
    condition     = length([for permission in setunion(google_project_iam_custom_role.this["deploy"].permissions, google_project_iam_custom_role.this["plan"].permissions) : permission if can(regex("storage.objects|datastore.entities|versions.access|actAs|getAccessToken|signBlob|roles.update", permission))]) == 0
    error_message = "Neither reads people's data or secrets, acts as another account, or changes its own role."
  }

  assert {
    condition     = !contains([for grant in google_storage_bucket_iam_member.this : grant.role if grant.bucket == "sightline-example-sightline-state" && strcontains(grant.role, "object") && grant.role != "roles/storage.objectViewer"], "roles/storage.objectCreator")
    error_message = "Who plans does not write the state."
  }
}

run "files" {
  command = plan

  assert {
    condition     = { for account, grant in google_project_iam_member.files : account => grant.role } == { deploy = "roles/storage.objectUser", plan = "roles/storage.objectViewer" }
    error_message = "Bundles can't be uploaded, or a plan can't see them, or may write them."
  }

  assert {
    condition     = alltrue([for grant in google_project_iam_member.files : join(" ", distinct(flatten(regexall("buckets/([a-z-]+)", grant.condition[0].expression)))) == "sightline-example-sources sightline-example-dashboard"])
    error_message = "The accounts that build reach objects of people."
  }
}

run "a_budget" {
  command = plan

  variables {
    billing_account = "012345-6789AB-CDEF01"
  }

  assert {
    condition     = { for account, grant in google_billing_account_iam_member.this : account => grant.role } == { deploy = "roles/billing.costsManager", plan = "roles/billing.viewer" }
    error_message = "A budget can't be set, or a plan can't see it."
  }
}

run "with_a_repository" {
  command = plan

  variables {
    repository = { name = "projects/sightline-example/locations/europe-west1/connections/github/repositories/sightline" }
    approvers  = ["group:release@example.com"]
  }

  assert {
    condition     = google_cloudbuild_trigger.release["only"].approval_config[0].approval_required
    error_message = "A release waits for a person."
  }

  assert {
    condition     = google_cloudbuild_trigger.plan["only"].repository_event_config[0].push[0].branch == "^main$"
    error_message = "Only the branch itself is built, not every branch that begins like it."
  }

  assert {
    condition     = keys(google_project_iam_member.approvers) == ["group:release@example.com"]
    error_message = "Who approves is who was named."
  }
}

run "a_build_account_is_no_approver" {
  command = plan

  variables {
    approvers = ["serviceAccount:sightline-plan@sightline-example.iam.gserviceaccount.com"]
  }

  expect_failures = [var.approvers]
}

run "a_branch_is_no_pattern" {
  command = plan

  variables {
    repository = { name = "projects/p/locations/r/connections/c/repositories/n", branch = ".*" }
  }

  expect_failures = [var.repository]
}

run "a_kind_that_the_provider_does_not_know" {
  command = plan

  variables {
    repository = { name = "projects/p/locations/r/connections/c/repositories/n", kind = "GITLAB" }
  }

  expect_failures = [var.repository]
}
