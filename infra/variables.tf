variable "project_id" {
  description = "The Google Cloud project everything lies in: one environment, one project."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "A project id has 6 to 30 lower-case letters, digits and hyphens, begins with a letter and does not end with a hyphen."
  }
}

variable "region" {
  description = "Where functions, queues and buckets are."
  type        = string
  default     = "europe-west1"

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "This is no region, such as europe-west1 or us-central1."
  }
}

variable "bucket_prefix" {
  description = "What the buckets' names begin with; the project's id if null."
  type        = string
  default     = null
}

variable "labels" {
  description = "Labels of everything that can bear them."
  type        = map(string)
  default     = {}
}

variable "bundles" {
  description = "The folder of the functions' bundles, which `make bundle` fills."
  type        = string
  default     = "../dist"
}

variable "function_overrides" {
  description = "Sizes and bounds of single functions, where they shall not be the topology's: memory in MiB, instances kept warm, …"
  type = map(object({
    memory        = optional(number)
    cpu           = optional(number)
    concurrency   = optional(number)
    min_instances = optional(number)
    max_instances = optional(number)
  }))
  default = {}

  validation {
    condition     = length(setsubtract(keys(var.function_overrides), keys(local.functions))) == 0
    error_message = "There is no such function: ${join(", ", setsubtract(keys(var.function_overrides), keys(local.functions)))}."
  }
}

variable "live_image" {
  description = "The image of the service of streams, best by its digest; null leaves it out, and /stream with it."
  type        = string
  default     = null
}

variable "settings" {
  description = "Environment variables that say how the functions decide (README, Settings), for every function that reads them."
  type        = map(string)
  default     = {}

  validation {
    condition     = length(setintersection(keys(var.settings), keys(local.topology.secrets))) == 0
    error_message = "The values of these lie in Secret Manager, not among the settings: ${join(", ", setintersection(keys(var.settings), keys(local.topology.secrets)))}."
  }

  validation {
    condition     = length(setintersection(keys(var.settings), local.topology.emulator_variables)) == 0
    error_message = "These are for emulators, never for a deployment: ${join(", ", setintersection(keys(var.settings), local.topology.emulator_variables))}."
  }

  validation {
    condition     = length(setintersection(keys(var.settings), local.derived_names)) == 0
    error_message = "The deployment itself says these: ${join(", ", setintersection(keys(var.settings), local.derived_names))}."
  }

  validation {
    condition     = length(setsubtract(keys(var.settings), concat(tolist(local.read_names), local.derived_names, keys(local.topology.secrets), local.topology.emulator_variables))) == 0
    error_message = "No function reads these settings: ${join(", ", setsubtract(keys(var.settings), concat(tolist(local.read_names), local.derived_names, keys(local.topology.secrets), local.topology.emulator_variables)))}."
  }
}

variable "vpc_connector" {
  description = "The whole name of a Serverless VPC Access connector that all the functions' traffic leaves by, as a service perimeter wants it; null for none. Webhooks then need Cloud NAT."
  type        = string
  default     = null
}
