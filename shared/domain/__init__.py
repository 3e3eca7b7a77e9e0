"""What is decided: frozen dataclasses and pure functions `(state, input, now) -> decision`. No I/O, no clock."""
