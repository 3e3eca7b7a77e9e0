# The project's APIs, and the log of who read and wrote what is kept of people.
#
# Cloud Resource Manager and Service Usage must be enabled before the first plan: Terraform asks them for all others.
#
# In a service perimeter (VPC Service Controls) these belong together: storage, firestore, pubsub, run, cloudfunctions,
# cloudtasks, secretmanager, aiplatform, vision, language, videointelligence, artifactregistry, cloudbuild, iamcredentials,
# logging, cloudkms. Uploads by signed URL come from outside: the perimeter needs an ingress rule for the signer's account
# on the bucket of media, and functions leave by a connector (`vpc_connector`).
locals {
  apis = toset(concat(
    [
      "aiplatform.googleapis.com",
      "artifactregistry.googleapis.com",
      "billingbudgets.googleapis.com",
      "cloudbuild.googleapis.com",
      "cloudfunctions.googleapis.com",
      "cloudresourcemanager.googleapis.com",
      "cloudscheduler.googleapis.com",
      "cloudtasks.googleapis.com",
      "cloudtrace.googleapis.com",
      "compute.googleapis.com",
      "fcm.googleapis.com",
      "firebaserules.googleapis.com",
      "firestore.googleapis.com",
      "iam.googleapis.com",
      "iamcredentials.googleapis.com",
      "identitytoolkit.googleapis.com",
      "language.googleapis.com",
      "logging.googleapis.com",
      "monitoring.googleapis.com",
      "pubsub.googleapis.com",
      "run.googleapis.com",
      "secretmanager.googleapis.com",
      "serviceusage.googleapis.com",
      "storage.googleapis.com",
      "videointelligence.googleapis.com",
      "vision.googleapis.com",
    ],
    var.kms_key == null ? [] : ["cloudkms.googleapis.com"],
    var.vpc_connector == null ? [] : ["vpcaccess.googleapis.com"],
  ))

  # What is logged of reads and writes. Firestore's name here is its older one. The functions' own traffic with it would
  # be millions of entries a day; the application itself keeps who looked at evidence. Objects and secrets: everybody's.
  audited = {
    "datastore.googleapis.com"     = values(module.accounts.members)
    "secretmanager.googleapis.com" = []
    "storage.googleapis.com"       = []
  }
}

module "project" {
  source = "./modules/project"

  project_id = var.project_id
  apis       = local.apis
}

resource "google_project_iam_audit_config" "this" {
  for_each = local.audited

  project = module.project.id
  service = each.key

  dynamic "audit_log_config" {
    for_each = toset(["ADMIN_READ", "DATA_READ", "DATA_WRITE"])

    content {
      log_type         = audit_log_config.key
      exempted_members = each.value
    }
  }

  # Who is exempted must exist.
  depends_on = [module.accounts]
}
