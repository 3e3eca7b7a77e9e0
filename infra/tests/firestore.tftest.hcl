# The database by itself.
# Nobody is asked, so that the real provider needs no credentials here.
mock_provider "google" {}

variables {
  project_id          = "sightline-test"
  name                = "(default)"
  location            = "europe-west1"
  deletion_protection = true
  backup_days         = 28
  rules               = "service cloud.firestore {}"
  indexes             = [{ collection = "things", fields = ["kind", "-at"] }]
  expiry              = [{ collection = "memos", field = "until" }, { collection = "notes", field = "until" }]
  unindexed           = [{ collection = "memos", fields = ["text", "until"] }]
}

run "it_can_be_put_back" {
  command = plan

  module {
    source = "./modules/firestore"
  }

  assert {
    condition     = google_firestore_database.this.delete_protection_state == "DELETE_PROTECTION_ENABLED" && google_firestore_database.this.deletion_policy == "ABANDON"
    error_message = "It can be deleted by mistake."
  }

  assert {
    condition     = google_firestore_database.this.point_in_time_recovery_enablement == "POINT_IN_TIME_RECOVERY_ENABLED"
    error_message = "It can't be put back to a minute."
  }

  assert {
    condition     = google_firestore_backup_schedule.daily.retention == "2419200s" && length(google_firestore_backup_schedule.daily.daily_recurrence) == 1
    error_message = "It is not saved every day, for 28 days."
  }
}

run "a_minus_is_a_descending_field" {
  command = plan

  module {
    source = "./modules/firestore"
  }

  assert {
    condition     = [for field in google_firestore_index.this["things:kind,-at"].fields : "${field.field_path} ${field.order}"] == ["kind ASCENDING", "at DESCENDING"]
    error_message = "The index is another."
  }
}

run "each_field_has_one_setting" {
  command = plan

  module {
    source = "./modules/firestore"
  }

  assert {
    condition = { for key, field in google_firestore_field.this : key => [length(field.index_config), length(field.ttl_config)] } == {
      "memos:text"  = [1, 0]
      "memos:until" = [1, 1]
      "notes:until" = [0, 1]
    }
    error_message = "A field expires that does not, or the other way round."
  }

  assert {
    condition     = length(google_firestore_field.this["memos:text"].index_config[0].indexes) == 0
    error_message = "The exempt field is indexed."
  }
}

run "rules_are_in_force_for_the_database_of_their_name" {
  command = plan

  module {
    source = "./modules/firestore"
  }

  variables {
    name = "second"
  }

  assert {
    condition     = google_firebaserules_release.this.name == "cloud.firestore/second"
    error_message = "The rules are those of another database."
  }
}

run "an_environment_that_may_go_takes_its_database_along" {
  command = plan

  module {
    source = "./modules/firestore"
  }

  variables {
    deletion_protection = false
  }

  assert {
    condition     = google_firestore_database.this.delete_protection_state == "DELETE_PROTECTION_DISABLED" && google_firestore_database.this.deletion_policy == "DELETE"
    error_message = "The database stays."
  }
}

run "two_ends_of_a_document_are_refused" {
  command = plan

  module {
    source = "./modules/firestore"
  }

  variables {
    expiry = [{ collection = "memos", field = "until" }, { collection = "memos", field = "at" }]
  }

  expect_failures = [var.expiry]
}

run "an_index_of_one_field_is_refused" {
  command = plan

  module {
    source = "./modules/firestore"
  }

  variables {
    indexes = [{ collection = "things", fields = ["kind"] }]
  }

  expect_failures = [var.indexes]
}
