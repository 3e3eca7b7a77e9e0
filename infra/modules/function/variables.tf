variable "name" {
  description = "The function's name in the topology."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,13}[a-z0-9]$", var.name))
    error_message = "A function's name has 3 to 15 lower-case letters, digits and hyphens, or the id of the account that pushes to it is too long."
  }
}

variable "project_id" {
  description = "The project the function lies in."
  type        = string
}

variable "region" {
  description = "Where it runs."
  type        = string
}

variable "kms_key" {
  description = "The customer's key that encrypts its source, its image and its configuration; null for Google's own."
  type        = string
  default     = null
}

variable "runtime" {
  description = "The language's runtime, such as python313."
  type        = string
}

variable "bundle" {
  description = "The path of its zip."
  type        = string
}

variable "build" {
  description = "How it is built: the bucket of bundles, the image repository (`projects/…/repositories/…`), and the account (`projects/…/serviceAccounts/…`) that builds."
  type = object({
    bucket     = string
    repository = string
    account    = string
  })
}

variable "size" {
  description = "What an instance has and how many there are: memory in MiB, time in seconds."
  type = object({
    memory        = number
    cpu           = number
    timeout       = number
    concurrency   = number
    min_instances = optional(number, 0)
    max_instances = number
  })

  validation {
    condition     = var.size.concurrency == 1 || var.size.cpu >= 1
    error_message = "Who answers several requests at a time needs a whole CPU at least."
  }

  validation {
    condition     = var.size.min_instances <= var.size.max_instances
    error_message = "There can't be more instances kept warm than there may be."
  }

  validation {
    condition     = contains([1, 2, 4, 6, 8], var.size.cpu) || var.size.cpu >= 0.08 && var.size.cpu < 1
    error_message = "A function has 1, 2, 4, 6 or 8 CPUs, or a part of one from 0.08."
  }

  validation {
    condition     = var.size.memory >= 128 && var.size.memory <= lookup({ "1" = 4096, "2" = 8192, "4" = 16384, "6" = 24576, "8" = 32768 }, tostring(var.size.cpu), var.size.cpu < 0.5 ? 512 : 1024)
    error_message = "So much memory does not go with so few CPUs."
  }
}

variable "account" {
  description = "The address of the account it runs as."
  type        = string
}

variable "environment" {
  description = "Its environment variables."
  type        = map(string)
}

variable "secrets" {
  description = "Environment variables whose values lie in Secret Manager, each with its secret's id."
  type        = map(string)
  default     = {}
}

variable "public" {
  description = "Whether anybody may call it through the load balancer."
  type        = bool
  default     = false
}

variable "triggers" {
  description = "The topics whose messages are pushed to it: whole names by short ones."
  type        = map(string)
  default     = {}

  validation {
    condition     = !var.public || length(var.triggers) == 0
    error_message = "What Pub/Sub pushes to is not public."
  }

  validation {
    condition     = length(var.triggers) == 0 || var.size.timeout <= var.delivery.ack_deadline - 60
    error_message = "A function that is pushed to must be over a minute before Pub/Sub delivers again."
  }
}

variable "delivery" {
  description = "How messages are delivered; times in seconds."
  type = object({
    ack_deadline    = number
    minimum_backoff = number
    maximum_backoff = number
    max_attempts    = number
    retention       = number
    retention_of    = optional(map(number), {})
  })
}

variable "dead_letter_topic" {
  description = "The whole name of the topic for messages that could not be handled."
  type        = string
}

variable "deployer" {
  description = "The service account that deploys, which makes subscriptions that push in the name of another; null for a person who may."
  type        = string
  default     = null
}

variable "pubsub_agent" {
  description = "The address of Pub/Sub's service agent."
  type        = string
}

variable "vpc_connector" {
  description = "The whole name of the connector all its traffic leaves by; null for none."
  type        = string
  default     = null
}
