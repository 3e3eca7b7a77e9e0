# What runs, and what is refused before anything is made.
# Nobody is asked, so that the real provider needs no credentials here.
mock_provider "google" {}

variables {
  project_id = "sightline-test"
  region     = "europe-west1"
}

run "by_default" {
  command = plan

  assert {
    condition     = length(module.live) == 0 && length(output.next) == length(local.services)
    error_message = "Without an image there is no service, and the outputs say how one is made."
  }

  assert {
    condition     = alltrue([for name, function in local.functions : local.environments[name].WS_ENABLED == "false" if contains(try(function.variables, []), "WS_ENABLED")])
    error_message = "Who asks whether there are WebSockets is not told of what is not deployed."
  }

  assert {
    condition     = toset(keys(module.functions)) == toset(keys(local.gen2_functions))
    error_message = "Every function of the second generation is deployed."
  }
}

run "with_an_image_of_the_streams" {
  command = plan

  variables {
    live_image = "europe-west1-docker.pkg.dev/sightline-test/sightline/live@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  }

  assert {
    condition     = keys(module.live) == keys(local.services) && length(output.next) == 0
    error_message = "The service is deployed from the image, and nothing is left to do."
  }

  assert {
    condition     = alltrue([for name, environment in local.environments : !contains(keys(environment), "WS_ENABLED")])
    error_message = "WebSockets are left to the code's own default."
  }
}

run "an_image_that_is_none" {
  command = plan

  variables {
    live_image = "live image"
  }

  expect_failures = [var.live_image]
}

run "settings_reach_who_reads_them" {
  command = plan

  variables {
    settings = { INCIDENT_WINDOW_SECONDS = "120", LOG_LEVEL = "DEBUG" }
  }

  assert {
    condition = alltrue([
      for name, function in local.functions :
      lookup(local.environments[name], "INCIDENT_WINDOW_SECONDS", "") == (contains(try(function.variables, []), "INCIDENT_WINDOW_SECONDS") ? "120" : "")
    ])
    error_message = "A setting goes to every function that reads it and to no other."
  }

  assert {
    condition     = alltrue([for environment in local.environments : environment.LOG_LEVEL == "DEBUG"])
    error_message = "What is common goes to all."
  }
}

run "a_setting_nobody_reads" {
  command = plan

  variables {
    settings = { INCIDENT_WINDOW_SECOND = "120" }
  }

  expect_failures = [var.settings]
}

run "a_secret_among_the_settings" {
  command = plan

  variables {
    settings = { SIGHTLINE_API_TOKEN = "in plain sight" }
  }

  expect_failures = [var.settings]
}

run "an_emulator_among_the_settings" {
  command = plan

  variables {
    settings = { VISION_ENDPOINT = "127.0.0.1:1" }
  }

  expect_failures = [var.settings]
}

run "a_setting_that_is_the_deployments" {
  command = plan

  variables {
    settings = { MEDIA_BUCKET = "somebody-elses" }
  }

  expect_failures = [var.settings]
}

run "sizes_of_single_functions" {
  command = plan

  variables {
    function_overrides = { detect = { memory = 4096, min_instances = 1 } }
  }

  assert {
    condition     = local.sizes["detect"].memory == 4096 && local.sizes["detect"].min_instances == 1
    error_message = "What is overridden is so."
  }

  assert {
    condition     = local.sizes["detect"].cpu == local.functions.detect.cpu && local.sizes["detect"].max_instances == local.functions.detect.max_instances
    error_message = "What is not overridden is the topology's."
  }

  assert {
    condition     = local.environments["detect"].FUNCTION_MEMORY_MIB == "4096"
    error_message = "The function is told its size: it estimates its costs by it."
  }
}

run "sizes_of_a_function_there_is_not" {
  command = plan

  variables {
    function_overrides = { detector = { memory = 4096 } }
  }

  expect_failures = [var.function_overrides]
}

run "a_prefix_of_the_buckets" {
  command = plan

  variables {
    bucket_prefix = "a-prefix"
  }

  assert {
    condition     = google_storage_bucket.sources.name == "a-prefix-sources"
    error_message = "The bucket of bundles is named as the others are."
  }
}
