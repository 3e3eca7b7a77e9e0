"""Pixels to scores: reading a video safely, and judging how it moves."""
