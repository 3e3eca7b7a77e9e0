"""How domain objects are stored: one module a kind, written once on top of the `Documents` port."""
