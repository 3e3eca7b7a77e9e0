# One origin before all public functions.
module "edge" {
  source = "./modules/edge"

  project_id      = var.project_id
  region          = var.region
  domain          = var.domain
  firewall        = var.firewall
  log_sample_rate = var.log_sample_rate
  dashboard       = one([for bucket in google_compute_backend_bucket.dashboard : "projects/${var.project_id}/global/backendBuckets/${bucket.name}"])
  labels          = var.labels

  backends = {
    for name, function in local.public_functions : name => {
      service             = name
      routes              = function.routes
      file_routes         = try(function.file_routes, [])
      requests_per_minute = try(function.requests_per_minute, null)
    }
  }
}

locals {
  public_functions = { for name, function in local.http_functions : name => function if try(function.public, false) && !can(function.platform) }
}

output "address" {
  description = "The load balancer's IPv4 address."
  value       = module.edge.address
}

output "url" {
  description = "The one origin of every route."
  value       = module.edge.url
}
