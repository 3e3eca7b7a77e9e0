"""What the embedded blob store knows about one object, and how Cloud Storage's JSON API spells it.

Pure data: it must do no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shared.errors import PreconditionFailed
from shared.ports import BlobInfo


@dataclass(frozen=True)
class NewObject:
    """Where an object goes and what it is, apart from its bytes."""

    bucket: str
    name: str
    content_type: str
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class StoredObject:
    """One object at its present generation; `md5` and `crc32c` are base64 as Cloud Storage writes them."""

    bucket: str
    name: str
    generation: int
    metageneration: int
    size: int
    content_type: str
    metadata: Mapping[str, str]
    md5: str
    crc32c: str
    created: datetime
    updated: datetime

    @property
    def info(self) -> BlobInfo:
        """What the port tells about it."""
        return BlobInfo(self.name, self.generation, self.size, self.content_type, self.updated, dict(self.metadata))


@dataclass(frozen=True)
class Preconditions:
    """Cloud Storage's `ifGenerationMatch` and its kin. A generation of 0 means that nothing is there."""

    generation: int | None = None
    not_generation: int | None = None
    metageneration: int | None = None
    not_metageneration: int | None = None

    def check(self, present: StoredObject | None) -> None:
        """Raises `PreconditionFailed` unless all of them hold for what is there."""
        generation = present.generation if present else 0
        metageneration = present.metageneration if present else 0
        holds = (
            self.generation in {None, generation}
            and self.not_generation != generation
            and self.metageneration in {None, metageneration}
            and self.not_metageneration != metageneration
        )
        if not holds:
            raise PreconditionFailed("the generation is not the expected one")


def rfc3339(moment: datetime) -> str:
    """A UTC time as Google's APIs write it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def object_resource(stored: StoredObject) -> dict[str, Any]:
    """The object resource of the JSON API, which is also the body of a bucket notification."""
    resource: dict[str, Any] = {
        "kind": "storage#object",
        "id": f"{stored.bucket}/{stored.name}/{stored.generation}",
        "name": stored.name,
        "bucket": stored.bucket,
        "generation": str(stored.generation),
        "metageneration": str(stored.metageneration),
        "contentType": stored.content_type,
        "storageClass": "STANDARD",
        "size": str(stored.size),
        "md5Hash": stored.md5,
        "crc32c": stored.crc32c,
        "etag": etag(stored),
        "timeCreated": rfc3339(stored.created),
        "updated": rfc3339(stored.updated),
    }
    if stored.metadata:
        resource["metadata"] = dict(stored.metadata)
    return resource


def etag(stored: StoredObject) -> str:
    """Changes with the content and with the metadata."""
    return f"{stored.generation}-{stored.metageneration}"
