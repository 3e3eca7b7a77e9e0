"""What is done: one module a stage or use case, `(message, deps) -> outcome`. No framework, no adapter."""
