variable "domain" {
  description = "The host name of the one origin. Point its A record at the output `address`; the certificate follows within the hour. Null: plain HTTP by address, for trying out only, since tokens would travel in the clear."
  type        = string
  default     = null

  validation {
    condition     = var.domain == null || can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?[.])+[a-z]{2,}$", var.domain))
    error_message = "A domain is a full host name in lower case, such as sightline.example.org."
  }
}

variable "firewall" {
  description = "What Cloud Armor refuses. `preview`: the managed rules only log what they would refuse. `sensitivity` of the managed rules, 1 (fewest false alarms) to 4. `allowed_regions`: codes such as DE, all if empty. `allowed_ranges` (at most 4) and `denied_ranges`: CIDR blocks."
  type = object({
    preview         = optional(bool, false)
    sensitivity     = optional(number, 1)
    allowed_regions = optional(list(string), [])
    allowed_ranges  = optional(list(string), [])
    denied_ranges   = optional(list(string), [])
  })
  default = {}
}

variable "log_sample_rate" {
  description = "Which share of the requests the load balancer logs, 0 to 1."
  type        = number
  default     = 1
}

variable "dashboard_folder" {
  description = "A folder with a built web page, its entry `index.html`, to be served at `/` to browsers and below `/dashboard/`; null: none. Relative to the folder Terraform is started in."
  type        = string
  default     = null

  validation {
    condition     = var.dashboard_folder == null || try(fileexists("${var.dashboard_folder}/index.html"), false)
    error_message = "This folder has no index.html."
  }
}

variable "dashboard_content_policy" {
  description = "The page's Content-Security-Policy. By default its own files, pictures and films by signed link, uploads, and signing in with Firebase."
  type        = string
  default     = "default-src 'self'; img-src 'self' data: blob: https://storage.googleapis.com; media-src 'self' blob: https://storage.googleapis.com; connect-src 'self' https://storage.googleapis.com https://identitytoolkit.googleapis.com https://securetoken.googleapis.com; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
}
