"""The whole pipeline in one process: its server, its command line, and the stack of official emulators."""
