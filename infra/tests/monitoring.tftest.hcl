# Monitoring by itself: what a domain, objectives and limits change.
# Nobody is asked, so that the real provider needs no credentials here.
mock_provider "google" {}

variables {
  project_id               = "sightline-test"
  emails                   = ["watch@example.org"]
  url_map                  = "sightline"
  dead_letter_subscription = "held"
  scheduled                = { sweep = 60 }

  functions = {
    sweep = { service = "sweep", timeout = 540, answers = false }
    query = { service = "projects/sightline-test/locations/europe-west1/services/query", timeout = 30, answers = true }
  }
}

run "a_domain_is_asked_for_its_health" {
  command = apply

  module {
    source = "./modules/monitoring"
  }

  variables {
    domain = "sightline.example.org"
  }

  assert {
    condition     = google_monitoring_uptime_check_config.health["sightline.example.org"].http_check[0].validate_ssl
    error_message = "Any certificate would do."
  }

  assert {
    condition     = contains(keys(google_monitoring_alert_policy.this), "uptime") && contains(keys(google_monitoring_alert_policy.this), "certificate")
    error_message = "Nobody would hear of it."
  }

  assert {
    condition     = alltrue([for policy in google_monitoring_alert_policy.this : length(policy.notification_channels) == 1])
    error_message = "An alert tells nobody."
  }
}

run "without_a_domain_nothing_is_asked" {
  command = plan

  module {
    source = "./modules/monitoring"
  }

  assert {
    condition     = length(google_monitoring_uptime_check_config.health) == 0 && !contains(keys(google_monitoring_alert_policy.this), "uptime")
    error_message = "There is no host to ask."
  }
}

run "slowness_follows_from_the_timeout_and_concerns_who_is_waited_for" {
  command = plan

  module {
    source = "./modules/monitoring"
  }

  assert {
    condition     = google_monitoring_alert_policy.this["latency_query"].conditions[0].condition_threshold[0].threshold_value == 3000
    error_message = "A tenth of 30 s is 3,000 ms."
  }

  assert {
    condition     = !contains(keys(google_monitoring_alert_policy.this), "latency_sweep")
    error_message = "Nobody waits for the sweeper."
  }
}

run "what_is_scheduled_seldom_is_missed_late" {
  command = plan

  module {
    source = "./modules/monitoring"
  }

  variables {
    scheduled = { sweep = 3600 }
  }

  assert {
    condition     = google_monitoring_alert_policy.this["silent_sweep"].conditions[0].condition_absent[0].duration == "18000s"
    error_message = "After five intervals it is missed."
  }
}

run "objectives_are_as_asked" {
  command = plan

  module {
    source = "./modules/monitoring"
  }

  variables {
    objectives = { availability = 0.999, analysed_seconds = 60 }
  }

  assert {
    condition     = google_monitoring_slo.this["availability"].goal == 0.999
    error_message = "The objective is another."
  }

  assert {
    condition     = google_monitoring_slo.this["analysed"].request_based_sli[0].distribution_cut[0].range[0].max == 60
    error_message = "The limit is another."
  }
}

run "nothing_is_perfect" {
  command = plan

  module {
    source = "./modules/monitoring"
  }

  variables {
    objectives = { availability = 1 }
  }

  expect_failures = [var.objectives]
}
