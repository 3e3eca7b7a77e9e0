"""The `ContextModel` on Google Cloud: Gemini by `google-genai`, which reads the video in place (`gs://`).

Nothing is uploaded, so nothing is to be deleted. It must not know what the answer is used for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from shared.adapters.google import gemini_replies as replies
from shared.buckets import Buckets
from shared.errors import NotFound
from shared.ports import Blobs, ContextAnswer, ContextRequest, Depth

if TYPE_CHECKING:
    from google.genai import Client, types

TIMEOUT_SECONDS = 240.0
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"


class CloudGemini:
    """Implements `ContextModel` for objects that lie in `buckets`, which are read through `media`."""

    depths: Sequence[Depth] = (Depth.VIDEO, Depth.VIDEO_LOW, Depth.STILLS)

    def __init__(self, client: Client, model: str, buckets: Buckets, media: Blobs) -> None:
        self._client = client
        self.name = model
        self._buckets = buckets
        self._media = media

    def describe(self, request: ContextRequest, report: Callable[[float], None]) -> ContextAnswer:
        """See `ContextModel.describe`."""
        from google.genai import types

        parts = [self._shown(request), types.Part.from_text(text=request.prompt)]
        with _translated():
            reply = self._client.models.generate_content(
                model=self.name, contents=types.Content(role="user", parts=parts), config=_config(request)
            )
        report(1.0)
        return replies.read_reply(_read(reply), self.name)

    def _shown(self, request: ContextRequest) -> types.Part:
        """The stills, or where the video lies. An address pins no generation, so it is looked up first."""
        from google.genai import types

        if request.depth is Depth.STILLS:
            if request.stills is None:
                raise ValueError("a request at the depth STILLS brings its stills")
            return types.Part.from_bytes(data=request.stills, mime_type="image/jpeg")
        present = self._media.stat(request.object_name)
        if present is None or present.generation != request.generation:
            raise NotFound("object_gone", "The video is no longer in the bucket.")
        uri = self._buckets.uri(request.object_name)
        return types.Part.from_uri(file_uri=uri, mime_type=request.content_type)


def connect(
    project: str,
    location: str,
    model: str,
    buckets: Buckets,
    media: Blobs,
    timeout: float = TIMEOUT_SECONDS,
    *,
    endpoint: str | None = None,
) -> CloudGemini:
    """Gemini with the function's own credentials. `endpoint`: another origin than Google's; `timeout` in seconds.

    The library repeats nothing: a failed call is the queue's to repeat, which waits longer and outlives the process.
    """
    from google.genai import Client, types

    options = types.HttpOptions(base_url=endpoint, timeout=int(timeout * 1000))
    client = Client(vertexai=True, project=project, location=location, credentials=_credentials(), http_options=options)
    return CloudGemini(client, model, buckets, media)


def _credentials() -> Any:
    """The default ones. A service account's key signs its own tokens, which spares a call to the token server."""
    import google.auth
    from google.oauth2 import service_account

    default: Any = google.auth.default  # the library's function carries no types
    own, _project = default(scopes=[_SCOPE])
    if isinstance(own, service_account.Credentials):
        return own.with_always_use_jwt_access(True)  # type: ignore[no-untyped-call]
    return own


def _config(request: ContextRequest) -> types.GenerateContentConfig:
    from google.genai import types

    low = types.MediaResolution.MEDIA_RESOLUTION_LOW if request.depth is Depth.VIDEO_LOW else None
    return types.GenerateContentConfig(
        response_mime_type="application/json",
        response_schema=dict(request.schema),
        temperature=replies.TEMPERATURE,
        max_output_tokens=replies.MAX_OUTPUT_TOKENS,
        media_resolution=low,
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )


@contextmanager
def _translated() -> Iterator[None]:
    """Every error of the library, of the connection and of the credentials, as `AnalyserFailed`."""
    import httpx2
    from google.auth.exceptions import GoogleAuthError, TransportError
    from google.genai import errors

    try:
        yield
    except errors.APIError as error:
        raise replies.failure_of_status(error.code or 500, replies.reason_of(_details(error.details))) from error
    except httpx2.TimeoutException as error:
        raise replies.too_slow() from error
    except (httpx2.HTTPError, TransportError) as error:
        raise replies.unavailable() from error
    except GoogleAuthError as error:
        raise (replies.unavailable() if error.retryable else replies.not_permitted()) from error
    except replies.TRIPPED as error:
        raise replies.unreadable() from error


def _details(body: object) -> object:
    error = body.get("error") if isinstance(body, Mapping) else None
    return error.get("details") if isinstance(error, Mapping) else None


def _read(reply: types.GenerateContentResponse) -> replies.Reply:
    feedback, usage = reply.prompt_feedback, reply.usage_metadata
    first = reply.candidates[0] if reply.candidates else None
    parts = first.content.parts if first and first.content and first.content.parts else []
    return replies.Reply(
        text="".join(part.text or "" for part in parts if not part.thought),
        answered=first is not None,
        block_reason=feedback.block_reason.name if feedback and feedback.block_reason else "",
        finish_reason=first.finish_reason.name if first and first.finish_reason else "",
        prompt_tokens=usage.prompt_token_count if usage else None,
        candidate_tokens=usage.candidates_token_count if usage else None,
        total_tokens=usage.total_token_count if usage else None,
    )
