variable "project_id" {
  description = "The project the secrets belong to."
  type        = string
}

variable "region" {
  description = "The one region they are kept in."
  type        = string
}

variable "secrets" {
  description = "By environment variable: the secret's name, and the accounts (by their names in the topology) that read it. `present`: it has a version, or gets one, so functions may refer to it."
  type = map(object({
    name    = string
    readers = list(string)
    present = bool
  }))
}

variable "values" {
  description = "Values to write, by environment variable; null: nothing is written."
  type        = map(string)
  sensitive   = true
}

variable "values_version" {
  description = "Values are written anew when this is raised."
  type        = number
}

variable "members" {
  description = "The accounts by their names in the topology, as IAM policies name them."
  type        = map(string)
}

variable "kms_key" {
  description = "The whole name of the key the values are encrypted with; null: Google's own."
  type        = string
  default     = null
}

variable "labels" {
  description = "Labels of the secrets."
  type        = map(string)
  default     = {}
}
