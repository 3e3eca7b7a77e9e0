"""What is kept beside an upload of how it looks over time: objects under `analysis/`.

No notification speaks of that prefix. Writing them again for the same look gives the same bytes, so a repeated delivery
harms nothing, and what a stage wrote before it died is not shown before its result is. A later look (a replay) has a
folder of its own, so that one that fails leaves the earlier pictures as they were.
"""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import suppress
from dataclasses import replace

from shared.domain.timeline import ANALYSIS_PREFIX, Timeline
from shared.errors import NotFound
from shared.ports import Blobs
from shared.records import from_data, to_data

PREFIX = ANALYSIS_PREFIX


def timeline_name(asset_id: str, look: str = "") -> str:
    """The object that holds the timeline, as JSON."""
    return f"{_folder(asset_id, look)}timeline.json"


def sheet_name(asset_id: str, look: str = "") -> str:
    """The object that holds the contact sheet, a JPEG."""
    return f"{_folder(asset_id, look)}contact-sheet.jpg"


def fingerprint_name(asset_id: str, model: str) -> str:
    """The object that holds the fingerprint of one model's look; the number changes with the form of what is in it.

    It is stored before the commit that speaks of it, so a run that loses its commit must not write over another's.
    """
    shown = _UNSAFE.sub("_", model)[:_MOST_SHOWN]  # for a person; the digest keeps apart what looks the same
    digest = hashlib.sha256(model.encode()).hexdigest()[:16]
    return f"{PREFIX}{asset_id}/fingerprint-1-{shown}-{digest}.bin"


_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_MOST_SHOWN = 64


def store(media: Blobs, timeline: Timeline, sheet: bytes | None, look: str = "") -> None:
    """Stores both, the sheet first, so that no timeline names a sheet that is not there. Raises `Retryable`."""
    if sheet is not None:
        media.put(sheet_name(timeline.asset_id, look), sheet, content_type="image/jpeg")
    text = json.dumps(to_data(timeline))
    media.put(timeline_name(timeline.asset_id, look), text.encode(), content_type="application/json")


def take_over(media: Blobs, earlier_id: str, look: str, asset_id: str) -> None:
    """Gives an asset the timeline and the sheet of a look at an earlier one.

    Raises `NotFound` if one is gone, and `Retryable`.
    """
    earlier = load(media, earlier_id, look)
    if earlier.contact_sheet:
        media.copy(sheet_name(earlier_id, look), sheet_name(asset_id))
    store(media, replace(earlier, asset_id=asset_id), None)


def store_fingerprint(media: Blobs, asset_id: str, model: str, fingerprint: bytes) -> None:
    """Stores `DetectionRun.fingerprint`. Raises `Retryable`."""
    media.put(fingerprint_name(asset_id, model), fingerprint, content_type="application/octet-stream")


def load_fingerprint(media: Blobs, asset_id: str, model: str) -> bytes:
    """The fingerprint that was made by this model. Raises `NotFound`."""
    return _read(media, fingerprint_name(asset_id, model), "This asset has no fingerprint.")


def load(media: Blobs, asset_id: str, look: str = "") -> Timeline:
    """The timeline. Raises `NotFound`."""
    return from_data(Timeline, json.loads(_read(media, timeline_name(asset_id, look), "This asset has no timeline.")))


def load_sheet(media: Blobs, asset_id: str, look: str = "") -> bytes:
    """The JPEG. Raises `NotFound`."""
    sentence = "This asset has no contact sheet: nothing was found in it, or none could be drawn."
    return _read(media, sheet_name(asset_id, look), sentence)


def discard(media: Blobs, asset_id: str) -> None:
    """Removes all that is kept beside an upload, of every look and model. Raises `Retryable`."""
    for kept in list(media.list(_folder(asset_id, ""))):
        with suppress(NotFound):
            media.delete(kept.name)


def _folder(asset_id: str, look: str) -> str:
    return f"{PREFIX}{asset_id}/{look}/" if look else f"{PREFIX}{asset_id}/"


def _read(media: Blobs, name: str, sentence: str) -> bytes:
    try:
        with media.open(name) as stream:
            return stream.read()
    except NotFound:
        raise NotFound("nothing_stored", sentence) from None
