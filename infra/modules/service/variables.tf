variable "name" {
  description = "The service's name in the topology."
  type        = string
}

variable "project_id" {
  description = "The project the service lies in."
  type        = string
}

variable "region" {
  description = "Where it runs."
  type        = string
}

variable "kms_key" {
  description = "The customer's key that encrypts its image; null for Google's own."
  type        = string
  default     = null
}

variable "image" {
  description = "The container image, best by its digest (`…@sha256:…`)."
  type        = string
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
    condition     = var.size.min_instances <= var.size.max_instances
    error_message = "There can't be more instances kept warm than there may be."
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

variable "vpc_connector" {
  description = "The whole name of the connector all its traffic leaves by; null for none."
  type        = string
  default     = null
}
