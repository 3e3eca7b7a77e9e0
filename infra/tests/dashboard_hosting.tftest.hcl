# The page of tests/infra/dashboard, as it would be served.
# Nobody is asked, so that the real provider needs no credentials here.
mock_provider "google" {}

variables {
  project_id       = "sightline-test"
  domain           = "sightline.example.org"
  dashboard_folder = "../tests/infra/dashboard"
}

run "objects_have_their_types_and_caches" {
  command = plan

  assert {
    condition = { for file, object in google_storage_bucket_object.dashboard : object.name => [object.content_type, object.cache_control] } == {
      "dashboard/index.html"      = ["text/html; charset=utf-8", "no-cache"]
      "dashboard/app.3f2a9c1d.js" = ["text/javascript; charset=utf-8", "public, max-age=31536000, immutable"]
      "dashboard/style.css"       = ["text/css; charset=utf-8", "public, max-age=300"]
    }
    error_message = "A browser would refuse a file, or keep it too long."
  }
}

run "nobody_may_list_the_bucket" {
  command = plan

  assert {
    condition     = [for grant in google_storage_bucket_iam_member.dashboard : grant.role] == ["roles/storage.legacyObjectReader"]
    error_message = "More than reading an object by its name is granted to everybody."
  }

  assert {
    condition     = google_storage_bucket.dashboard["dashboard"].uniform_bucket_level_access
    error_message = "Single objects may have access lists of their own."
  }
}

run "the_page_may_load_its_own_files_only" {
  command = plan

  assert {
    condition = anytrue([
      for header in google_compute_backend_bucket.dashboard["dashboard"].custom_response_headers :
      startswith(header, "Content-Security-Policy: default-src 'self';")
    ])
    error_message = "Scripts of others may run in the page."
  }
}

run "the_bucket_fits_a_global_load_balancer" {
  command = plan

  assert {
    condition     = google_storage_bucket.dashboard["dashboard"].force_destroy
    error_message = "Earlier versions of the page would keep the bucket when everything else is taken down."
  }

  # The provider and Google know this word for load balancers of a region alone.
  assert {
    condition     = google_compute_backend_bucket.dashboard["dashboard"].load_balancing_scheme == null
    error_message = "Google would refuse the backend bucket."
  }
}

run "without_a_folder_there_is_no_page" {
  command = plan

  variables {
    dashboard_folder = null
  }

  assert {
    condition     = length(google_storage_bucket.dashboard) == 0 && length(google_storage_bucket_iam_member.dashboard) == 0
    error_message = "A bucket is public for nothing."
  }
}

run "a_folder_without_a_page_is_refused" {
  command = plan

  variables {
    dashboard_folder = "../tests/infra"
  }

  expect_failures = [var.dashboard_folder]
}

run "who_may_not_call_may_not_load_the_page" {
  command = plan

  variables {
    firewall = { allowed_regions = ["DE"], denied_ranges = ["198.51.100.0/24"] }
  }

  assert {
    condition     = length([for rule in google_compute_security_policy.dashboard["dashboard"].rule : rule if rule.action == "deny(403)"]) == 2
    error_message = "The page is open to those who are refused by the functions."
  }

  # The rules that a path decides are for policies behind the cache.
  assert {
    condition     = !strcontains(jsonencode([for rule in google_compute_security_policy.dashboard["dashboard"].rule : rule.match]), "request.path")
    error_message = "The policy of the edge looks at paths."
  }
}
