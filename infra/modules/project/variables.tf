variable "project_id" {
  description = "The project."
  type        = string
}

variable "services" {
  description = "The APIs to enable, by their host names."
  type        = set(string)

  validation {
    condition     = alltrue([for service in var.services : can(regex("^[a-z0-9]+[.]googleapis[.]com$", service))])
    error_message = "A service is named like storage.googleapis.com."
  }
}
