"""Fetches what clients name by URL, without letting them reach anything but the public internet."""
