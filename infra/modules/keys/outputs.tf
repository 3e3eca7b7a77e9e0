output "name" {
  description = "The key's whole name, once it may be used; null without one."
  value       = var.key
  depends_on  = [google_kms_crypto_key_iam_member.this]
}
