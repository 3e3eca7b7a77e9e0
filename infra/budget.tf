# A budget says when money is spent faster than was planned; it stops nothing.
resource "google_billing_budget" "monthly" {
  for_each = var.billing_account == null ? {} : { (var.billing_account) = var.monthly_budget }

  billing_account = each.key
  display_name    = "Sightline ${var.project_id}"

  budget_filter {
    projects        = ["projects/${module.project.number}"]
    calendar_period = "MONTH"
  }

  amount {
    specified_amount {
      units = tostring(each.value)
    }
  }

  dynamic "threshold_rules" {
    for_each = [
      { share = 0.5, basis = "CURRENT_SPEND" },
      { share = 0.9, basis = "CURRENT_SPEND" },
      { share = 1, basis = "CURRENT_SPEND" },
      { share = 1, basis = "FORECASTED_SPEND" },
    ]

    content {
      threshold_percent = threshold_rules.value.share
      spend_basis       = threshold_rules.value.basis
    }
  }

  # The account's administrators are told in any case.
  dynamic "all_updates_rule" {
    for_each = length(var.alert_emails) == 0 ? [] : [module.monitoring.channels]

    content {
      monitoring_notification_channels = slice(all_updates_rule.value, 0, min(5, length(all_updates_rule.value)))
    }
  }

  # The project's number is known before its APIs are enabled.
  depends_on = [module.project]
}
