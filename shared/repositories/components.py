"""What functions say of themselves, so that the health page can speak for parts it does not run (the model, Gemini)."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from shared.ports import Documents, Set

COLLECTION = "components"
Condition = Literal["ok", "degraded"]


def report(documents: Documents, name: str, detail: str, now: datetime, condition: Condition = "ok") -> None:
    """Says that a component was loaded or used, and how it is."""
    documents.commit([Set(COLLECTION, name, {"detail": detail, "reported_at": now, "condition": condition})])


def state_of(documents: Documents, name: str) -> Literal["ok", "degraded", "off"]:
    """What the component said last, `off` before it said anything."""
    found = documents.get(COLLECTION, name)
    if found is None:
        return "off"
    return "degraded" if found.data.get("condition") == "degraded" else "ok"
