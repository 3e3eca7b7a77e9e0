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
    for name, service in local.deployed : name => {
      service             = service
      routes              = local.functions[name].routes
      file_routes         = try(local.functions[name].file_routes, [])
      requests_per_minute = try(local.functions[name].requests_per_minute, null)
    } if can(local.functions[name].routes) && try(local.functions[name].public, false)
  }

  depends_on = [module.project]
}

locals {
  # The Cloud Run services by the functions' names; `live` is among them once it has an image.
  deployed = merge(
    { for name, function in module.functions : name => function.service },
    { for name, service in module.live : name => service.service },
  )
}

output "address" {
  description = "The load balancer's IPv4 address."
  value       = module.edge.address
}

output "url" {
  description = "The one origin of every route."
  value       = module.edge.url
}
