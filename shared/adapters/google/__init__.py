"""The ports on Google Cloud's client libraries."""
