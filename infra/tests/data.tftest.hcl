# The root as far as it keeps data: what its variables change.
# Nobody is asked, so that the real provider needs no credentials here.
mock_provider "google" {}

variables {
  project_id = "sightline-test"
  bundles    = "../dist"
}

run "a_project_is_all_that_must_be_said" {
  command = plan

  assert {
    condition     = output.buckets.media == "sightline-test-media"
    error_message = "Buckets are not named after the project."
  }

  assert {
    condition     = keys(module.secrets.ids) == ["SIGHTLINE_API_TOKEN"]
    error_message = "Functions are told of users' tokens that nobody gave, or not of the API's."
  }

  assert {
    condition     = module.keys.name == null
    error_message = "A key is used that nobody named."
  }

  assert {
    condition     = module.firestore.name == "(default)"
    error_message = "The database has another name."
  }
}

run "users_tokens_reach_the_functions_once_there_are_some" {
  command = plan

  variables {
    user_tokens = "viewer:someone:0123456789abcdef"
  }

  assert {
    condition     = contains(keys(module.secrets.ids), "SIGHTLINE_USER_TOKENS")
    error_message = "Functions are not told of users' tokens."
  }
}

run "a_short_token_is_refused" {
  command = plan

  variables {
    api_token = "secret"
  }

  expect_failures = [var.api_token]
}

run "every_page_is_none" {
  command = plan

  variables {
    allowed_origins = ["*"]
  }

  expect_failures = [var.allowed_origins]
}

run "what_is_no_key_is_refused" {
  command = plan

  variables {
    kms_key = "my-key"
  }

  expect_failures = [var.kms_key]
}

run "three_days_of_soft_deletion_are_refused" {
  command = plan

  variables {
    soft_delete_days = 3
  }

  expect_failures = [var.soft_delete_days]
}
