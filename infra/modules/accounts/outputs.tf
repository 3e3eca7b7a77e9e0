# Put together from what is known before anything is made, so that a plan shows who may do what.
output "emails" {
  description = "The accounts' addresses, by their names in the topology."
  value       = local.emails
}

output "members" {
  description = "The same, as IAM policies name them."
  value       = local.members
}
