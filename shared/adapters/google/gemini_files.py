"""The `ContextModel` by API key: Gemini by `google-generativeai`, to whose File API the video is uploaded and deleted.

The library has reached its end of life and warns of it when it is imported, which is nothing to a user: it is imported
with the first call, silently. Of its parts, those are used that need no process-wide `configure`. Its own upload is not
among them: that fetches a description of the API from a fixed address with the key in it, and has neither a deadline
nor chunks below 100 MiB; googleapiclient's resumable request, on which it stands, does better without it.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from http.client import HTTPException
from typing import Any, BinaryIO

from shared.adapters.google import gemini_replies as replies
from shared.errors import AnalyserFailed
from shared.ports import Blobs, ContextAnswer, ContextRequest, Depth

log = logging.getLogger(__name__)

ENDPOINT = "https://generativelanguage.googleapis.com"
MAX_FILE_BYTES = 2_000_000_000
CHUNK_BYTES = 8 << 20
OURS = "sightline-"
"""How the names of our files begin, so that what a killed process left can be told from other people's files."""

RESUMPTIONS = 2
"""How often in a row a broken upload goes on from where the server says it stands: a chunk is cheaper than a file."""

UPLOAD_SHARE = 0.6
ACTIVE_SHARE = 0.8
"""Where the work stands when the upload has ended, and when the file is ready."""


@dataclass(frozen=True)
class Patience:
    """In seconds: `whole` bounds one description (and stays below a function's 540), `request` one small request.

    `poll` is the first wait for a file to become ready, doubled up to `longest_poll`; `resume` the wait before a broken
    upload goes on.
    """

    whole: float = 480.0
    request: float = 60.0
    generate: float = 240.0
    poll: float = 1.0
    longest_poll: float = 8.0
    resume: float = 1.0


PATIENCE = Patience()


class FilesGemini:
    """Implements `ContextModel` with one API key, for the objects of `media`.

    The library knows no media resolution, so there is no VIDEO_LOW.
    """

    depths: Sequence[Depth] = (Depth.VIDEO, Depth.STILLS)

    def __init__(self, key: str, model: str, media: Blobs, endpoint: str, patience: Patience) -> None:
        self.name = model
        self._key = key
        self._media = media
        self._endpoint = endpoint.rstrip("/")
        self._patience = patience

    def describe(self, request: ContextRequest, report: Callable[[float], None]) -> ContextAnswer:
        """See `ContextModel.describe`."""
        deadline = time.monotonic() + self._patience.whole
        if request.depth is Depth.STILLS:
            if request.stills is None:
                raise ValueError("a request at the depth STILLS brings its stills")
            shown = {"inline_data": {"mime_type": "image/jpeg", "data": request.stills}}
            return self._generate(request, shown, deadline, report)
        if request.depth not in self.depths:
            raise ValueError(f"{request.depth} is none of the depths of this model")
        if request.size > MAX_FILE_BYTES:
            raise AnalyserFailed("too_large_for_model", "The video is larger than Gemini takes (2 GB).", tries=1)
        name = f"files/{OURS}{uuid.uuid4().hex[:30]}"
        with self._media.open(request.object_name, generation=request.generation) as stream:
            upload = self._resumable(name, stream, request.content_type)
            try:
                self._send(upload, deadline, report)
                shown = {"file_data": {"mime_type": request.content_type, "file_uri": self._active(name, deadline)}}
                report(ACTIVE_SHARE)
                return self._generate(request, shown, deadline, report)
            finally:
                if upload.resumable_uri is not None:  # else nothing was begun
                    self._delete(name)

    def remove_leftovers(self, before: datetime) -> int:
        """Deletes our files that were made before an aware time; how many those were.

        Raises `AnalyserFailed` when the files can't be listed; one that can't be deleted is logged and passed over.
        """
        if before.tzinfo is None:
            raise ValueError("the time must be aware")
        with _translated():
            listing = self._files.list_files({"page_size": 100}, retry=None, timeout=self._patience.request)
            old = [
                file.name
                for file in listing
                if file.display_name.startswith(OURS) and file.create_time and file.create_time < before
            ]
        return sum(self._delete(name) for name in old)

    # ----------------------------------------------------------------------- the steps

    def _send(self, upload: Any, deadline: float, report: Callable[[float], None]) -> None:
        """Streams the object in chunks."""
        with _translated():
            try:
                while not self._sent(upload, deadline):
                    report(UPLOAD_SHARE * upload.resumable_progress / upload.resumable.size())
            finally:
                upload.http.close()
        report(UPLOAD_SHARE)

    def _sent(self, upload: Any, deadline: float) -> bool:
        """Sends the next chunk; whether it was the last. A broken one goes on from where the server says it stands."""
        for failures in range(RESUMPTIONS + 1):
            if time.monotonic() >= deadline:
                raise replies.too_slow("Sending the video to Gemini took too long.")
            try:
                _status, body = upload.next_chunk()
            except Exception as error:
                if failures == RESUMPTIONS or not _may_resume(error):
                    raise
                time.sleep(self._patience.resume)
            else:
                return body is not None
        raise AssertionError("the last failure is raised")

    def _resumable(self, name: str, stream: BinaryIO, content_type: str) -> Any:
        """A request of the File API's resumable upload, as its discovery document describes it; key in the header.

        The name is ours to choose: then a file whose last answer is lost has one, too.
        """
        import googleapiclient.http

        # One for each upload: its connections must not be shared between threads.
        http: Any = googleapiclient.http.build_http()  # type: ignore[no-untyped-call]
        http.timeout = self._patience.request
        body = {"file": {"name": name, "displayName": name.removeprefix("files/")}}
        return googleapiclient.http.HttpRequest(
            http,
            lambda _response, content: content,
            f"{self._endpoint}/upload/v1beta/files?uploadType=resumable&alt=json",
            method="POST",
            body=json.dumps(body),
            headers={"content-type": "application/json", "x-goog-api-key": self._key},
            resumable=_chunks(stream, content_type),
        )

    def _active(self, name: str, deadline: float) -> str:
        """The URI of the file once Gemini has processed it. Raises `AnalyserFailed` (`file_failed`, `too_slow`)."""
        wait = self._patience.poll
        while True:
            with _translated():
                file = self._files.get_file(name=name, retry=None, timeout=self._patience.request)
            state = _name(file.state)
            if state == "ACTIVE":
                return str(file.uri)
            if state == "FAILED":
                raise AnalyserFailed("file_failed", "Gemini could not process the video.", tries=2)
            if time.monotonic() + wait > deadline:
                raise replies.too_slow("Gemini took too long to process the video.")
            time.sleep(wait)
            wait = min(2 * wait, self._patience.longest_poll)

    def _generate(
        self, request: ContextRequest, shown: Mapping[str, Any], deadline: float, report: Callable[[float], None]
    ) -> ContextAnswer:
        timeout = min(self._patience.generate, deadline - time.monotonic())
        if timeout <= 0:
            raise replies.too_slow("Gemini had no time left to answer.")
        asked = {
            "model": f"models/{self.name}",
            "contents": [{"role": "user", "parts": [shown, {"text": request.prompt}]}],
            "generation_config": {
                "response_mime_type": "application/json",
                "response_schema": _schema(request.schema),
                "temperature": replies.TEMPERATURE,
                "max_output_tokens": replies.MAX_OUTPUT_TOKENS,
            },
        }
        with _translated():
            reply = self._models.generate_content(asked, retry=None, timeout=timeout)
        report(1.0)
        return replies.read_reply(_read(reply), self.name)

    def _delete(self, name: str) -> bool:
        """Whether the file was deleted. One that is not there is none of our worries; other failures are logged."""
        from google.api_core import exceptions

        try:
            self._files.delete_file(name=name, retry=None, timeout=self._patience.request)
        except exceptions.NotFound:
            return False
        except Exception as error:  # nothing here may hide the answer, or the error, that is on its way out
            log.warning("a file could not be deleted at Gemini: %s, %s", name, type(error).__name__)
            return False
        return True

    # ----------------------------------------------------------------------- the clients

    @cached_property
    def _files(self) -> Any:
        with _silence():
            from google.generativeai.client import FileServiceClient

        return FileServiceClient(**self._client_options)  # type: ignore[no-untyped-call]

    @cached_property
    def _models(self) -> Any:
        from google.ai.generativelanguage import GenerativeServiceClient

        return GenerativeServiceClient(**self._client_options)

    @property
    def _client_options(self) -> dict[str, Any]:
        from google.api_core.client_options import ClientOptions

        options = ClientOptions(api_key=self._key, api_endpoint=self._endpoint)
        return {"transport": "rest", "client_options": options}


def connect(
    key: str, model: str, media: Blobs, *, endpoint: str | None = None, patience: Patience | None = None
) -> FilesGemini:
    """Gemini by an API key. `endpoint`: another origin than Google's. Nothing is imported or sent before it is used."""
    return FilesGemini(key, model, media, endpoint or ENDPOINT, patience or PATIENCE)


@contextmanager
def _silence() -> Iterator[None]:
    """The library's import says that it has reached its end of life."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def _chunks(stream: BinaryIO, content_type: str) -> Any:
    import googleapiclient.http

    class Chunks(googleapiclient.http.MediaIoBaseUpload):
        """Hands chunks over as bytes: httplib2 sends a body again after a lost connection, and a stream is spent."""

        def has_stream(self) -> bool:
            return False

    return Chunks(stream, content_type, chunksize=CHUNK_BYTES, resumable=True)


def _may_resume(error: Exception) -> bool:
    """Whether an upload may go on after an error: the connection broke, or the server is in trouble."""
    import httplib2  # type: ignore[import-untyped]
    from googleapiclient.errors import HttpError, ResumableUploadError

    if isinstance(error, ResumableUploadError):
        return False  # there is no session yet
    if isinstance(error, HttpError):
        return int(error.resp.status) >= 500
    return isinstance(error, OSError | HTTPException | httplib2.HttpLib2Error)


@contextmanager
def _translated() -> Iterator[None]:
    """Every error of the library and of what it stands on, as `AnalyserFailed`; our own pass."""
    import httplib2
    import requests
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError
    from google.protobuf import json_format
    from googleapiclient.errors import HttpError

    try:
        yield
    except exceptions.GoogleAPICallError as error:
        raise replies.failure_of_status(int(error.code or 500), replies.reason_of(error.details)) from error
    except HttpError as error:
        raise replies.failure_of_status(int(error.resp.status), replies.reason_of(error.error_details)) from error
    except (requests.exceptions.Timeout, TimeoutError) as error:
        raise replies.too_slow() from error
    except (OSError, HTTPException, httplib2.HttpLib2Error, GoogleAuthError) as error:  # requests' are OSErrors
        raise replies.unavailable() from error
    except (json_format.Error, *replies.TRIPPED) as error:
        raise replies.unreadable() from error


def _schema(given: Mapping[str, Any]) -> Any:
    """A JSON schema as the library's own type, which has its own names for the same things."""
    with _silence():
        from google.generativeai import protos

    kinds: Any = protos.Type  # an enum of proto-plus, which mypy doesn't take for one
    return protos.Schema(
        type_=kinds[given["type"].upper()],
        properties={name: _schema(inner) for name, inner in given.get("properties", {}).items()},
        required=given.get("required", ()),
        items=_schema(given["items"]) if "items" in given else None,
        max_items=given.get("maxItems", 0),
        enum=given.get("enum", ()),
    )


def _read(reply: Any) -> replies.Reply:
    first = reply.candidates[0] if reply.candidates else None
    usage = reply.usage_metadata if "usage_metadata" in reply else None
    return replies.Reply(
        text="".join(part.text for part in first.content.parts) if first else "",
        answered=first is not None,
        block_reason=_name(reply.prompt_feedback.block_reason),
        finish_reason=_name(first.finish_reason) if first else "",
        prompt_tokens=usage.prompt_token_count if usage else None,
        candidate_tokens=usage.candidates_token_count if usage else None,
        total_tokens=usage.total_token_count if usage else None,
    )


def _name(value: Any) -> str:
    """An enum's name; a number that is newer than the library is none that it knows."""
    return str(getattr(value, "name", f"UNKNOWN_{value}"))
