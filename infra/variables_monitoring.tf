variable "alert_emails" {
  description = "Who is written to when something is wrong, or the budget is nearly spent."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for email in var.alert_emails : can(regex("^[^@ ]+@[^@ ]+$", email))])
    error_message = "These are e-mail addresses."
  }
}

variable "runbooks" {
  description = "Where alerts say that the runbooks are: a URL or path, to which a section's anchor is added."
  type        = string
  default     = "docs/operations.md"
}

variable "objectives" {
  description = "What is promised over 28 days. `availability`: share of requests without a server error. `analysed`: share of uploads whose stages all ended within `analysed_seconds`."
  type = object({
    availability     = optional(number, 0.995)
    analysed         = optional(number, 0.95)
    analysed_seconds = optional(number, 120)
  })
  default = {}
}

variable "log_retention_days" {
  description = "How long logs are kept. They hold addresses and ids of devices, so no longer than they are of use."
  type        = number
  default     = 30

  validation {
    condition     = var.log_retention_days >= 1 && var.log_retention_days <= 3650
    error_message = "Cloud Logging keeps logs 1 to 3650 days."
  }
}

variable "billing_account" {
  description = "The billing account that a budget is set in, such as 012345-6789AB-CDEF01; null: no budget. Who deploys must be allowed to make one there."
  type        = string
  default     = null

  validation {
    condition     = var.billing_account == null || can(regex("^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$", var.billing_account))
    error_message = "A billing account's id has three groups of six hexadecimal digits."
  }
}

variable "monthly_budget" {
  description = "What may be spent a month before somebody is told, in whole units of the billing account's currency. It stops nothing."
  type        = number
  default     = 200

  validation {
    condition     = var.monthly_budget > 0 && floor(var.monthly_budget) == var.monthly_budget
    error_message = "The budget is a whole number above 0."
  }
}
