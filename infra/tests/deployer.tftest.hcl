# Who deploys acts as the accounts of the deployment, on each of them; without a deployer nothing of it is granted.
# Nobody is asked, so that the real provider needs no credentials here.
mock_provider "google" {}

variables {
  project_id = "sightline-example"
}

run "an_account_that_deploys" {
  command = plan

  variables {
    deployer = "sightline-deploy@sightline-example.iam.gserviceaccount.com"
  }

  assert {
    condition     = length(google_service_account_iam_member.deployer_runs) == length(local.functions) + length(local.topology.accounts)
    error_message = "It acts as every account that something runs as."
  }

  assert {
    condition     = alltrue([for grant in concat(values(google_service_account_iam_member.deployer_runs), values(google_service_account_iam_member.deployer_builds)) : grant.role == "roles/iam.serviceAccountUser" && grant.member == "serviceAccount:sightline-deploy@sightline-example.iam.gserviceaccount.com"])
    error_message = "It acts as them, and makes no tokens of theirs."
  }
}

run "a_person_deploys" {
  command = plan

  assert {
    condition     = length(google_service_account_iam_member.deployer_runs) + length(google_service_account_iam_member.deployer_builds) == 0
    error_message = "Nobody is granted anything."
  }
}

run "everybody_does_not_deploy" {
  command = plan

  variables {
    deployer = "allUsers"
  }

  expect_failures = [var.deployer]
}
