# Cloud Armor. The first rule that holds decides, so refusals stand before the rates, which let pass what keeps to them.
# A rate counts per client address, per backend service, and in each of Google's regions by itself; a refusal carries
# no Retry-After.
locals {
  # Sets of managed rules. Those that read bodies would find an attack in the bytes of a picture now and then.
  managed = {
    scannerdetection = { rules = "scannerdetection-v33-stable", reads_bodies = false }
    sqli             = { rules = "sqli-v33-stable", reads_bodies = true }
    xss              = { rules = "xss-v33-stable", reads_bodies = true }
    lfi              = { rules = "lfi-v33-stable", reads_bodies = true }
    rce              = { rules = "rce-v33-stable", reads_bodies = true }
    protocolattack   = { rules = "protocolattack-v33-stable", reads_bodies = true }
    cve              = { rules = "cve-canary", reads_bodies = true }
  }

  # As regular expressions; a dot in a class of its own spares the backslash, which the rules' language would take.
  expressions = {
    for path in distinct(local.declared[*].path) :
    path => "${join("[^/]+", split("*", replace(trimsuffix(path, "*"), ".", "[.]")))}${endswith(path, "*") ? ".*" : ""}"
  }
  file_paths = flatten([for backend in var.backends : [for route in backend.file_routes : local.expressions[split(" ", route)[1]]]])
  no_file    = length(local.file_paths) == 0 ? "" : " && !request.path.matches('^(${join("|", local.file_paths)})$')"

  # Backends with a rate of their own, such as that of devices, of which a whole site may share one address.
  own_rates = { for name, backend in var.backends : name => backend.requests_per_minute if backend.requests_per_minute != var.requests_per_minute }

  denied_ranges = { for number, ranges in chunklist(var.firewall.denied_ranges, 10) : number => ranges }

  # Of whom requests are refused, whatever they ask for. At the edge nothing else may be known for sure.
  conditions = merge(
    length(var.firewall.allowed_ranges) == 0 ? {} : {
      ranges = "!(${join(" || ", [for range in var.firewall.allowed_ranges : "inIpRange(origin.ip, '${range}')"])})"
    },
    length(var.firewall.allowed_regions) == 0 ? {} : {
      regions = "!origin.region_code.matches('^(${join("|", var.firewall.allowed_regions)})$')"
    },
  )

  # Uptime checks come from all the world, so `/health` stays open everywhere.
  refusals = concat(
    [
      for name in sort(keys(local.conditions)) :
      { expression = "request.path != '/health' && ${local.conditions[name]}", preview = false, description = "only from the allowed ${name}" }
    ],
    [
      for name in sort(keys(local.managed)) : {
        expression  = "evaluatePreconfiguredWaf('${local.managed[name].rules}', {'sensitivity': ${var.firewall.sensitivity}})${local.managed[name].reads_bodies ? local.no_file : ""}"
        preview     = var.firewall.preview
        description = "managed rules: ${name}"
      }
    ],
  )
}

resource "google_compute_security_policy" "this" {
  #checkov:skip=CKV_GCP_73:the rules of cve-canary are on, in the newer form evaluatePreconfiguredWaf, which this check does not know
  name        = var.name
  description = "Who may call how often, and what is refused unread."
  type        = "CLOUD_ARMOR"

  adaptive_protection_config {
    layer_7_ddos_defense_config {
      enable          = true
      rule_visibility = "STANDARD"
    }
  }

  # Bodies are read as far as Cloud Armor does, 8 KiB, JSON by its fields.
  advanced_options_config {
    json_parsing = "STANDARD"
    log_level    = "NORMAL"
  }

  dynamic "rule" {
    for_each = local.denied_ranges

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
    for_each = local.refusals

    content {
      priority    = 1000 + 10 * rule.key
      action      = "deny(403)"
      description = rule.value.description
      preview     = rule.value.preview

      match {
        expr {
          expression = rule.value.expression
        }
      }
    }
  }

  dynamic "rule" {
    for_each = { for number, name in sort(keys(local.own_rates)) : number => name }

    content {
      priority    = 2000 + 10 * rule.key
      action      = "throttle"
      description = "rate of ${rule.value}"

      match {
        expr {
          expression = "request.path.matches('^(${join("|", distinct([for route in var.backends[rule.value].routes : local.expressions[split(" ", route)[1]]]))})$')"
        }
      }

      rate_limit_options {
        conform_action = "allow"
        exceed_action  = "deny(429)"
        enforce_on_key = "IP"

        rate_limit_threshold {
          count        = local.own_rates[rule.value]
          interval_sec = 60
        }
      }
    }
  }

  rule {
    priority    = 3000
    action      = "throttle"
    description = "rate of everybody"

    match {
      versioned_expr = "SRC_IPS_V1"

      config {
        src_ip_ranges = ["*"]
      }
    }

    rate_limit_options {
      conform_action = "allow"
      exceed_action  = "deny(429)"
      enforce_on_key = "IP"

      rate_limit_threshold {
        count        = var.requests_per_minute
        interval_sec = 60
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
