# Secrets by themselves: who reads which, and that a value stays where it belongs.
# Nobody is asked, so that the real provider needs no credentials here.
mock_provider "google" {}

variables {
  project_id     = "sightline-test"
  region         = "europe-west1"
  values         = { TOKEN = "not-to-be-seen", OTHERS = null }
  values_version = 3
  members        = { api = "serviceAccount:api@example.org" }

  secrets = {
    TOKEN  = { name = "test-token", readers = ["api"], present = true }
    OTHERS = { name = "test-others", readers = [], present = false }
  }
}

run "a_value_is_written_once_a_version_and_only_where_there_is_one" {
  command = plan

  module {
    source = "./modules/secrets"
  }

  assert {
    condition     = keys(google_secret_manager_secret_version.this) == ["TOKEN"] && google_secret_manager_secret_version.this["TOKEN"].secret_data_wo_version == 3
    error_message = "A value is written that nobody gave."
  }

  assert {
    condition     = google_secret_manager_secret_version.this["TOKEN"].secret_data == null && google_secret_manager_secret_version.this["TOKEN"].deletion_policy == "ABANDON"
    error_message = "The value lies in the state, or goes when Terraform is told no more of it."
  }
}

run "functions_are_told_of_secrets_that_have_a_value" {
  command = plan

  module {
    source = "./modules/secrets"
  }

  assert {
    condition     = output.ids == { TOKEN = "test-token" }
    error_message = "A function that refers to a secret without a value does not start."
  }

  assert {
    condition     = { for key, grant in google_secret_manager_secret_iam_member.this : key => grant.role } == { "api:TOKEN" = "roles/secretmanager.secretAccessor" }
    error_message = "Somebody reads a secret that they don't name."
  }
}

run "values_lie_in_one_region" {
  command = plan

  module {
    source = "./modules/secrets"
  }

  assert {
    condition     = [for replica in google_secret_manager_secret.this["TOKEN"].replication[0].user_managed[0].replicas : replica.location] == ["europe-west1"]
    error_message = "They leave the region."
  }
}
