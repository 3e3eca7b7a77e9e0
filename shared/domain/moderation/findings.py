"""What moderation finds, and how grave its kind is."""

from __future__ import annotations

from enum import StrEnum


class Tier(StrEnum):
    """How much a finding needs beside it: nothing, other signs, or very high confidence."""

    CLEAR = "clear"
    CONTEXTUAL = "contextual"
    SOCIAL = "social"
