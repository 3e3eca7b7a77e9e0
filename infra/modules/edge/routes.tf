# From routes, `METHOD path`, to the rules of a URL map.
locals {
  fallback_name = one([for name, backend in var.backends : name if contains(backend.routes, "GET /")])
  fallback      = local.backend_ids[local.fallback_name]

  # As `id` has it, but known before anything is there: a plan shows what leads where.
  backend_ids = { for name, service in google_compute_backend_service.this : name => "projects/${var.project_id}/global/backendServices/${service.name}" }

  declared = flatten([
    for name, backend in var.backends : [
      for route in backend.routes : {
        backend = name
        method  = split(" ", route)[0]
        path    = split(" ", route)[1]
      }
    ]
  ])

  # The methods of each path of each backend. The keys sort as the rules must be tried: whole paths, then those with a
  # segment left open, then beginnings, of these the longest first.
  methods = {
    for route in local.declared :
    format(
      "%d %04d %s %s",
      length(regexall("[*]", route.path)) == 0 ? 0 : length(regexall("[*].", route.path)) > 0 ? 1 : 2,
      9999 - length(route.path),
      route.path,
      route.backend,
    ) => route.method...
  }

  # GET answers HEAD, and a preflight goes where the request it asks for will go. A match holds where all its headers do.
  route_rules = [
    for key in sort(keys(local.methods)) : {
      service   = local.backend_ids[split(" ", key)[3]]
      full_path = startswith(key, "0") ? split(" ", key)[2] : null
      template  = startswith(key, "1") ? replace(split(" ", key)[2], "/[*]$/", "**") : null
      prefix    = startswith(key, "2") ? trimsuffix(split(" ", key)[2], "*") : null
      rewrite   = null
      matches = flatten([
        for method in flatten([for method in local.methods[key] : method == "GET" ? ["GET", "HEAD"] : [method]]) : [
          { headers = [{ name = ":method", exact = method, prefix = null }] },
          {
            headers = [
              { name = ":method", exact = "OPTIONS", prefix = null },
              { name = "access-control-request-method", exact = method, prefix = null },
            ]
          },
        ]
      ])
    }
  ]

  # A browser that opens the origin gets the page, everybody else the service's own answer.
  dashboard_rules = var.dashboard == null ? [] : [
    {
      service   = var.dashboard
      full_path = "/"
      template  = null
      prefix    = null
      rewrite   = "/dashboard/index.html"
      matches = [
        for method in ["GET", "HEAD"] : {
          headers = [
            { name = ":method", exact = method, prefix = null },
            { name = "accept", exact = null, prefix = "text/html" },
          ]
        }
      ]
    },
    {
      service   = var.dashboard
      full_path = null
      template  = null
      prefix    = "/dashboard/"
      rewrite   = null
      matches = [
        for method in ["GET", "HEAD"] : { headers = [{ name = ":method", exact = method, prefix = null }] }
      ]
    },
  ]

  rules = concat(local.dashboard_rules, local.route_rules)
}
