variable "project_id" {
  description = "The project the accounts belong to."
  type        = string
}

variable "accounts" {
  description = "Who gets an account, each with what it is for. The account of `x` is `sightline-x`."
  type        = map(string)

  validation {
    condition     = alltrue([for name in keys(var.accounts) : can(regex("^sightline-[a-z0-9-]{0,19}[a-z0-9]$", "sightline-${name}"))])
    error_message = "A service account's id has 6 to 30 lower-case letters, digits and hyphens: a name here has at most 20."
  }
}

variable "grants" {
  description = "The topology's roles. Those on the project and on other accounts are granted here, the others by who makes what they are on."
  type = list(object({
    account = string
    role    = string
    kind    = string
    target  = optional(string, "")
    prefix  = optional(string, "")
  }))

  validation {
    condition     = alltrue([for grant in var.grants : contains(["project", "bucket", "topic", "queue", "account"], grant.kind)])
    error_message = "A role is granted on the project, or on a bucket, topic, queue or account."
  }

  # Who may act as any account of the project may do everything that any of them may.
  validation {
    condition = alltrue([
      for grant in var.grants : grant.kind != "project" || !startswith(grant.role, "roles/iam.") && !contains(["roles/owner", "roles/editor", "roles/viewer"], grant.role)
    ])
    error_message = "Basic roles and roles over accounts are not granted on the whole project."
  }
}
