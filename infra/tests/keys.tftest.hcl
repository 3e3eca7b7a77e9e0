# The customer's own key: who may use it, and that nothing is granted without one.
# Nobody is asked, so that the real provider needs no credentials here.
mock_provider "google" {}

variables {
  key    = "projects/p/locations/europe-west1/keyRings/r/cryptoKeys/k"
  agents = { storage = "storage@example.org", pubsub = "pubsub@example.org" }
}

run "googles_agents_encrypt_with_it_and_nobody_else" {
  command = plan

  module {
    source = "./modules/keys"
  }

  assert {
    condition = { for name, grant in google_kms_crypto_key_iam_member.this : name => "${grant.role} ${grant.member}" } == {
      pubsub  = "roles/cloudkms.cryptoKeyEncrypterDecrypter serviceAccount:pubsub@example.org"
      storage = "roles/cloudkms.cryptoKeyEncrypterDecrypter serviceAccount:storage@example.org"
    }
    error_message = "Somebody may use the key who should not, or the other way round."
  }
}

run "without_one_nothing_is_granted" {
  command = plan

  module {
    source = "./modules/keys"
  }

  variables {
    key = null
  }

  assert {
    condition     = length(google_kms_crypto_key_iam_member.this) == 0 && output.name == null
    error_message = "A role is granted on no key."
  }
}
