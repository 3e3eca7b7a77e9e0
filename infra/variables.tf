variable "allowed_origins" {
  description = "Origins of web pages, such as https://dashboard.example.org, that may upload with signed URLs and call the API from a browser."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for origin in var.allowed_origins : can(regex("^https?://[A-Za-z0-9.-]+(:[0-9]+)?$", origin))])
    error_message = "An origin is a scheme, a host and perhaps a port, with nothing after them; `*` is none."
  }
}

variable "api_token" {
  description = "The token of programs (SIGHTLINE_API_TOKEN), to be written to Secret Manager; null: it is there already. Give it by TF_VAR_api_token; a saved plan holds it, the state does not."
  type        = string
  sensitive   = true
  default     = null

  validation {
    condition     = var.api_token == null || can(regex("^[!-~]{32,}$", var.api_token))
    error_message = "The token has 32 or more printable ASCII characters without blanks: `openssl rand -hex 32` makes one."
  }
}

variable "backup_days" {
  description = "For how many days each daily backup of the database is kept, 1 to 98."
  type        = number
  default     = 28
}

variable "bucket_prefix" {
  description = "What the buckets' names begin with; the project's id if null."
  type        = string
  default     = null
}

variable "bundles" {
  description = "The folder of the functions' bundles, which `make bundle` fills."
  type        = string
  default     = "../dist"
}

variable "deletion_protection" {
  description = "Whether what holds data can't be destroyed by mistake. Set it to false, and apply, before an environment is torn down."
  type        = bool
  default     = true
}

variable "deployer" {
  description = "The account that deploys (output `deploy_account` of infra/bootstrap), which is then allowed to act as the accounts of this deployment; null where a person deploys who may do that anyway."
  type        = string
  default     = null

  validation {
    condition     = var.deployer == null ? true : can(regex("^[a-z0-9-]+@[a-z0-9-]+[.]iam[.]gserviceaccount[.]com$", var.deployer))
    error_message = "The account that deploys is a service account: NAME@PROJECT.iam.gserviceaccount.com."
  }
}

variable "evidence_public" {
  description = "Whether pictures of signals have public URLs that never expire, as the first version of this API gave out, instead of signed ones that live 15 minutes."
  type        = bool
  default     = false
}

variable "firestore_database" {
  description = "The database's id. A project that has a (default) one already needs another name, or `terraform import`."
  type        = string
  default     = "(default)"
}

variable "firestore_location" {
  description = "The database's region or multi-region (eur3, nam5), which can't be changed later; the region of everything else if null."
  type        = string
  default     = null
}

variable "function_overrides" {
  description = "Sizes and bounds of single functions, where they shall not be the topology's: memory in MiB, instances kept warm, …"
  type = map(object({
    memory        = optional(number)
    cpu           = optional(number)
    min_instances = optional(number)
    max_instances = optional(number)
  }))
  default = {}

  validation {
    condition     = length(setsubtract(keys(var.function_overrides), keys(local.functions))) == 0
    error_message = "There is no such function: ${join(", ", setsubtract(keys(var.function_overrides), keys(local.functions)))}."
  }
}

variable "kms_key" {
  description = "The whole name of a Cloud KMS key in the same region, by which everything stored is encrypted; null: keys of Google's."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key == null || can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))
    error_message = "A key is named projects/PROJECT/locations/REGION/keyRings/RING/cryptoKeys/KEY."
  }
}

variable "labels" {
  description = "Labels of everything that can bear them."
  type        = map(string)
  default     = {}
}

variable "live_image" {
  description = "The image of the service of streams, best by its digest; null leaves it out, and /stream with it."
  type        = string
  default     = null

  validation {
    condition     = var.live_image == null || can(regex("^[a-z0-9.-]+(/[A-Za-z0-9._-]+)+(:[A-Za-z0-9._-]+)?(@sha256:[0-9a-f]{64})?$", var.live_image))
    error_message = "This is no image's address."
  }
}

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

variable "secret_version" {
  description = "Raise it by one to have the given tokens written again, as new versions."
  type        = number
  default     = 1
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

variable "soft_delete_days" {
  description = "For how many days deleted objects can be restored by an administrator: 7 to 90, or 0 for not at all. What is erased for a person is gone for good after as many."
  type        = number
  default     = 7

  validation {
    condition     = var.soft_delete_days == 0 || (var.soft_delete_days >= 7 && var.soft_delete_days <= 90)
    error_message = "Cloud Storage keeps deleted objects for 7 to 90 days, or (0) not at all."
  }
}

variable "user_tokens" {
  description = "Tokens of named people and programs (SIGHTLINE_USER_TOKENS), to be written to Secret Manager; null: nothing is written."
  type        = string
  sensitive   = true
  default     = null
}

variable "user_tokens_exist" {
  description = "Whether the secret of users' tokens has a value already, so that functions are told it."
  type        = bool
  default     = false
}

variable "vpc_connector" {
  description = "The whole name of a Serverless VPC Access connector that all the functions' traffic leaves by, as a service perimeter wants it; null for none. Webhooks then need Cloud NAT."
  type        = string
  default     = null
}
