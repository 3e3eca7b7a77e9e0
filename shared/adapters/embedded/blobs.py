"""The `Blobs` port on a folder of this machine.

What is stored and how is `BlobFolder`'s business, what a signed URL is worth the blob server's. This module must not
touch a file or the index itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlsplit

from shared.adapters import signed_urls
from shared.adapters.embedded.blob_folder import BlobFolder
from shared.adapters.embedded.blob_object import NewObject, Preconditions
from shared.errors import SettingsError
from shared.ports import BlobInfo, SignedUpload

if TYPE_CHECKING:
    from google.auth.credentials import Signing

BLOCK = 1 << 20
PAGE = 1000


class FolderBlobs:
    """One bucket of a folder.

    `signer` and `base_url` are only needed for `sign_*`: credentials with a private key (see `local_signing_key`) and
    the origin under which clients reach the blob server, without a path (`http://localhost:8080`).
    """

    def __init__(
        self, folder: BlobFolder, bucket: str, *, signer: Signing | None = None, base_url: str | None = None
    ) -> None:
        self._folder = folder
        self._name = bucket
        self._signer = signer
        self._origin = None if base_url is None else plain_origin(base_url)

    def stat(self, name: str) -> BlobInfo | None:
        """See `Blobs.stat`."""
        present = self._folder.find(self._name, name)
        return present.info if present else None

    def open(self, name: str, *, generation: int | None = None) -> BinaryIO:
        """See `Blobs.open`. What is open stays readable after an overwrite."""
        return self._folder.open(self._name, name, generation)[1]

    def put(
        self,
        name: str,
        data: bytes | BinaryIO,
        *,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
        if_generation: int | None = None,
    ) -> BlobInfo:
        """See `Blobs.put`."""
        conditions = Preconditions(generation=if_generation)
        self._folder.check(self._name, name, conditions)
        with self._folder.receive() as incoming:
            for block in _blocks(data):
                incoming.write(block)
            new = NewObject(self._name, name, content_type, dict(metadata or {}))
            return self._folder.store(incoming.finish(), new, conditions).info

    def copy(self, source: str, target: str, *, if_generation: int | None = None) -> BlobInfo:
        """See `Blobs.copy`. Both share their bytes on disk."""
        conditions = Preconditions(generation=if_generation)
        return self._folder.copy((self._name, source), (self._name, target), conditions).info

    def delete(self, name: str, *, if_generation: int | None = None) -> None:
        """See `Blobs.delete`."""
        self._folder.delete(self._name, name, Preconditions(generation=if_generation))

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """See `Blobs.list`."""
        after: str | None = None
        while True:
            page = self._folder.page(self._name, prefix, after=after, limit=PAGE)
            yield from (stored.info for stored in page)
            if len(page) < PAGE:
                return
            after = page[-1].name

    def sign_get(self, name: str, *, expires_in: timedelta) -> str:
        """See `Blobs.sign_get`."""
        self._require_signer()
        blob = self._library_bucket.blob(name)
        return signed_urls.sign_get(blob, signer=self._signer, endpoint=self._origin, expires_in=expires_in)

    def sign_put(
        self,
        name: str,
        *,
        content_type: str,
        max_bytes: int,
        expires_in: timedelta,
        resumable: bool = False,
        metadata: Mapping[str, str] | None = None,
    ) -> SignedUpload:
        """See `Blobs.sign_put`."""
        self._require_signer()
        return signed_urls.sign_put(
            self._library_bucket.blob(name),
            signer=self._signer,
            endpoint=self._origin,
            content_type=content_type,
            max_bytes=max_bytes,
            expires_in=expires_in,
            resumable=resumable,
            metadata=metadata,
        )

    @cached_property
    def _library_bucket(self) -> Any:
        """Google's client library, for its signatures alone; imported late because it takes long."""
        from google.cloud import storage

        client: Any = storage.Client
        return client(project="sightline", credentials=self._signer).bucket(self._name)

    def _require_signer(self) -> None:
        if self._signer is None or self._origin is None:
            raise SettingsError("these blobs were composed without a signing key and base URL")


def plain_origin(base_url: str) -> str:
    """The origin as HTTP clients spell it in `Host`, which is signed: lower case, no default port. No path."""
    parts = urlsplit(base_url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/") or parts.query:
        raise SettingsError(
            f"the base URL of the blobs must be an origin such as http://localhost:8080, not {base_url}"
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    default = {"http": 80, "https": 443}[parts.scheme]
    port = "" if parts.port in {None, default} else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


def _blocks(data: bytes | BinaryIO) -> Iterator[bytes]:
    if isinstance(data, bytes):
        yield data
        return
    while block := data.read(BLOCK):
        yield block
