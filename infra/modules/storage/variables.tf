variable "project_id" {
  description = "The project the buckets belong to."
  type        = string
}

variable "location" {
  description = "The region or multi-region the buckets lie in."
  type        = string
}

variable "buckets" {
  description = "The topology's buckets by their keys, each with its name in the world. `public`: anybody may read an object whose name they know. `browser_methods`: what pages of `allowed_origins` may do there with signed URLs."
  type = map(object({
    name            = string
    public          = optional(bool, false)
    versioned       = optional(bool, false)
    browser_methods = optional(list(string), [])
    lifecycle = optional(list(object({
      action     = string
      after_days = number
      prefix     = optional(string)
    })), [])
    notifications = optional(list(object({
      prefix = string
      topic  = string
    })), [])
  }))

  validation {
    condition     = alltrue([for bucket in var.buckets : can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", bucket.name))])
    error_message = "A bucket's name has 3 to 63 lower-case letters, digits and hyphens: choose a shorter bucket_prefix."
  }
}

variable "allowed_origins" {
  description = "The origins of pages that may use signed URLs from a browser."
  type        = list(string)
}

variable "soft_delete_days" {
  description = "For how many days what was deleted or overwritten can be restored: 0, or 7 to 90."
  type        = number
}

variable "grants" {
  description = "The topology's roles; those on buckets are granted here. `prefix` empty: on every object and on the bucket."
  type = list(object({
    account = string
    role    = string
    kind    = string
    target  = optional(string, "")
    prefix  = optional(string, "")
  }))
}

variable "members" {
  description = "The accounts by their names in the topology, as IAM policies name them."
  type        = map(string)
}

variable "topics" {
  description = "The topics' whole names (`projects/…/topics/…`) by their short ones."
  type        = map(string)
}

variable "storage_agent" {
  description = "The address of Cloud Storage's service agent, which publishes the notifications."
  type        = string
}

variable "kms_key" {
  description = "The whole name of the key that objects are encrypted with; null: Google's own."
  type        = string
  default     = null
}

variable "labels" {
  description = "Labels of the buckets."
  type        = map(string)
  default     = {}
}
