variable "project_id" {
  description = "The project."
  type        = string
}

variable "apis" {
  description = "The APIs to enable, by their host names."
  type        = set(string)

  validation {
    condition     = alltrue([for api in var.apis : can(regex("^[a-z0-9]+[.]googleapis[.]com$", api))])
    error_message = "An API is named like storage.googleapis.com."
  }
}
