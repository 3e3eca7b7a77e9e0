# The budget, which only who names a billing account has.
# Nobody is asked, so that the real provider needs no credentials here.
mock_provider "google" {}

variables {
  project_id   = "sightline-test"
  domain       = "sightline.example.org"
  alert_emails = [for number in range(7) : "watch${number}@example.org"]
}

run "without_a_billing_account_there_is_no_budget" {
  command = plan

  assert {
    condition     = length(google_billing_budget.monthly) == 0
    error_message = "Nobody named an account."
  }
}

run "a_budget_tells_before_it_is_spent" {
  command = plan

  variables {
    billing_account = "012345-6789AB-CDEF01"
    monthly_budget  = 500
  }

  assert {
    condition     = google_billing_budget.monthly["012345-6789AB-CDEF01"].amount[0].specified_amount[0].units == "500"
    error_message = "The amount is another."
  }

  assert {
    condition     = [for rule in google_billing_budget.monthly["012345-6789AB-CDEF01"].threshold_rules : rule.threshold_percent] == [0.5, 0.9, 1, 1]
    error_message = "Nobody hears of it in time."
  }
}

run "a_billing_account_that_is_none_is_refused" {
  command = plan

  variables {
    billing_account = "my-account"
  }

  expect_failures = [var.billing_account]
}
