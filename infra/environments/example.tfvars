# The least that a deployment is told, and what most will want to say. Copy it, one file an environment.
project_id = "sightline-example"
region     = "europe-west1"
domain     = "sightline.example.org"
