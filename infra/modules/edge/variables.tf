variable "name" {
  description = "What the load balancer's parts are called, and begin with."
  type        = string
  default     = "sightline"
}

variable "project_id" {
  description = "The project of the load balancer."
  type        = string
}

variable "region" {
  description = "Where the services behind the load balancer run."
  type        = string
}

variable "backends" {
  description = "The services behind the load balancer by name. `service`: its Cloud Run name or id. `routes`: what leads to it, `METHOD path`; a `*` inside a path stands for one segment, at the end for anything below. `file_routes`: those of them that take files. `requests_per_minute`: of one client, before it is answered 429."
  type = map(object({
    service             = string
    routes              = list(string)
    file_routes         = optional(list(string), [])
    requests_per_minute = optional(number, 100)
  }))

  validation {
    condition     = length([for backend in var.backends : backend if contains(backend.routes, "GET /")]) == 1
    error_message = "Exactly one backend has the route `GET /`: it also answers what no route leads to."
  }

  validation {
    condition     = alltrue(flatten([for backend in var.backends : [for route in backend.routes : can(regex("^(GET|POST|PUT|PATCH|DELETE) /[^ ?#]*$", route))]]))
    error_message = "A route is a method and a path, such as `GET /incidents/*`. HEAD and OPTIONS follow from the others."
  }

  validation {
    condition     = alltrue([for backend in var.backends : length(setsubtract(backend.file_routes, backend.routes)) == 0])
    error_message = "File routes are among the routes."
  }
}

variable "requests_per_minute" {
  description = "Of one client address at one backend, unless the backend says otherwise."
  type        = number
  default     = 100
}

variable "domain" {
  description = "The host name, whose DNS record must point at the address. Without it there is no certificate and plain HTTP is served by address: for trying out only."
  type        = string
  default     = null
}

variable "dashboard" {
  description = "Id of the backend bucket, `projects/…/global/backendBuckets/…`, with the dashboard below `dashboard/`; null: none."
  type        = string
  default     = null
}

variable "firewall" {
  description = "Cloud Armor. `preview`: the managed rules only log. `sensitivity` of the managed rules, 1 (fewest false alarms) to 4. `allowed_regions`: ISO 3166-1 alpha-2 codes, all if empty. `allowed_ranges`: CIDR, at most 4, all if empty. `denied_ranges`: CIDR."
  type = object({
    preview         = optional(bool, false)
    sensitivity     = optional(number, 1)
    allowed_regions = optional(list(string), [])
    allowed_ranges  = optional(list(string), [])
    denied_ranges   = optional(list(string), [])
  })
  default = {}

  validation {
    condition     = var.firewall.sensitivity >= 1 && var.firewall.sensitivity <= 4
    error_message = "Cloud Armor knows the sensitivities 1 to 4."
  }

  validation {
    condition     = length(var.firewall.allowed_ranges) <= 4
    error_message = "A rule of Cloud Armor has at most five terms, of which one lets /health be asked, so at most four ranges can be allowed."
  }

  validation {
    condition     = alltrue([for range in concat(var.firewall.allowed_ranges, var.firewall.denied_ranges) : can(cidrhost(range, 0))])
    error_message = "Ranges are CIDR blocks, such as 192.0.2.0/24 or 2001:db8::/32."
  }

  validation {
    condition     = alltrue([for code in var.firewall.allowed_regions : can(regex("^[A-Z]{2}$", code))])
    error_message = "Regions are codes of two capital letters, such as DE."
  }
}

variable "response_headers" {
  description = "Headers of every answer of a backend; the load balancer's value wins over the backend's."
  type        = map(string)
  default = {
    Strict-Transport-Security = "max-age=31536000"
    X-Content-Type-Options    = "nosniff"
    X-Frame-Options           = "DENY"
    Referrer-Policy           = "no-referrer"
  }
}

variable "log_sample_rate" {
  description = "Which share of the requests is logged, 0 to 1."
  type        = number
  default     = 1

  validation {
    condition     = var.log_sample_rate >= 0 && var.log_sample_rate <= 1
    error_message = "A share lies between 0 and 1."
  }
}

variable "labels" {
  description = "Labels of what can bear them."
  type        = map(string)
  default     = {}
}
