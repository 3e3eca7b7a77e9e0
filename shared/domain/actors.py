"""The names of those who act, as timelines and view logs show them. One is the system's own, and nobody else's."""

from __future__ import annotations

import unicodedata

SYSTEM = "sightline"
"""The actor of what nobody did by hand."""

RESERVED = f'The name "{SYSTEM}" is reserved for what nobody does by hand.'


def is_reserved(name: str) -> bool:
    """Whether a reader would take the name for the system's own, in whatever case, width or blanks it is written."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    return "".join(plain.split()) == SYSTEM
