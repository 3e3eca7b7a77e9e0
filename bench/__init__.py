"""What SPEC §9 asks for, measured: each module is a command that prints a table."""
