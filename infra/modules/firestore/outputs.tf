output "name" {
  description = "The database's id, once its rules are in force."
  value       = google_firestore_database.this.name
  depends_on  = [google_firebaserules_release.this]
}
