terraform {
  required_version = ">= 1.11, < 2" # values that are written and never stored: the tokens

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 6.50, < 8"
    }
  }
}

provider "google" {
  project               = var.project_id
  region                = var.region
  billing_project       = var.project_id
  user_project_override = true
  default_labels        = merge({ application = "sightline" }, var.labels)
}
