"""The `Blobs` port on Cloud Storage.

Google's library is imported when a call needs it, never with this module: the start of a function is measured, and the
client its composition root hands over has loaded all of it by then. No Google exception leaves this module untranslated
unless it says that we are wrong (403, 400): those are for the operator, and the message is redelivered.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from shared.adapters import blob_names, signed_urls
from shared.errors import NotFound, PreconditionFailed, Retryable, SettingsError
from shared.ports import BlobInfo, SignedUpload

if TYPE_CHECKING:
    from google.auth.credentials import Signing
    from google.cloud.storage import Client

READ_CHUNK = 4 << 20
WRITE_CHUNK = 8 << 20  # held in memory while it is sent; Cloud Storage wants multiples of 256 KiB
REQUEST_TIMEOUT_SECONDS = 60.0
LISTED_FIELDS = "items(name,generation,size,contentType,updated,metadata),nextPageToken"


class CloudStorageBlobs:
    """One bucket. `signer` gives what signs URLs (see `signing.py`); without it `sign_*` raise `SettingsError`.

    `api_access_endpoint` is the origin of signed URLs, by default the client's own. `retry_seconds` is how long the
    client library repeats a failing request before it becomes `Retryable`.
    """

    def __init__(
        self,
        client: Client,
        bucket: str,
        signer: Callable[[], Signing] | None = None,
        api_access_endpoint: str | None = None,
        *,
        retry_seconds: float = 60.0,
    ) -> None:
        self._client = cast("Any", client)  # the library's functions carry no types
        self._bucket: Any = self._client.bucket(bucket)
        self._signer = signer
        self._endpoint = api_access_endpoint
        self._retry_seconds = retry_seconds

    def stat(self, name: str) -> BlobInfo | None:
        """See `Blobs.stat`."""
        blob_names.check_name(name)
        with _translated(name):
            blob = self._bucket.get_blob(name, **self._options())
        return None if blob is None else _info(blob)

    def open(self, name: str, *, generation: int | None = None) -> BinaryIO:
        """See `Blobs.open`. The generation is pinned: an overwrite never mixes into what is being read."""
        blob_names.check_name(name)
        blob = self._bucket.blob(name, generation=generation)
        with _translated(name):
            blob.reload(**self._options())
            pinned = self._bucket.blob(name, generation=blob.generation)
            inner = pinned.open("rb", chunk_size=READ_CHUNK, **self._options())
        return cast("BinaryIO", _PinnedReader(inner, name, blob.size))

    def put(
        self,
        name: str,
        data: bytes | BinaryIO,
        *,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
        if_generation: int | None = None,
    ) -> BlobInfo:
        """See `Blobs.put`. At most one chunk of a stream is in memory; less than that takes a single request."""
        blob_names.check_name(name)
        blob = self._bucket.blob(name, chunk_size=WRITE_CHUNK)
        if metadata is not None:
            blob.metadata = dict(metadata)
        source = _Forward(io.BytesIO(data) if isinstance(data, bytes) else data)
        head = source.peek(WRITE_CHUNK)
        with _translated(name):
            blob.upload_from_file(
                source,
                size=len(head) if len(head) < WRITE_CHUNK else None,
                content_type=content_type,
                if_generation_match=if_generation,
                **self._options(),
            )
        return _info(blob)

    def copy(self, source: str, target: str, *, if_generation: int | None = None) -> BlobInfo:
        """See `Blobs.copy`."""
        return self.copy_from(self, source, target, if_generation=if_generation)

    def copy_from(
        self, other: CloudStorageBlobs, source: str, target: str, *, if_generation: int | None = None
    ) -> BlobInfo:
        """Copies `source` of another bucket to `target` of this one, as `copy` does within one.

        Large objects take several calls, all of the same generation of the source; the last makes the target.
        """
        blob_names.check_name(source)
        blob_names.check_name(target)
        original = other._bucket.blob(source)
        with _translated(source):
            original.reload(**self._options())
        copied = self._bucket.blob(target)
        # Said explicitly: the library sends a body, and a body replaces what would else be taken from the source.
        copied.content_type = original.content_type
        if original.metadata:
            copied.metadata = original.metadata
        try:
            with _translated(source):
                self._rewrite(original, copied, if_generation)
        except NotFound:
            raise Retryable("the source was replaced while it was copied") from None
        return _info(copied)

    def _rewrite(self, original: Any, copied: Any, if_generation: int | None) -> None:
        token = None
        while True:
            token, _done, _total = copied.rewrite(
                original, token=token, if_generation_match=if_generation, **self._options()
            )
            if token is None:
                return

    def delete(self, name: str, *, if_generation: int | None = None) -> None:
        """See `Blobs.delete`. Without a generation it is not repeated, or a lost answer would turn into `NotFound`."""
        blob_names.check_name(name)
        options = self._options() if if_generation is not None else {**self._options(), "retry": None}
        with _translated(name):
            self._bucket.blob(name).delete(if_generation_match=if_generation, **options)

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """See `Blobs.list`."""
        listing = self._client.list_blobs(self._bucket, prefix=prefix or None, fields=LISTED_FIELDS, **self._options())
        blobs = iter(listing)
        while True:
            # Only fetching is translated: what a caller raises inside its loop stays its own.
            with _translated(prefix):
                blob = next(blobs, None)
            if blob is None:
                return
            yield _info(blob)

    def sign_get(self, name: str, *, expires_in: timedelta) -> str:
        """See `Blobs.sign_get`."""
        with _translated(name):
            return signed_urls.sign_get(
                self._bucket.blob(name), signer=self._require_signer(), endpoint=self._endpoint, expires_in=expires_in
            )

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
        with _translated(name):
            return signed_urls.sign_put(
                self._bucket.blob(name),
                signer=self._require_signer(),
                endpoint=self._endpoint,
                content_type=content_type,
                max_bytes=max_bytes,
                expires_in=expires_in,
                resumable=resumable,
                metadata=metadata,
            )

    def _require_signer(self) -> Signing:
        if self._signer is None:
            raise SettingsError("this function was composed without credentials that sign URLs")
        return self._signer()

    def _options(self) -> dict[str, Any]:
        from google.cloud.storage.retry import DEFAULT_RETRY

        retry = cast("Any", DEFAULT_RETRY)
        return {"timeout": REQUEST_TIMEOUT_SECONDS, "retry": retry.with_timeout(self._retry_seconds)}


def connect(bucket: str, *, signer: Callable[[], Signing] | None = None) -> CloudStorageBlobs:
    """A bucket as a deployed function sees it, with the function's own credentials (or STORAGE_EMULATOR_HOST).

    Signed URLs begin with the endpoint the client itself uses, so that they reach the emulator too.
    """
    from google.cloud.storage import Client

    make_client: Any = Client
    client = make_client()
    return CloudStorageBlobs(client, bucket, signer, client.api_endpoint)


class _PinnedReader(io.BufferedIOBase):
    """The library's reader with our exceptions, without the request it makes to find out that the end is the end."""

    def __init__(self, inner: Any, name: str, size: int) -> None:
        self._inner = inner
        self._name = name
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"cannot seek to {base + offset}")
        self._position = base + offset
        return self._position

    def read(self, size: int | None = -1, /) -> bytes:
        if self.closed:
            raise ValueError("read of a closed file")
        left = max(0, self._size - self._position)
        wanted = left if size is None or size < 0 else min(size, left)
        if wanted == 0:
            return b""
        with _translated(self._name):
            self._inner.seek(self._position)
            data: bytes = self._inner.read(wanted)
        self._position += len(data)
        return data

    def read1(self, size: int = -1, /) -> bytes:
        return self.read(size)

    def close(self) -> None:
        self._inner.close()
        super().close()


class _Forward:
    """Reads any stream from where it stands, as the library wants it.

    A short read is the end to the library, so reads are filled; positions are counted from here; and the first bytes
    can be looked at before it is decided how they travel.
    """

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._ahead = b""
        self._position = 0

    def peek(self, size: int) -> bytes:
        """Up to `size` bytes that the next read will give again."""
        self._ahead = self._filled(size)
        return self._ahead

    def tell(self) -> int:
        return self._position

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            data = self._ahead + self._source.read()
            self._ahead = b""
        else:
            ahead, self._ahead = self._ahead[:size], self._ahead[size:]
            data = ahead + self._filled(size - len(ahead)) if len(ahead) < size else ahead
        self._position += len(data)
        return data

    def _filled(self, size: int) -> bytes:
        parts = []
        while size > 0 and (part := self._source.read(size)):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


@contextmanager
def _translated(name: str) -> Iterator[None]:
    """Turns the library's exceptions into those of the port."""
    import requests
    from google.api_core import exceptions as api
    from google.auth import exceptions as auth
    from google.cloud.storage import exceptions as storage

    try:
        yield
    except api.NotFound:
        raise NotFound("blob_not_found", "There is no such object.") from None
    except api.PreconditionFailed:
        raise PreconditionFailed(f"the generation of {name!r} is not the expected one") from None
    except (api.TooManyRequests, api.ServerError, api.RetryError, auth.TransportError, storage.DataCorruption) as error:
        raise Retryable(f"Cloud Storage: {type(error).__name__}") from error
    except (requests.RequestException, ConnectionError, TimeoutError) as error:
        raise Retryable(f"Cloud Storage cannot be reached: {type(error).__name__}") from error
    except (api.GoogleAPICallError, storage.InvalidResponse) as error:
        # 408: a timeout the service saw; 410: a resumable session that is gone, so the upload starts again.
        status = getattr(error, "code", None) or getattr(getattr(error, "response", None), "status_code", None)
        if status in {408, 410, 429, 500, 502, 503, 504}:
            raise Retryable(f"Cloud Storage answered {status}") from error
        raise


def _info(blob: Any) -> BlobInfo:
    return BlobInfo(
        name=blob.name,
        generation=int(blob.generation),
        size=int(blob.size),
        content_type=blob.content_type or "application/octet-stream",
        updated=blob.updated.astimezone(UTC),
        metadata=dict(blob.metadata or {}),
    )
