variable "key" {
  description = "The key's whole name (`projects/…/locations/…/keyRings/…/cryptoKeys/…`); null: Google's own keys."
  type        = string
}

variable "agents" {
  description = "The addresses of the service agents that encrypt with it, by short names."
  type        = map(string)
}
