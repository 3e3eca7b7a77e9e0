# The web page: a bucket that everybody may read objects of, by name, through the load balancer's cache.
locals {
  dashboard = var.dashboard_folder == null ? {} : { dashboard = var.dashboard_folder }

  dashboard_files = merge([
    for folder in local.dashboard : { for file in fileset(folder, "**") : file => "${folder}/${file}" }
  ]...)

  content_types = {
    css   = "text/css; charset=utf-8"
    html  = "text/html; charset=utf-8"
    ico   = "image/vnd.microsoft.icon"
    jpg   = "image/jpeg"
    js    = "text/javascript; charset=utf-8"
    json  = "application/json"
    map   = "application/json"
    mjs   = "text/javascript; charset=utf-8"
    png   = "image/png"
    svg   = "image/svg+xml"
    txt   = "text/plain; charset=utf-8"
    wasm  = "application/wasm"
    webp  = "image/webp"
    woff2 = "font/woff2"
  }

  dashboard_headers = {
    Content-Security-Policy   = var.dashboard_content_policy
    Strict-Transport-Security = "max-age=31536000"
    X-Content-Type-Options    = "nosniff"
    X-Frame-Options           = "DENY"
    Referrer-Policy           = "no-referrer"
    Permissions-Policy        = "camera=(self), microphone=(self), geolocation=()"
  }
}

resource "google_storage_bucket" "dashboard" {
  #checkov:skip=CKV_GCP_62:the load balancer logs who asks for the page
  #checkov:skip=CKV_GCP_114:the page is for everybody, and a backend bucket is read in nobody's name
  for_each = local.dashboard

  project                     = module.project.id
  name                        = "${coalesce(var.bucket_prefix, var.project_id)}-dashboard"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "inherited"
  force_destroy               = true # only what lies in dashboard_folder, and earlier versions of it
  labels                      = var.labels

  versioning {
    enabled = true
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      num_newer_versions = 5
      with_state         = "ARCHIVED"
    }
  }

  website {
    main_page_suffix = "index.html"
  }
}

# A backend bucket is read in nobody's name. This role reads an object whose name one knows, and lists nothing.
resource "google_storage_bucket_iam_member" "dashboard" {
  #checkov:skip=CKV_GCP_28:the page is for everybody; nobody can list its files
  for_each = local.dashboard

  bucket = google_storage_bucket.dashboard[each.key].name
  role   = "roles/storage.legacyObjectReader"
  member = "allUsers"
}

resource "google_storage_bucket_object" "dashboard" {
  for_each = local.dashboard_files

  bucket       = google_storage_bucket.dashboard["dashboard"].name
  name         = "dashboard/${each.key}"
  source       = each.value
  content_type = lookup(local.content_types, lower(element(split(".", each.key), -1)), "application/octet-stream")
  # A name with a hash in it stands for one content for ever; a page must be asked for each time.
  cache_control = (
    can(regex("[.-][0-9a-f]{8,}[.][a-z0-9]+$", each.key)) ? "public, max-age=31536000, immutable" :
    endswith(each.key, ".html") ? "no-cache" : "public, max-age=300"
  )
}

# Without a scheme: Google knows one only for other kinds of load balancers.
resource "google_compute_backend_bucket" "dashboard" {
  for_each = local.dashboard

  name                    = "sightline-dashboard"
  bucket_name             = google_storage_bucket.dashboard[each.key].name
  enable_cdn              = true
  compression_mode        = "AUTOMATIC"
  edge_security_policy    = google_compute_security_policy.dashboard[each.key].id
  custom_response_headers = [for header, value in local.dashboard_headers : "${header}: ${value}"]

  cdn_policy {
    cache_mode       = "USE_ORIGIN_HEADERS"
    negative_caching = true
  }
}

# Backend buckets take policies of the edge only, which know addresses and regions but no rates: the cache bears those.
resource "google_compute_security_policy" "dashboard" {
  #checkov:skip=CKV_GCP_73:the page is files from a bucket; no Java reads what is asked for
  for_each = local.dashboard

  project     = module.project.id
  name        = "sightline-dashboard"
  description = "Who may load the page."
  type        = "CLOUD_ARMOR_EDGE"

  dynamic "rule" {
    for_each = { for number, ranges in chunklist(var.firewall.denied_ranges, 10) : number => ranges }

    content {
      priority    = 100 + rule.key
      action      = "deny(403)"
      description = "denied ranges"

      match {
        versioned_expr = "SRC_IPS_V1"

        config {
          src_ip_ranges = rule.value
        }
      }
    }
  }

  dynamic "rule" {
    for_each = { for number, name in sort(keys(module.edge.conditions)) : number => name }

    content {
      priority    = 1000 + 10 * rule.key
      action      = "deny(403)"
      description = "only from the allowed ${rule.value}"

      match {
        expr {
          expression = module.edge.conditions[rule.value]
        }
      }
    }
  }

  rule {
    priority    = 2147483647
    action      = "allow"
    description = "default"

    match {
      versioned_expr = "SRC_IPS_V1"

      config {
        src_ip_ranges = ["*"]
      }
    }
  }
}
