# A key of the customer's own, if there is one: Google's agents that store data may use it, and nobody else is added.
resource "google_kms_crypto_key_iam_member" "this" {
  for_each = var.key == null ? {} : var.agents

  crypto_key_id = var.key
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = "serviceAccount:${each.value}"
}
