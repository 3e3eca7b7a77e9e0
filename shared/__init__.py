"""Everything Sightline's functions have in common. Import nothing from here but its modules."""
