output "ids" {
  description = "The names of the secrets that have a value, by environment variable, once they can be read."
  value       = { for variable, secret in google_secret_manager_secret.this : variable => secret.secret_id if var.secrets[variable].present }
  depends_on = [
    google_secret_manager_secret_version.this,
    google_secret_manager_secret_iam_member.this,
  ]
}
