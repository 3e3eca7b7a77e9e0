variable "project_id" {
  description = "The project everything lies in."
  type        = string
}

variable "region" {
  description = "Where messages are stored, and where queues and schedules run."
  type        = string
}

variable "kms_key" {
  description = "The customer's key that encrypts messages; null for Google's own."
  type        = string
  default     = null
}

variable "pubsub_agent" {
  description = "The address of Pub/Sub's service agent."
  type        = string
}

variable "topics" {
  description = "The topics, by name."
  type        = list(string)
}

variable "delivery" {
  description = "Where messages go that could not be handled, and for how many seconds they are kept."
  type = object({
    dead_letter_topic        = string
    dead_letter_subscription = string
    dead_letter_retention    = number
  })

  validation {
    condition     = var.delivery.dead_letter_retention >= 600 && var.delivery.dead_letter_retention <= 2678400
    error_message = "Pub/Sub keeps messages for ten minutes to 31 days."
  }
}

variable "queues" {
  description = "Cloud Tasks queues: `rate` in tasks a second, `concurrency` at a time, waits in seconds."
  type = map(object({
    rate            = number
    concurrency     = number
    max_attempts    = number
    minimum_backoff = number
    maximum_backoff = number
  }))
}

variable "schedules" {
  description = "Topics that are published to at regular times, each with the seconds between: whole minutes that divide the hour."
  type        = map(number)

  validation {
    condition     = alltrue([for every in values(var.schedules) : every > 0 && every % 60 == 0 && 3600 % every == 0])
    error_message = "Cron can only say whole minutes that divide the hour."
  }
}

variable "grants" {
  description = "The topology's roles; those on topics and queues are granted here."
  type = list(object({
    account = string
    role    = string
    kind    = string
    target  = optional(string, "")
    prefix  = optional(string, "")
  }))
}

variable "members" {
  description = "The accounts that roles are granted to, as IAM policies name them, by their names in the topology."
  type        = map(string)
}
