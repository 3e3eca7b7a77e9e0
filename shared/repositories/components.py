"""What functions say of themselves, so that the health page can speak for parts it does not run (the model)."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from shared.ports import Documents, Set

COLLECTION = "components"


def report(documents: Documents, name: str, detail: str, now: datetime) -> Documents:
    """Says that a component was loaded and works; gives the store back, for whoever says it on first using that."""
    documents.commit([Set(COLLECTION, name, {"detail": detail, "reported_at": now})])
    return documents


def state_of(documents: Documents, name: str) -> Literal["ok", "off"]:
    """`ok` once the component has spoken, `off` before."""
    return "off" if documents.get(COLLECTION, name) is None else "ok"
