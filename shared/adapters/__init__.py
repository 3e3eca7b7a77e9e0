"""The ports in their two homes, and what both share: the rules of names, values and queries."""
