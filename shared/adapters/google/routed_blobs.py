"""The `Blobs` port over several buckets of Cloud Storage: what an object's name begins with says where it lies.

So what handlers keep apart by prefixes, the platform keeps apart by buckets, with accounts, life cycles and logs of
their own. An object that lies in a bucket which is not its name's does not exist to this port.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, BinaryIO

from shared.adapters.google.blobs import CloudStorageBlobs
from shared.buckets import Buckets
from shared.ports import BlobInfo, SignedUpload

if TYPE_CHECKING:
    from google.auth.credentials import Signing


class RoutedBlobs:
    """`open_bucket` gives the port on one bucket; each is opened once."""

    def __init__(self, buckets: Buckets, open_bucket: Callable[[str], CloudStorageBlobs]) -> None:
        self._buckets = buckets
        self._opened = {name: open_bucket(name) for name in dict.fromkeys(buckets.by_prefix.values())}

    def stat(self, name: str) -> BlobInfo | None:
        """See `Blobs.stat`."""
        return self._of(name).stat(name)

    def open(self, name: str, *, generation: int | None = None) -> BinaryIO:
        """See `Blobs.open`."""
        return self._of(name).open(name, generation=generation)

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
        return self._of(name).put(name, data, content_type=content_type, metadata=metadata, if_generation=if_generation)

    def copy(self, source: str, target: str, *, if_generation: int | None = None) -> BlobInfo:
        """See `Blobs.copy`, also from one bucket to another: the target is there as a whole or not at all."""
        return self._of(target).copy_from(self._of(source), source, target, if_generation=if_generation)

    def delete(self, name: str, *, if_generation: int | None = None) -> None:
        """See `Blobs.delete`."""
        self._of(name).delete(name, if_generation=if_generation)

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """See `Blobs.list`. Only buckets that may hold such names are asked."""
        listings = (self._own(bucket, prefix) for bucket in self._buckets.holding(prefix))
        return heapq.merge(*listings, key=lambda info: info.name.encode())

    def sign_get(self, name: str, *, expires_in: timedelta) -> str:
        """See `Blobs.sign_get`."""
        return self._of(name).sign_get(name, expires_in=expires_in)

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
        return self._of(name).sign_put(
            name,
            content_type=content_type,
            max_bytes=max_bytes,
            expires_in=expires_in,
            resumable=resumable,
            metadata=metadata,
        )

    def _of(self, name: str) -> CloudStorageBlobs:
        return self._opened[self._buckets.of(name)]

    def _own(self, bucket: str, prefix: str) -> Iterator[BlobInfo]:
        return (info for info in self._opened[bucket].list(prefix) if self._buckets.of(info.name) == bucket)


def connect(buckets: Buckets, *, signer: Callable[[], Signing] | None = None) -> RoutedBlobs:
    """The buckets as a deployed function sees them, over one client; see `blobs.connect`."""
    from google.cloud.storage import Client

    client = Client()  # type: ignore[no-untyped-call]
    endpoint: str = client.api_endpoint
    return RoutedBlobs(buckets, lambda name: CloudStorageBlobs(client, name, signer, endpoint))
