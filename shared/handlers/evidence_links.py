"""Links to stored evidence: signed ones, made when asked for and valid for minutes, or public ones as the source has.

Making a link is all this does: who asks for one on somebody's behalf also writes down that it was given.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import quote

from shared.domain.evidence_images import LinkMode
from shared.ports import Blobs

LIFE = timedelta(minutes=15)
"""Of a signed link (SPEC §4)."""


@dataclass(frozen=True)
class EvidenceLinks:
    """Makes links to objects of the evidence bucket. `public_base`: what a public URL begins with, without a `/`."""

    evidence: Blobs
    mode: LinkMode
    public_base: str

    def link(self, object_name: str) -> str:
        """The URL of an object. Raises `Retryable` where signing needs a service that does not answer."""
        if self.mode is LinkMode.PUBLIC:
            return f"{self.public_base}/{quote(object_name)}"
        return self.evidence.sign_get(object_name, expires_in=LIFE)
