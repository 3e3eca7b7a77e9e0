"""The `ContextModel` on Google Cloud: Gemini by `google-genai`, which reads the video in place (`gs://`).

Nothing is uploaded, so nothing is to be deleted. It must not know what the answer is used for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from shared.errors import AnalyserFailed
from shared.ports import ContextAnswer, ContextRequest, Depth

if TYPE_CHECKING:
    from google.genai import Client

TIMEOUT_SECONDS = 240.0


class CloudGemini:
    """Implements `ContextModel` for the objects of one bucket."""

    depths: Sequence[Depth] = (Depth.VIDEO, Depth.VIDEO_LOW, Depth.STILLS)

    def __init__(self, client: Client, model: str, bucket: str) -> None:
        self._client = client
        self.name = model
        self._bucket = bucket

    def describe(self, request: ContextRequest, report: Callable[[float], None]) -> ContextAnswer:
        """See `ContextModel.describe`."""
        from google.genai import errors, types

        uri = f"gs://{self._bucket}/{request.object_name}"
        video = types.Part.from_uri(file_uri=uri, mime_type=request.content_type)
        try:
            reply = self._client.models.generate_content(
                model=self.name,
                contents=types.Content(role="user", parts=[video, types.Part.from_text(text=request.prompt)]),
                config=types.GenerateContentConfig(
                    response_mime_type="application/json", response_schema=dict(request.schema)
                ),
            )
        except errors.APIError as error:
            raise AnalyserFailed(
                "unavailable", f"Gemini answered {error.code}.", tries=AnalyserFailed.PATIENT
            ) from error
        report(1.0)
        return ContextAnswer(reply.text or "", self.name)


def connect(project: str, location: str, model: str, bucket: str, *, endpoint: str | None = None) -> CloudGemini:
    """Gemini with the function's own credentials."""
    from google.genai import Client, types

    options = types.HttpOptions(base_url=endpoint, timeout=int(TIMEOUT_SECONDS * 1000))
    return CloudGemini(Client(vertexai=True, project=project, location=location, http_options=options), model, bucket)
