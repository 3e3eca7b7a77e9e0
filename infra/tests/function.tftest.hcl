# One function by itself: how its messages and its traffic come and go, and which it refuses to be.
# Nobody is asked, so that the real provider needs no credentials here.
mock_provider "google" {}

variables {
  name              = "notify"
  project_id        = "sightline-test"
  region            = "europe-west1"
  runtime           = "python313"
  bundle            = "pipeline.yaml"
  account           = "sightline-notify@sightline-test.iam.gserviceaccount.com"
  environment       = {}
  dead_letter_topic = "projects/sightline-test/topics/dead-letter"
  pubsub_agent      = "service-1@gcp-sa-pubsub.iam.gserviceaccount.com"
  triggers          = { due = "projects/sightline-test/topics/due" }

  build = {
    bucket     = "sources"
    repository = "projects/sightline-test/locations/europe-west1/repositories/sightline"
    account    = "projects/sightline-test/serviceAccounts/sightline-build@sightline-test.iam.gserviceaccount.com"
  }

  size = {
    memory        = 512
    cpu           = 1
    timeout       = 300
    concurrency   = 8
    max_instances = 20
  }

  delivery = {
    ack_deadline    = 600
    minimum_backoff = 10
    maximum_backoff = 600
    max_attempts    = 5
    retention       = 604800
    retention_of    = { due = 600 }
  }
}

run "messages_are_pushed_to_it" {
  module {
    source = "./modules/function"
  }

  assert {
    condition     = google_pubsub_subscription.push["due"].push_config[0].push_endpoint == google_cloudfunctions2_function.this.service_config[0].uri
    error_message = "Its messages go somewhere else."
  }

  assert {
    condition     = google_pubsub_subscription.push["due"].push_config[0].oidc_token[0].audience == google_cloudfunctions2_function.this.service_config[0].uri
    error_message = "The token of a push is for somebody else."
  }

  assert {
    condition     = google_pubsub_subscription.push["due"].message_retention_duration == "600s"
    error_message = "What is soon said again is kept for long."
  }

  assert {
    condition     = output.subscriptions == { due = "notify-on-due" }
    error_message = "The subscription is not named as everywhere else."
  }
}

run "without_a_connector_its_traffic_leaves_as_it_likes" {
  command = plan

  module {
    source = "./modules/function"
  }

  assert {
    condition     = google_cloudfunctions2_function.this.service_config[0].vpc_connector_egress_settings == null
    error_message = "Google refuses egress settings without a connector."
  }
}

run "with_a_connector_all_its_traffic_leaves_by_it" {
  command = plan

  module {
    source = "./modules/function"
  }

  variables {
    vpc_connector = "projects/sightline-test/locations/europe-west1/connectors/out"
  }

  assert {
    condition     = google_cloudfunctions2_function.this.service_config[0].vpc_connector_egress_settings == "ALL_TRAFFIC"
    error_message = "Some of its traffic goes around the perimeter."
  }
}

run "nobody_pushes_to_what_has_no_trigger" {
  command = plan

  module {
    source = "./modules/function"
  }

  variables {
    public   = true
    triggers = {}
  }

  assert {
    condition     = length(google_service_account.push) == 0 && length(google_pubsub_subscription.push) == 0
    error_message = "There is an account that nobody needs."
  }
}

run "what_is_pushed_to_is_not_public" {
  command = plan

  module {
    source = "./modules/function"
  }

  variables {
    public = true
  }

  expect_failures = [var.triggers]
}

run "a_push_that_outlasts_its_deadline" {
  command = plan

  module {
    source = "./modules/function"
  }

  variables {
    size = { memory = 512, cpu = 1, timeout = 541, concurrency = 1, max_instances = 1 }
  }

  expect_failures = [var.triggers]
}

run "several_at_a_time_on_a_part_of_a_cpu" {
  command = plan

  module {
    source = "./modules/function"
  }

  variables {
    size = { memory = 256, cpu = 0.5, timeout = 60, concurrency = 2, max_instances = 1 }
  }

  expect_failures = [var.size]
}

run "more_memory_than_goes_with_its_cpus" {
  command = plan

  module {
    source = "./modules/function"
  }

  variables {
    size = { memory = 8192, cpu = 1, timeout = 60, concurrency = 1, max_instances = 1 }
  }

  expect_failures = [var.size]
}

run "a_name_too_long_for_the_account_that_pushes" {
  command = plan

  module {
    source = "./modules/function"
  }

  variables {
    name = "sixteen-letters-"
  }

  expect_failures = [var.name]
}
