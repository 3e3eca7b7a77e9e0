# Each bucket's name is for whoever puts it into an environment: its rights are granted by then.
output "names" {
  description = "The buckets' names by their keys in the topology."
  value       = { for key, bucket in google_storage_bucket.this : key => bucket.name }
  depends_on  = [google_storage_bucket_iam_member.this]
}
