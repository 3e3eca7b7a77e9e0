"""A server that speaks Gemini's two APIs as Google's client libraries use them, and fails in every way it is told to.

Vertex AI (`…/publishers/google/models/…:generateContent`, a bearer token, `gs://` addresses) and the Gemini API
(`models/…:generateContent`, an API key, the File API with resumable uploads). It checks what it is asked as Google
does, and remembers it. Where a client asks for enums as numbers, it gets them so.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from local.emulators import free_port, wait_until_listening
from shared.errors import AnalyserFailed

KEY = "the-secret-api-key"
MODEL = "gemini-test"
ANSWER: Mapping[str, Any] = {
    "objects": ["Bench", "bicycle"],
    "emotions": ["calm"],
    "scenes": ["street"],
    "description": "Two people pass a bench. Nothing else happens.",
    "threat_level": 0,
}
USAGE = {"promptTokenCount": 1000, "candidatesTokenCount": 50, "thoughtsTokenCount": 30, "totalTokenCount": 1080}

STATES = {"PROCESSING": 1, "ACTIVE": 2, "FAILED": 10}
FINISHES = {"STOP": 1, "MAX_TOKENS": 2, "SAFETY": 3, "RECITATION": 4, "OTHER": 5, "PROHIBITED_CONTENT": 8, "NEW": 99}
BLOCKS = {"SAFETY": 1, "PROHIBITED_CONTENT": 4, "NEW": 99}
"""The numbers of the enums in google/ai/generativelanguage/v1beta; NEW is one that no library knows yet."""

# --------------------------------------------------------------------------- ways to fail


@dataclass(frozen=True)
class Refusal:
    """An error with Google's body."""

    status: int
    name: str
    message: str
    reason: str | None = None


Special = str
"""`hang`: nothing ever comes; `reset`: the connection is closed; `html`: 502 of a proxy."""

CALLS: Mapping[str, Refusal | Special] = {
    "quota": Refusal(429, "RESOURCE_EXHAUSTED", "Quota exceeded for quota metric"),
    "unavailable": Refusal(503, "UNAVAILABLE", "The model is overloaded."),
    "internal": Refusal(500, "INTERNAL", "An internal error has occurred."),
    "deadline": Refusal(504, "DEADLINE_EXCEEDED", "Deadline expired before operation could complete."),
    "invalid_key": Refusal(400, "INVALID_ARGUMENT", "API key not valid.", "API_KEY_INVALID"),
    "unauthenticated": Refusal(401, "UNAUTHENTICATED", "Request had invalid authentication credentials."),
    "forbidden": Refusal(403, "PERMISSION_DENIED", "Permission denied on resource."),
    "invalid": Refusal(400, "INVALID_ARGUMENT", "Request contains an invalid argument."),
    "unknown": Refusal(404, "NOT_FOUND", "models/nothing is not found for API version v1beta."),
    "reset": "reset",
    "hang": "hang",
    "html": "html",
}
"""How any call can fail."""

GARBAGE: Mapping[str, str] = {"broken": "{broken", "mistyped": '{"candidates": 7, "state": []}'}
"""Bodies of a 200 that are not what they should be."""

REPLIES: Mapping[str, Mapping[str, Any]] = {
    "blocked_prompt": {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}},
    "blocked_newly": {"promptFeedback": {"blockReason": "NEW"}},
    "safety": {"candidates": [{"finishReason": "SAFETY"}]},
    "recitation": {"candidates": [{"finishReason": "RECITATION"}]},
    "prohibited": {"candidates": [{"finishReason": "PROHIBITED_CONTENT"}]},
    "no_candidates": {},
    "no_parts": {"candidates": [{"finishReason": "STOP", "content": {"role": "model"}}]},
    "empty_text": {"candidates": [{"finishReason": "STOP", "content": {"parts": [{"text": " \n"}]}}]},
    "cut_off": {"candidates": [{"finishReason": "MAX_TOKENS", "content": {"parts": [{"text": '{"objects": ["ca'}]}}]},
    "other": {"candidates": [{"finishReason": "OTHER", "content": {"parts": [{"text": "{}"}]}}]},
    "newly_finished": {"candidates": [{"finishReason": "NEW", "content": {"parts": [{"text": "{}"}]}}]},
}
"""How a model can answer 200 and yet not answer."""

FAILURES: Mapping[str, tuple[str, ...]] = {
    "start": tuple(CALLS),
    "chunk": (*CALLS, "lost"),
    "get": (*CALLS, *GARBAGE, "failed", "never_active"),
    "generate": (*CALLS, *GARBAGE, *REPLIES),
    "delete": tuple(CALLS),
    "list": ("unavailable", "forbidden"),
}
"""The whole table: what each kind of call can be told to do. `start` and `chunk` are the two halves of an upload.

`lost`: the last chunk is taken, and its answer never arrives.
"""

PATIENT = AnalyserFailed.PATIENT
OUTCOMES: Mapping[str, tuple[str, int]] = {
    "quota": ("quota_exceeded", PATIENT),
    "unavailable": ("unavailable", PATIENT),
    "internal": ("unavailable", PATIENT),
    "deadline": ("too_slow", PATIENT),
    "invalid_key": ("not_permitted", 1),
    "unauthenticated": ("not_permitted", 1),
    "forbidden": ("not_permitted", 1),
    "invalid": ("refused", 1),
    "unknown": ("refused", 1),
    "reset": ("unavailable", PATIENT),
    "hang": ("too_slow", PATIENT),
    "html": ("unavailable", PATIENT),
    **dict.fromkeys(GARBAGE, ("malformed_answer", 2)),
    "failed": ("file_failed", 2),
    "never_active": ("too_slow", PATIENT),
    "blocked_prompt": ("blocked", 1),
    "blocked_newly": ("blocked", 1),
    "safety": ("blocked", 1),
    "recitation": ("blocked", 1),
    "prohibited": ("blocked", 1),
    "no_candidates": ("empty_answer", 2),
    "no_parts": ("empty_answer", 2),
    "empty_text": ("empty_answer", 2),
    "cut_off": ("malformed_answer", 2),
    "other": ("malformed_answer", 2),
    "newly_finished": ("malformed_answer", 2),
}
"""The code and the tries of the `AnalyserFailed` that each must become. Not `lost`, nor a `delete`: nothing fails."""

FATAL: Sequence[tuple[str, str]] = [
    (kind, how) for kind in ("start", "chunk", "get", "generate") for how in FAILURES[kind] if how in OUTCOMES
]
"""Every way in which a description can fail by the File API."""


@dataclass
class StoredFile:
    """A file of the File API. `polls`: how often it was asked for."""

    name: str
    display_name: str
    mime_type: str
    sha256: str
    size: int
    created: datetime
    polls: int = 0


@dataclass
class Session:
    """A resumable upload. `chunks` are the sizes of its requests."""

    file: Mapping[str, str]
    mime_type: str
    total: int
    digest: Any = field(default_factory=hashlib.sha256)
    offset: int = 0
    chunks: list[int] = field(default_factory=list)
    made: StoredFile | None = None


class GeminiServer:
    """What the server was asked, and what it is told to do; from any thread."""

    def __init__(self) -> None:
        self.url = ""
        self.answer: Mapping[str, Any] | str = ANSWER
        self.polls_until_active = 1
        self.page = 100
        self.files: dict[str, StoredFile] = {}
        self.uploaded: list[StoredFile] = []
        self.sessions: dict[str, Session] = {}
        self.deleted: list[str] = []
        self.generated: list[dict[str, Any]] = []
        self.calls: list[str] = []
        self.closing = False
        self._failing: dict[str, tuple[str, int | None]] = {}
        self._in_turn: dict[str, deque[str]] = {}

    def fail(self, kind: str, how: str, times: int | None = None) -> None:
        """Lets the next `times` calls of a kind fail (None: until told otherwise)."""
        assert how in FAILURES[kind]
        self._failing[kind] = (how, times)

    def fail_in_turn(self, kind: str, hows: Iterable[str]) -> None:
        """Lets the next calls of a kind fail, each in another way."""
        self._in_turn[kind] = deque(hows)

    def left_to_fail(self, kind: str) -> int:
        """How many of the failures in turn have not happened yet."""
        return len(self._in_turn.get(kind, ()))

    def behave(self) -> None:
        """No more failures, and nothing remembered; files stay."""
        self._failing.clear()
        self._in_turn.clear()
        self.calls.clear()
        self.answer = ANSWER

    def failure(self, kind: str) -> str | None:
        """What this call shall do, if not its work."""
        if self.left_to_fail(kind):
            return self._in_turn[kind].popleft()
        how, times = self._failing.get(kind, (None, 0))
        if how is None or times == 0:
            return None
        self._failing[kind] = (how, None if times is None else times - 1)
        return how


@contextmanager
def running_gemini() -> Iterator[GeminiServer]:
    """Serves on loopback from a thread while the block lasts."""
    state = GeminiServer()
    port = free_port()
    options = uvicorn.Config(
        _application(state), host="127.0.0.1", port=port, log_config=None, access_log=False, timeout_graceful_shutdown=2
    )
    server = uvicorn.Server(options)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until_listening(port, thread.is_alive)
    state.url = f"http://127.0.0.1:{port}"
    try:
        yield state
    finally:
        state.closing = True
        server.should_exit = True
        thread.join()


def _application(state: GeminiServer) -> Starlette:
    api = _Api(state)
    vertex = "/v1beta1/projects/{project}/locations/{location}/publishers/google/models/{model}:generateContent"
    return Starlette(
        routes=[
            Route(vertex, api.generate_on_vertex, methods=["POST"]),
            Route("/v1beta/models/{model}:generateContent", api.generate_by_key, methods=["POST"]),
            Route("/upload/v1beta/files", api.start, methods=["POST"]),
            Route("/session/{id}", api.chunk, methods=["PUT"]),
            Route("/v1beta/files", api.list_files, methods=["GET"]),
            Route("/v1beta/files/{id}", api.get, methods=["GET"]),
            Route("/v1beta/files/{id}", api.delete, methods=["DELETE"]),
        ]
    )


class _Api:
    def __init__(self, state: GeminiServer) -> None:
        self._state = state

    async def generate_on_vertex(self, request: Request) -> Response:
        token = re.fullmatch(r"Bearer \S{20,}", request.headers.get("authorization", ""))
        if token is None or "x-goog-api-key" in request.headers:
            return _refuse(CALLS["unauthenticated"])
        return await self._generate(request, lambda uri: uri.startswith("gs://"))

    async def generate_by_key(self, request: Request) -> Response:
        active = {self._uri(name) for name, file in self._state.files.items() if self._state_of(file) == "ACTIVE"}
        return self._unkeyed(request) or await self._generate(request, active.__contains__)

    async def _generate(self, request: Request, is_readable: Any) -> Response:
        body = _camel(json.loads(await request.body()))
        failing = await self._called("generate")
        if isinstance(failing, Response):
            return failing
        problem = _problem(body, is_readable)
        if problem:
            return _refuse(Refusal(400, "INVALID_ARGUMENT", problem))
        self._state.generated.append(body)
        if failing is not None:
            return JSONResponse(_enums(request, REPLIES[failing]))
        said = self._state.answer
        text = said if isinstance(said, str) else json.dumps(said)
        candidate = {"finishReason": "STOP", "content": {"role": "model", "parts": [{"text": text}]}}
        return JSONResponse(_enums(request, {"candidates": [candidate], "usageMetadata": USAGE}))

    async def start(self, request: Request) -> Response:
        body = json.loads(await request.body())
        if refused := self._unkeyed(request):
            return refused
        failing = await self._called("start")
        if isinstance(failing, Response):
            return failing
        if request.query_params.get("uploadType") != "resumable":
            return _refuse(CALLS["invalid"])
        if body["file"].get("name") in self._state.files:
            return _refuse(Refusal(409, "ALREADY_EXISTS", "The file is there."))
        identity = f"s{len(self._state.sessions)}"
        total = int(request.headers["x-upload-content-length"])
        self._state.sessions[identity] = Session(body["file"], request.headers["x-upload-content-type"], total)
        return Response(headers={"location": f"{self._state.url}/session/{identity}"})

    async def chunk(self, request: Request) -> Response:
        session = self._state.sessions[request.path_params["id"]]
        sent = re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(\d+)", request.headers["content-range"])
        if sent is None or int(sent[3]) != session.total:
            return _refuse(CALLS["invalid"])
        if sent[1] is None:
            return self._stands(request, session)
        failing = await self._called("chunk")
        if isinstance(failing, Response):
            return failing
        if int(sent[1]) != session.offset:
            return _refuse(Refusal(400, "INVALID_ARGUMENT", f"The upload stands at {session.offset}."))
        before = session.offset
        async for part in request.stream():
            session.digest.update(part)
            session.offset += len(part)
        session.chunks.append(session.offset - before)
        if session.offset == session.total:
            session.made = self._finish(session)
        return _broken_off() if failing else self._stands(request, session)

    async def get(self, request: Request) -> Response:
        if refused := self._unkeyed(request):
            return refused
        failing = await self._called("get")
        if isinstance(failing, Response):
            return failing
        file = self._state.files.get(f"files/{request.path_params['id']}")
        if file is None:
            return _refuse(CALLS["forbidden"])  # as Google: it does not say what is not there
        if failing is None:
            file.polls += 1
        resource = self._resource(request, file)
        if failing is not None:
            resource |= _enums(request, {"state": {"failed": "FAILED", "never_active": "PROCESSING"}[failing]})
        return JSONResponse(resource)

    async def delete(self, request: Request) -> Response:
        if refused := self._unkeyed(request):
            return refused
        failing = await self._called("delete")
        if isinstance(failing, Response):
            return failing
        name = f"files/{request.path_params['id']}"
        if self._state.files.pop(name, None) is None:
            return _refuse(CALLS["forbidden"])
        self._state.deleted.append(name)
        return JSONResponse({})

    async def list_files(self, request: Request) -> Response:
        if refused := self._unkeyed(request):
            return refused
        failing = await self._called("list")
        if isinstance(failing, Response):
            return failing
        after = request.query_params.get("pageToken", "")
        names = [name for name in sorted(self._state.files) if name > after]
        page = names[: min(self._state.page, int(request.query_params.get("pageSize", 10)))]
        reply: dict[str, Any] = {"files": [self._resource(request, self._state.files[name]) for name in page]}
        if len(names) > len(page):
            reply["nextPageToken"] = page[-1]
        return JSONResponse(reply)

    # ----------------------------------------------------------------------- parts

    def _stands(self, request: Request, session: Session) -> Response:
        """How far an upload is: the file, once it is complete."""
        if session.made is not None:
            return JSONResponse({"file": self._resource(request, session.made)})
        headers = {"range": f"bytes=0-{session.offset - 1}"} if session.offset else {}
        return Response(status_code=308, headers=headers)

    async def _called(self, kind: str) -> Response | str | None:
        """Remembers a call. Its failure if it shall fail as any call can, the name of one of its own ways, or None."""
        self._state.calls.append(kind)
        how = self._state.failure(kind)
        if how is not None and how in GARBAGE:
            return Response(GARBAGE[how], media_type="application/json")
        if how is None or how not in CALLS:
            return how
        failure = CALLS[how]
        if isinstance(failure, Refusal):
            return _refuse(failure)
        if failure == "html":
            return Response("<html>Bad Gateway</html>", 502, media_type="text/html")
        while failure == "hang" and not self._state.closing:
            await asyncio.sleep(0.05)
        return _broken_off()

    def _unkeyed(self, request: Request) -> Response | None:
        if "key" in request.query_params:
            return _refuse(Refusal(400, "INVALID_ARGUMENT", "Keys do not belong in addresses."))
        return None if request.headers.get("x-goog-api-key") == KEY else _refuse(CALLS["invalid_key"])

    def _finish(self, session: Session) -> StoredFile:
        name = session.file.get("name", f"files/made-{len(self._state.uploaded)}")
        file = StoredFile(
            name,
            session.file.get("displayName", ""),
            session.mime_type,
            session.digest.hexdigest(),
            session.total,
            datetime.now(UTC),
        )
        self._state.files[name] = file
        self._state.uploaded.append(file)
        return file

    def _state_of(self, file: StoredFile) -> str:
        return "ACTIVE" if file.polls > self._state.polls_until_active else "PROCESSING"

    def _uri(self, name: str) -> str:
        return f"https://generativelanguage.googleapis.com/v1beta/{name}"

    def _resource(self, request: Request, file: StoredFile) -> dict[str, Any]:
        resource: dict[str, Any] = _enums(
            request,
            {
                "name": file.name,
                "displayName": file.display_name,
                "mimeType": file.mime_type,
                "sizeBytes": str(file.size),
                "createTime": file.created.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                "uri": self._uri(file.name),
                "state": self._state_of(file),
            },
        )
        return resource


def _broken_off() -> Response:
    """A body that ends before its length makes the server close the connection."""
    return StreamingResponse(_nothing(), headers={"content-length": "100"})


async def _nothing() -> AsyncIterator[bytes]:
    yield b"{"


def _camel(sent: Any) -> Any:
    """Google reads a field's name in either spelling, and google-genai sends both. Properties keep their names."""
    if isinstance(sent, list):
        return [_camel(each) for each in sent]
    if not isinstance(sent, dict):
        return sent
    return {
        re.sub(r"_([a-z])", lambda found: found[1].upper(), name): (
            {own: _camel(inner) for own, inner in value.items()} if name == "properties" else _camel(value)
        )
        for name, value in sent.items()
    }


def _problem(body: Mapping[str, Any], is_readable: Any) -> str | None:
    """What is wrong with a request to generate, or None."""
    config = body.get("generationConfig", {})
    schema = config.get("responseSchema", {})
    if config.get("responseMimeType") != "application/json" or not schema.get("properties"):
        return "The request binds the answer to no schema."
    if config.get("temperature") != 0:
        return "The request asks for an answer that is left to chance."
    parts = [part for content in body["contents"] for part in content["parts"]]
    uris = [part["fileData"]["fileUri"] for part in parts if "fileData" in part]
    stills = [part["inlineData"]["data"] for part in parts if "inlineData" in part]
    if len(uris) + len(stills) != 1 or not any(part.get("text") for part in parts):
        return "The request needs one picture or video, and words."
    return None if all(is_readable(uri) for uri in uris) else "The video cannot be read."


def _refuse(failure: Refusal | Special) -> JSONResponse:
    assert isinstance(failure, Refusal)
    error: dict[str, Any] = {"code": failure.status, "message": failure.message, "status": failure.name}
    if failure.reason:
        info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": failure.reason}
        error["details"] = [info | {"domain": "googleapis.com", "metadata": {}}]
    return JSONResponse({"error": error}, failure.status)


_ENUMS = {"state": STATES, "finishReason": FINISHES, "blockReason": BLOCKS}


def _enums(request: Request, reply: Any) -> Any:
    """Enums as numbers, for a client that asks for them so."""
    if "enum-encoding=int" not in request.query_params.get("$alt", ""):
        return reply
    if isinstance(reply, list):
        return [_enums(request, each) for each in reply]
    if not isinstance(reply, dict):
        return reply
    return {name: _ENUMS[name][value] if name in _ENUMS else _enums(request, value) for name, value in reply.items()}
