"""The ports on SQLite, a folder and threads: one machine, nothing but Python."""
