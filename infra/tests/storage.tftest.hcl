# The buckets by themselves: who may do what there, what a browser may, what ends by itself.
# Nobody is asked, so that the real provider needs no credentials here.
mock_provider "google" {}

variables {
  project_id       = "sightline-test"
  location         = "europe-west1"
  allowed_origins  = ["https://dashboard.example.org"]
  soft_delete_days = 14
  storage_agent    = "service-1@gs-project-accounts.iam.gserviceaccount.com"
  topics           = { arrived = "projects/sightline-test/topics/arrived" }
  members          = { reader = "serviceAccount:reader@example.org", writer = "serviceAccount:writer@example.org" }

  buckets = {
    films = {
      name            = "test-films"
      browser_methods = ["GET", "PUT"]
      notifications   = [{ prefix = "new/", topic = "arrived" }]
      lifecycle = [
        { action = "delete", after_days = 2, prefix = "temporary/" },
        { action = "nearline", after_days = 30, prefix = "new/" },
      ]
    }
    pictures = { name = "test-pictures", public = true }
    models = {
      name      = "test-models"
      versioned = true
      lifecycle = [{ action = "delete_noncurrent", after_days = 90 }]
    }
  }

  grants = [
    { account = "reader", role = "roles/storage.objectViewer", kind = "bucket", target = "films" },
    { account = "writer", role = "roles/storage.objectUser", kind = "bucket", target = "films", prefix = "new/" },
    { account = "writer", role = "roles/pubsub.publisher", kind = "topic", target = "arrived" },
  ]
}

run "nobody_reaches_a_bucket_who_is_not_granted_it" {
  command = plan

  module {
    source = "./modules/storage"
  }

  assert {
    condition     = alltrue([for bucket in google_storage_bucket.this : bucket.uniform_bucket_level_access && !bucket.force_destroy])
    error_message = "A bucket has access lists, or can be destroyed with what is in it."
  }

  assert {
    condition     = google_storage_bucket.this["films"].public_access_prevention == "enforced"
    error_message = "Public access is not prevented."
  }

  assert {
    condition     = keys(google_storage_bucket_iam_member.public) == ["pictures"]
    error_message = "Others than the public bucket are public."
  }

  assert {
    condition     = google_storage_bucket_iam_member.public["pictures"].role == "roles/storage.legacyObjectReader"
    error_message = "Everybody may list the public bucket."
  }

  assert {
    condition     = length(google_storage_bucket_iam_member.this) == 2
    error_message = "Something else than roles on buckets is granted here."
  }

  assert {
    condition     = length(google_storage_bucket_iam_member.this["reader:roles/storage.objectViewer:films:"].condition) == 0
    error_message = "A role without a prefix has a condition."
  }

  assert {
    condition     = google_storage_bucket_iam_member.this["writer:roles/storage.objectUser:films:new/"].condition[0].expression == "resource.name.startsWith(\"projects/_/buckets/test-films/objects/new/\")"
    error_message = "The prefix is not the condition."
  }
}

run "the_agent_may_publish_what_arrives" {
  command = plan

  module {
    source = "./modules/storage"
  }

  assert {
    condition     = google_pubsub_topic_iam_member.announcer["arrived"].member == "serviceAccount:service-1@gs-project-accounts.iam.gserviceaccount.com"
    error_message = "Cloud Storage may not announce objects."
  }

  assert {
    condition     = google_storage_notification.this["films/new/"].object_name_prefix == "new/" && google_storage_notification.this["films/new/"].topic == "projects/sightline-test/topics/arrived"
    error_message = "Objects are announced elsewhere, or others are."
  }
}

run "only_the_named_pages_send_uploads_and_only_there" {
  command = plan

  module {
    source = "./modules/storage"
  }

  assert {
    condition     = google_storage_bucket.this["films"].cors[0].origin == tolist(["https://dashboard.example.org"]) && google_storage_bucket.this["films"].cors[0].method == tolist(["GET", "PUT"])
    error_message = "Other pages, or other methods."
  }

  assert {
    condition     = length(google_storage_bucket.this["pictures"].cors) + length(google_storage_bucket.this["models"].cors) == 0
    error_message = "Pages may speak to buckets that take no uploads."
  }
}

run "without_origins_no_page_does" {
  command = plan

  module {
    source = "./modules/storage"
  }

  variables {
    allowed_origins = []
  }

  assert {
    condition     = length(google_storage_bucket.this["films"].cors) == 0
    error_message = "A page may speak to the bucket."
  }
}

run "only_what_is_temporary_ends_by_itself" {
  command = plan

  module {
    source = "./modules/storage"
  }

  # One rule ends unfinished uploads, in every bucket.
  assert {
    condition     = length(google_storage_bucket.this["pictures"].lifecycle_rule) == 1
    error_message = "A bucket without rules has some."
  }

  assert {
    condition = [for rule in google_storage_bucket.this["films"].lifecycle_rule : one(rule.condition).matches_prefix if one(rule.action).type == "Delete"] == [
      tolist(["temporary/"])
    ]
    error_message = "What is not temporary is deleted by its age."
  }

  assert {
    condition = [
      for rule in google_storage_bucket.this["models"].lifecycle_rule : [one(rule.condition).with_state, one(rule.condition).num_newer_versions] if one(rule.action).type == "Delete"
    ] == [["ARCHIVED", 3]]
    error_message = "A live object is deleted, or the last versions."
  }

  assert {
    condition     = google_storage_bucket.this["films"].soft_delete_policy[0].retention_duration_seconds == 1209600
    error_message = "What is deleted by mistake can't be restored for 14 days."
  }
}

run "a_name_no_bucket_may_have_is_refused" {
  command = plan

  module {
    source = "./modules/storage"
  }

  variables {
    buckets = { films = { name = "Films_of_us" } }
    grants  = []
  }

  expect_failures = [var.buckets]
}
