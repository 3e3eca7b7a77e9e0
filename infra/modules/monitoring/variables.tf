variable "project_id" {
  description = "The project that is watched."
  type        = string
}

variable "emails" {
  description = "Who is written to when something is wrong."
  type        = list(string)
  default     = []
}

variable "functions" {
  description = "The deployed functions by name. `service`: the Cloud Run name or id. `timeout` in seconds: a 95th percentile of a tenth of it is slow. `answers`: somebody waits for its answers."
  type = map(object({
    service = string
    timeout = number
    answers = bool
  }))
}

variable "scheduled" {
  description = "Functions that are called at regular times, each with its interval in seconds."
  type        = map(number)
}

variable "dead_letter_subscription" {
  description = "Name of the subscription that keeps dead letters."
  type        = string
}

variable "url_map" {
  description = "Name of the load balancer's URL map."
  type        = string
}

variable "domain" {
  description = "The host that is asked for its health; null: none is."
  type        = string
  default     = null
}

variable "runbooks" {
  description = "Where the runbooks are: a URL or a path, to which a section's anchor is added."
  type        = string
  default     = "docs/operations.md"
}

variable "limits" {
  description = "When an alert is raised. `unacked_seconds`: age of the oldest message. `error_share`: of a function's requests in 10 minutes. `swept`: pieces of work that the sweeper had to start again in 30 minutes. `denied`: calls refused in 5 minutes."
  type = object({
    unacked_seconds = optional(number, 900)
    error_share     = optional(number, 0.05)
    swept           = optional(number, 5)
    denied          = optional(number, 200)
  })
  default = {}
}

variable "objectives" {
  description = "`availability`: share of requests without a server error. `analysed`: share of uploads whose stages all ended within `analysed_seconds`. Over 28 days."
  type = object({
    availability     = optional(number, 0.995)
    analysed         = optional(number, 0.95)
    analysed_seconds = optional(number, 120)
  })
  default = {}

  validation {
    condition     = alltrue([for share in [var.objectives.availability, var.objectives.analysed] : share > 0 && share < 1])
    error_message = "An objective is a share between 0 and 1, without these: nothing is perfect."
  }
}

variable "labels" {
  description = "Labels of what can bear them."
  type        = map(string)
  default     = {}
}
