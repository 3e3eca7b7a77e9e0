variable "project_id" {
  description = "The Google Cloud project of the environment."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "A project id has 6 to 30 lower-case letters, digits and hyphens, begins with a letter and does not end with a hyphen."
  }
}

variable "region" {
  description = "Where state, releases and builds are."
  type        = string
  default     = "europe-west1"

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "This is no region, such as europe-west1 or us-central1."
  }
}

variable "bucket_prefix" {
  description = "What the deployment's buckets' names begin with, as its own variable of this name says; the project's id if null."
  type        = string
  default     = null
}

variable "environment" {
  description = "The environment's name: its variables are infra/environments/NAME.tfvars."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,30}$", var.environment))
    error_message = "An environment's name is lower-case letters, digits and hyphens, and begins with a letter."
  }
}

variable "repository" {
  description = "The repository that is built, once it is connected to Cloud Build (projects/P/locations/R/connections/C/repositories/N), and the branch whose commits are. Null: no triggers; deploy by `make`."
  type = object({
    name   = string
    branch = optional(string, "main")
    kind   = optional(string, "GITHUB")
  })
  default = null

  validation {
    condition     = var.repository == null || can(regex("^projects/[^/]+/locations/[^/]+/connections/[^/]+/repositories/[^/]+$", var.repository.name))
    error_message = "The repository is named as projects/P/locations/R/connections/C/repositories/N."
  }

  validation {
    condition     = var.repository == null || can(regex("^[A-Za-z0-9][A-Za-z0-9._/-]*$", var.repository.branch))
    error_message = "The branch is a name, not a pattern."
  }

  validation {
    condition     = var.repository == null ? true : contains(["GITHUB", "BITBUCKET_SERVER", "UNKNOWN"], var.repository.kind)
    error_message = "The kind of repository is GITHUB or BITBUCKET_SERVER, or UNKNOWN for any other: the provider has no name for those."
  }
}

variable "approvers" {
  description = "Who may approve releases, such as group:release@example.com. Never the accounts that build."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for member in var.approvers : can(regex("^(user|group):[^@ ]+@[^@ ]+$", member))])
    error_message = "Approvers are people: user:NAME@DOMAIN or group:NAME@DOMAIN."
  }
}

variable "billing_account" {
  description = "The billing account of the project's budget; null: the deploy account makes none."
  type        = string
  default     = null

  validation {
    condition     = var.billing_account == null || can(regex("^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$", var.billing_account))
    error_message = "A billing account is written XXXXXX-XXXXXX-XXXXXX."
  }
}

variable "kms_key" {
  description = "A customer-managed key (projects/P/locations/R/keyRings/K/cryptoKeys/N) for state and releases, which Cloud Storage's service agent may use already; null: Google's."
  type        = string
  default     = null
}
