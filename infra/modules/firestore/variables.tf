variable "project_id" {
  description = "The project the database belongs to."
  type        = string
}

variable "name" {
  description = "The database's id."
  type        = string

  validation {
    condition     = var.name == "(default)" || can(regex("^[a-z][a-z0-9-]{2,61}[a-z0-9]$", var.name))
    error_message = "A database is (default), or has 4 to 63 lower-case letters, digits and hyphens and begins with a letter."
  }
}

variable "location" {
  description = "The region or multi-region (eur3, nam5); it can't be changed later."
  type        = string
}

variable "deletion_protection" {
  description = "Whether Google refuses to delete the database, and Terraform leaves it when everything else is destroyed."
  type        = bool
}

variable "backup_days" {
  description = "For how many days each day's backup is kept."
  type        = number

  validation {
    condition     = var.backup_days >= 1 && var.backup_days <= 98 && floor(var.backup_days) == var.backup_days
    error_message = "Firestore keeps backups for 1 to 98 whole days."
  }
}

variable "indexes" {
  description = "The composite indexes; a leading `-` means descending."
  type = list(object({
    collection = string
    fields     = list(string)
  }))

  validation {
    condition     = alltrue([for index in var.indexes : length(index.fields) >= 2])
    error_message = "A composite index has two fields or more: single ones are indexed without being asked."
  }
}

variable "expiry" {
  description = "Documents that are worthless once the time in a field has come; one field a collection."
  type = list(object({
    collection = string
    field      = string
  }))

  validation {
    condition     = length(distinct(var.expiry[*].collection)) == length(var.expiry)
    error_message = "Firestore takes one such field a collection."
  }
}

variable "unindexed" {
  description = "Fields without an index of their own."
  type = list(object({
    collection = string
    fields     = list(string)
  }))
}

variable "rules" {
  description = "The security rules: what browsers may read past the functions."
  type        = string
}

variable "kms_key" {
  description = "The whole name of the key the database is encrypted with, which can't be changed later; null: Google's own."
  type        = string
  default     = null
}
